"""The classifiers by name. A new one needs one line here; the contract tests then cover it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

from firstlight.classify.gate import GateConfig, GatedClassifier
from firstlight.classify.gradient import SklearnBooster, SklearnBoosterConfig
from firstlight.classify.lightgbm import LightGBMBooster, LightGBMConfig
from firstlight.classify.own import OwnClassifier
from firstlight.classify.protocol import Classifier
from firstlight.classify.space import SearchSpace, Tunable
from firstlight.errors import BundleError, NotOfferedError, SettingsError
from firstlight.plugins import errors_of, loaded, made, offered
from firstlight.settings import to_table

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
            raise NotOfferedError(
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
    inner = made(_installed()[config.kind], "classifier", dict(config.own))
    return cast(Classifier, OwnClassifier(config.kind, inner))  # `load_classifier` stands for its `load`


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
    own = loaded(found[kind], "classifier")
    with errors_of(f"{folder}: classifier {kind!r} cannot read its files", BundleError):
        return cast(Classifier, OwnClassifier(kind, own.load(Path(folder))))


#: Fields of `ClassifierConfig` with the settings of each classifier; their classes state a ``SEARCH_SPACE``.
_TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"gated": ("lightgbm", "gate"), "lightgbm": ("lightgbm",), "seed": ("seed_booster",)}
)


def search_space(config: ClassifierConfig) -> tuple[Tunable, ...]:
    """The settings of the classifier that a search may change, in order.

    A classifier of another package states them as its class attribute ``SEARCH_SPACE``, a `SearchSpace` of
    names in the table ``own``.

    Raises
    ------
    SettingsError
        If it states none, or one that makes no sense.
    """
    return tuple(setting for space in _spaces(config).values() for setting in space.settings)


def tunable_values(config: ClassifierConfig) -> dict[str, float]:
    """Value of each setting of `search_space`; SettingsError if one has neither a value nor a default."""
    found: dict[str, float] = {}
    for table, space in _spaces(config).items():
        stated = to_table(config)[table]
        for setting in space.settings:
            value = stated.get(setting.name, setting.default)
            if value is None:
                raise SettingsError(
                    f"classifier {config.kind!r}: {setting.name} has no default; state it in [classifier.own]"
                )
            found[setting.name] = value
    return found


def with_values(config: ClassifierConfig, values: Mapping[str, float]) -> ClassifierConfig:
    """The settings with other values for some of `search_space`, and with those that the search fixes."""
    changes: dict[str, Any] = {}
    for table, space in _spaces(config).items():
        mine = {setting.name: values[setting.name] for setting in space.settings if setting.name in values}
        mine |= space.fixed
        if table == "own":
            changes[table] = {**config.own, **{name: float(value) for name, value in mine.items()}}
        else:
            changes[table] = replace(getattr(config, table), **mine)
    return replace(config, **changes)


def settings_in_use(config: ClassifierConfig) -> dict[str, Any]:
    """The settings that the classifier reads, as a table; those of other kinds are left out."""
    if config.kind not in CLASSIFIERS:
        return {"kind": config.kind, "own": dict(config.own)}
    tables = {name: to_table(getattr(config, name)) for name in _TABLES[config.kind]}
    return next(iter(tables.values())) if len(tables) == 1 else tables


def _spaces(config: ClassifierConfig) -> dict[str, SearchSpace]:
    """The search space of each table of the classifier."""
    if config.kind in CLASSIFIERS:
        return {name: getattr(config, name).SEARCH_SPACE for name in _TABLES[config.kind]}
    space = _own_space(_installed()[config.kind])
    if space is None:
        others = [kind for kind, point in _installed().items() if _own_space(point) is not None]
        raise SettingsError(
            f"classifier {config.kind!r} states no settings to tune (class attribute SEARCH_SPACE); "
            f"those of {', '.join([*CLASSIFIERS, *others])} can be tuned"
        )
    return {"own": space}


def _own_space(point: EntryPoint) -> SearchSpace | None:
    """The search space that a classifier of another package states."""
    space = getattr(loaded(point, "classifier"), "SEARCH_SPACE", None)
    if space is not None and not (isinstance(space, SearchSpace) and space.settings):
        raise SettingsError(f"classifier {point.value!r}: SEARCH_SPACE is not a SearchSpace with settings")
    return space


def _installed() -> dict[str, EntryPoint]:
    """Classifiers of other packages, by ``package.module:Class``."""
    return offered(ENTRY_POINTS)
