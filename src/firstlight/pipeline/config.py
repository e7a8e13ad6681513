"""The settings of a whole pipeline; presets are TOML files in ``firstlight/presets``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from firstlight.anomaly import AnomalyConfig
from firstlight.classify import CalibrationConfig, ClassifierConfig, SetsConfig, StatusConfig
from firstlight.encoder import EncoderConfig
from firstlight.errors import SettingsError
from firstlight.features import FeatureConfig
from firstlight.preprocess import PreprocessConfig
from firstlight.reobserve import ReobserveConfig, SimulatedConfig
from firstlight.settings import from_table
from firstlight.simulate import AugmentConfig

#: Other names of presets: the paper's design, as reproduced and as printed.
ALIASES: Mapping[str, str] = MappingProxyType({"paper": "seed", "paper-printed": "seed-printed"})

Input = Literal["latent", "latent_scatter", "summary", "gaussian_process", "features"]


@dataclass(frozen=True, kw_only=True)
class CopiesConfig:
    """Which copies of each training object the classifier learns from; presets differ in all but the last.

    All copies of an object stay on its side of every split and share its weight.
    """

    truncations: int = 4  # number of copies cut at random days since trigger
    augmented: int = 1  # number of copies with observations dropped, noise added and photo-z scattered
    reobserved: int = 0  # number of copies as other surveys see them (`ReobserveConfig`), half of them cut
    wrong_redshift: float = 0.0  # fraction of all copies with a wrong host redshift
    artefacts: float = 0.0  # fraction of all copies that show nothing but one bright artefact
    hidden_redshift: float = 0.25  # fraction of all copies whose redshift is hidden
    whole_weight: float = 2.0  # weight of the whole curve; every other copy has weight 1
    # fraction of the training objects kept for early stopping and calibration
    validation_fraction: float = 0.1


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """All settings of a pipeline; each stage owns its part.

    Attributes
    ----------
    name : str
        Name of the preset.
    warning : str
        Shown in reports, such as that this is a quick setting.
    inputs : tuple of {"latent", "latent_scatter", "summary", "gaussian_process", "features"}
        Columns of the classifier: latent means, their log-variances, the encoder's running
        summary with the redshift, a Gaussian process of at most 48 nightly points, light-curve
        features, whose Gaussian process has more points. All but the last have a fixed cost in a stream.
    templates : bool
        Whether the features include template fits (fitted on training objects).
    verdict : StatusConfig
        Which objects have enough data to be classified (the key is older than the class).
    kept_per_class : int
        Training objects of each class whose light curves the bundle keeps, to show the nearest ones beside
        an explained object; 0 keeps none.
    """

    name: str = "default"
    warning: str = ""
    inputs: tuple[Input, ...] = ("latent", "latent_scatter", "features")
    templates: bool = True
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    copies: CopiesConfig = field(default_factory=CopiesConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    reobserve: ReobserveConfig = field(default_factory=ReobserveConfig)
    simulated: SimulatedConfig = field(default_factory=SimulatedConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    sets: SetsConfig = field(default_factory=SetsConfig)
    anomaly: AnomalyConfig = field(default_factory=AnomalyConfig)
    verdict: StatusConfig = field(default_factory=StatusConfig)
    kept_per_class: int = 10

    def __post_init__(self) -> None:
        """Reject a classifier without inputs, and copies without a survey."""
        if not self.inputs:
            raise SettingsError("inputs: name at least one group of columns for the classifier")
        if {"gaussian_process", "features"} <= set(self.inputs):
            raise SettingsError(
                'inputs: "features" hold a Gaussian process already; leave one of the two out'
            )
        if self.kept_per_class < 0:
            raise SettingsError(f"kept_per_class = {self.kept_per_class}: it must not be negative")
        if self.copies.reobserved > 0 and not self.reobserve.surveys:
            raise SettingsError("copies.reobserved: name at least one survey in [reobserve.surveys]")
        if self.simulated.classes and not (self.reobserve.surveys or self.simulated.cadence > 0.0):
            raise SettingsError(
                "simulated.classes: name a survey in [reobserve.surveys], or give simulated.cadence a weight"
            )

    @property
    def reads_nights(self) -> bool:
        """Whether the classifier reads a Gaussian process of nightly points."""
        return "gaussian_process" in self.inputs

    @property
    def kernel_groups(self) -> tuple[str, ...]:
        """Groups of kernels that predictions need; see `kernels.compile_kernels`."""
        read = {"gaussian_process": "nights", "features": "features"}
        return ("base", *(group for name, group in read.items() if name in self.inputs))


def preset_names() -> list[str]:
    """Names of the presets that ship with firstlight."""
    folder = resources.files("firstlight") / "presets"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_preset(name: str) -> PipelineConfig:
    """Read a preset by name, or settings from a TOML file.

    Parameters
    ----------
    name : str
        One of `preset_names`, ``paper`` (``seed``), ``paper-printed`` (``seed-printed``), or the
        path of a TOML file.

    Raises
    ------
    SettingsError
        If there is no such preset or file, the TOML is malformed or a key is unknown.
    """
    name = ALIASES.get(name, name)
    if name in preset_names():
        content = (resources.files("firstlight") / "presets" / f"{name}.toml").read_bytes()
    elif Path(name).is_file():
        content = Path(name).read_bytes()
    else:
        names = ", ".join([*preset_names(), *(f"{alias} (= {own})" for alias, own in ALIASES.items())])
        raise SettingsError(f"no preset or file {name!r}; presets: {names}")
    try:
        table = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: not valid TOML: {error}") from error
    return from_table(PipelineConfig, {"name": Path(name).stem} | table, Path(name).stem)
