"""The classifiers by name. A new one needs one line here; the contract tests then cover it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from firstlight.classify.gate import GateConfig, GatedClassifier
from firstlight.classify.gradient import SklearnBooster, SklearnBoosterConfig
from firstlight.classify.lightgbm import LightGBMBooster, LightGBMConfig
from firstlight.classify.protocol import Classifier
from firstlight.errors import BundleError, SettingsError

_LAST_LOGISTIC = "0.1.0.dev0"


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Which classifier, and the settings of each.

    Raises
    ------
    SettingsError
        If the kind is ``logistic``, which is no longer there.
    """

    RETIRED: ClassVar = {"logistic": {"ridge": 1.0, "iterations": 200, "class_weight_exponent": 0.5}}

    # name in `CLASSIFIERS` (``seed`` is scikit-learn's gradient boosting), or ``package.module:Class`` of an
    # installed package that names it as an entry point of the group ``firstlight.classifiers``
    kind: str = "gated"
    # the booster of ``lightgbm``, and both experts of ``gated``
    lightgbm: LightGBMConfig = field(default_factory=LightGBMConfig)
    gate: GateConfig = field(default_factory=GateConfig)  # the gate of ``gated``
    # the booster of ``seed``
    seed_booster: SklearnBoosterConfig = field(default_factory=SklearnBoosterConfig)

    # settings of a classifier of another package
    own: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind == "logistic":
            raise SettingsError(
                f"classifier 'logistic' was last in firstlight {_LAST_LOGISTIC}; "
                f"choose one of {', '.join(CLASSIFIERS)}"
            )
        if self.kind not in CLASSIFIERS and self.kind not in _installed():
            found = ", ".join([*CLASSIFIERS, *_installed()])
            raise SettingsError(
                f"classifier {self.kind!r}: choose one of {found}, or install a package with an entry point "
                f"of that value in the group {ENTRY_POINTS}"
            )


#: How to make each classifier, untrained.
CLASSIFIERS: Mapping[str, Callable[[ClassifierConfig], Classifier]] = MappingProxyType(
    {
        "gated": lambda config: GatedClassifier(config.lightgbm, config.gate),
        "lightgbm": lambda config: LightGBMBooster(config.lightgbm),
        "seed": lambda config: SklearnBooster(config.seed_booster),
    }
)

_LOADERS: Mapping[str, Callable[[Path], Classifier]] = MappingProxyType(
    {
        "gated": GatedClassifier.load,
        "lightgbm": LightGBMBooster.load,
        "seed": SklearnBooster.load,
    }
)


#: Group of entry points by which other packages offer classifiers; their values are ``package.module:Class``.
ENTRY_POINTS = "firstlight.classifiers"


def make_classifier(config: ClassifierConfig) -> Classifier:
    """The untrained classifier of some settings; one of another package is called with ``config.own``."""
    if config.kind in CLASSIFIERS:
        return CLASSIFIERS[config.kind](config)
    made: Classifier = _installed()[config.kind].load()(dict(config.own))
    return made


def load_classifier(kind: str, folder: Path) -> Classifier:
    """Read a saved classifier; BundleError if its kind is unknown or a file cannot be read.

    A bundle can name a class of another package only if that package is installed and offers it: no code is
    imported because a file says so.
    """
    if kind in _LOADERS:
        return _LOADERS[kind](Path(folder))
    found = _installed()
    if kind not in found:
        raise BundleError(f"{folder}: unknown classifier {kind!r}; known: {', '.join([*_LOADERS, *found])}")
    loaded: Classifier = found[kind].load().load(Path(folder))
    return loaded


def _installed() -> dict[str, EntryPoint]:
    """Classifiers of other packages, by ``package.module:Class``."""
    return {point.value: point for point in entry_points(group=ENTRY_POINTS)}
