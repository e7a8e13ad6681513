"""The classifiers by name. Adding one is a line here; the contract tests then cover it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from firstlight.classify.baselines import LogisticBaseline, LogisticConfig
from firstlight.classify.gate import GateConfig, GatedClassifier
from firstlight.classify.gradient import SeedBooster, SeedBoosterConfig
from firstlight.classify.lightgbm import LightGBMBooster, LightGBMConfig
from firstlight.classify.protocol import Classifier
from firstlight.errors import BundleError

__all__ = ["CLASSIFIERS", "ClassifierConfig", "load_classifier"]


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Which classifier, and the settings of each.

    Attributes
    ----------
    kind : {"gated", "lightgbm", "seed", "logistic"}
        Name in `CLASSIFIERS`.
    lightgbm : LightGBMConfig
        The booster of ``lightgbm``, and both experts of ``gated``.
    gate : GateConfig
        The gate of ``gated``.
    seed_booster : SeedBoosterConfig
        The booster of ``seed``.
    logistic : LogisticConfig
        The baseline ``logistic``.
    """

    kind: Literal["gated", "lightgbm", "seed", "logistic"] = "gated"
    lightgbm: LightGBMConfig = field(default_factory=LightGBMConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    seed_booster: SeedBoosterConfig = field(default_factory=SeedBoosterConfig)
    logistic: LogisticConfig = field(default_factory=LogisticConfig)


#: How to make each classifier, untrained.
CLASSIFIERS: Mapping[str, Callable[[ClassifierConfig], Classifier]] = MappingProxyType(
    {
        "gated": lambda config: GatedClassifier(config.lightgbm, config.gate),
        "lightgbm": lambda config: LightGBMBooster(config.lightgbm),
        "seed": lambda config: SeedBooster(config.seed_booster),
        "logistic": lambda config: LogisticBaseline(config.logistic),
    }
)

_LOADERS: Mapping[str, Callable[[Path], Classifier]] = MappingProxyType(
    {
        "gated": GatedClassifier.load,
        "lightgbm": LightGBMBooster.load,
        "seed": SeedBooster.load,
        "logistic": LogisticBaseline.load,
    }
)


def load_classifier(kind: str, folder: Path) -> Classifier:
    """Read a saved classifier.

    Parameters
    ----------
    kind : str
        Name in `CLASSIFIERS`.
    folder : Path
        Where it was saved.

    Raises
    ------
    BundleError
        If the kind is unknown, or a file missing or damaged.
    """
    if kind not in _LOADERS:
        raise BundleError(f"{folder}: unknown classifier {kind!r}; known: {', '.join(_LOADERS)}")
    return _LOADERS[kind](Path(folder))
