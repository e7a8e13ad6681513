"""The classifiers by name. A new one needs one line here; the contract tests then cover it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

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

    # name in `CLASSIFIERS`; ``seed`` is scikit-learn's gradient boosting
    kind: Literal["gated", "lightgbm", "seed", "logistic"] = "gated"
    # the booster of ``lightgbm``, and both experts of ``gated``
    lightgbm: LightGBMConfig = field(default_factory=LightGBMConfig)
    gate: GateConfig = field(default_factory=GateConfig)  # the gate of ``gated``
    # the booster of ``seed``
    seed_booster: SklearnBoosterConfig = field(default_factory=SklearnBoosterConfig)

    def __post_init__(self) -> None:
        if self.kind == "logistic":
            raise SettingsError(
                f"classifier 'logistic' was last in firstlight {_LAST_LOGISTIC}; "
                f"choose one of {', '.join(CLASSIFIERS)}"
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


def load_classifier(kind: str, folder: Path) -> Classifier:
    """Read a saved classifier of a kind in `CLASSIFIERS`; BundleError if that or a file cannot be read."""
    if kind not in _LOADERS:
        raise BundleError(f"{folder}: unknown classifier {kind!r}; known: {', '.join(_LOADERS)}")
    return _LOADERS[kind](Path(folder))
