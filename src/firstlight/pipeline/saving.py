"""A trained pipeline in the folder of a bundle, and back."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from firstlight.anomaly import AnomalyScorer, TrainingDomain
from firstlight.classify import PhaseCalibrator, PredictionSets, check_frequencies, load_classifier
from firstlight.encoder import Encoder
from firstlight.errors import BundleError, SettingsError
from firstlight.features import Templates
from firstlight.pipeline.bundle import find_bundle, open_bundle
from firstlight.pipeline.config import PipelineConfig
from firstlight.pipeline.filters import saved_filters
from firstlight.pipeline.inputs import InputBuilder
from firstlight.pipeline.kept import KeptObjects
from firstlight.pipeline.trained import Trained
from firstlight.settings import to_table
from firstlight.storage import AGAIN, ArraySpec, read_arrays, read_state, write_arrays, write_state
from firstlight.taxonomy import Taxonomy

BUNDLE_KIND = "firstlight-pipeline"
SEEN_FILE = "training_objects.safetensors"
_SEEN_SPECS = {"hash": ArraySpec("float64", ("n_objects",), 0.0, 1.0, "not_falling")}


class _Saves(Protocol):
    """A trained part with a folder of its own in the bundle."""

    def save(self, folder: Path) -> None: ...


class Saved(Trained):
    """A trained pipeline that is written to a bundle and read from one."""

    def _write(self, folder: Path) -> None:
        inputs = self.builder
        state = {"config": to_table(self.config), "prior": self._prior.tolist()}
        if not self.taxonomy.is_ours:
            state["classes"] = self.taxonomy.table()
        write_state(folder / "pipeline.json", state)
        write_arrays(folder / SEEN_FILE, {"hash": self._seen})
        _write_history(folder, self.builder.encoder.history)
        parts: dict[str, _Saves | None] = {
            "encoder": inputs.encoder,
            "classifier": self._classifier,
            "calibrator": self._calibrator,
            "sets": self._sets,
            "templates": inputs.templates,
            "anomaly": self._anomaly,
            "domain": self._domain,
            "kept": self._kept,
        }
        for name, part in parts.items():
            if part is not None:
                (folder / name).mkdir()
                part.save(folder / name)

    @classmethod
    def _read(cls, folder: str | Path | None, public_key: str | Path | None) -> tuple[Self, Path]:
        """The pipeline of a bundle as it was saved, and its folder."""
        path = find_bundle(folder)
        manifest = open_bundle(path, kind=BUNDLE_KIND, public_key=public_key)
        absent = [name for name in ("pipeline.json", SEEN_FILE) if name not in manifest.files]
        if absent:
            raise BundleError(f"{path}: {', '.join(absent)} missing, of an unreleased layout; train it again")
        state = read_state(path / "pipeline.json", _State)
        pipeline = cls(state.config)
        pipeline.taxonomy = _taxonomy(state, path)
        encoder = Encoder.load(path / "encoder")
        templates = Templates.load(path / "templates") if (path / "templates").is_dir() else None
        pipeline._inputs = InputBuilder(pipeline.config, encoder, templates)
        pipeline._classifier = load_classifier(pipeline.config.classifier.kind, path / "classifier")
        pipeline._calibrator = PhaseCalibrator.load(path / "calibrator")
        if (path / "anomaly").is_dir():
            pipeline._anomaly = AnomalyScorer.load(path / "anomaly")
        if (path / "domain").is_dir():
            pipeline._domain = TrainingDomain.load(path / "domain")
        if (path / "kept").is_dir():
            pipeline._kept = KeptObjects.load(path / "kept")
        if (path / "sets").is_dir():
            pipeline._sets = PredictionSets.load(path / "sets")
        pipeline._prior = check_frequencies(
            state.prior, len(pipeline.taxonomy.classes), path / "pipeline.json"
        )
        pipeline._seen = read_arrays(path / SEEN_FILE, _SEEN_SPECS)["hash"]
        pipeline.info = dict(manifest.info)
        pipeline.bundle_version = manifest.fingerprint
        pipeline._bundle = f"{path.resolve().name}, version {manifest.fingerprint}"
        pipeline._check_parts(path)
        return pipeline, path

    def _check_parts(self, path: Path) -> None:
        """Raise BundleError unless the parts of a bundle fit each other: each was checked alone."""
        classifier, n_inputs = self._fitted(), len(self._input_names())
        n_classes, n_latents = len(classifier.classes), self.builder.encoder.n_latent
        faults = []
        if not set(classifier.classes) <= set(self.taxonomy.classes):
            faults.append("classes of the classifier that the taxonomy lacks")
        if (
            self.builder.encoder.config.steps != self.config.encoder.steps
            or n_latents != self.config.encoder.vae.latent
        ):
            faults.append("settings of the encoder")
        if classifier.n_features != n_inputs:
            faults.append(f"classifier of {classifier.n_features} inputs, not {n_inputs}")
        if self._calibrator.n_classes not in (None, n_classes):
            faults.append(f"calibration of {self._calibrator.n_classes} classes, not {n_classes}")
        if self._sets is not None and self._sets.classes != classifier.classes:
            faults.append("classes of the prediction sets")
        if self._anomaly is not None:
            if self._anomaly.n_features != n_inputs:
                faults.append(f"anomaly score of {self._anomaly.n_features} inputs, not {n_inputs}")
            if self._anomaly.n_latents not in (None, 2 * n_latents):
                faults.append(f"anomaly score of {self._anomaly.n_latents} latents, not {2 * n_latents}")
        if faults:
            raise BundleError(f"{path}: parts do not fit each other ({'; '.join(faults)}); {AGAIN}")


def saved_filters_of(folder: Path, info: Mapping[str, Any]) -> dict[str, str]:
    """Filters that the bundle of a folder was trained on, read without other parts; of no pipeline none."""
    path = folder / "pipeline.json"
    return saved_filters(info, read_state(path, _State).config) if path.is_file() else {}


# --- private --------------------------------------------------------------------


@dataclass(frozen=True)
class _State:
    """The content of ``pipeline.json``."""

    config: PipelineConfig
    prior: tuple[float, ...]
    classes: Mapping[str, "_SavedClass"] | None = None  # None for those of firstlight


@dataclass(frozen=True)
class _SavedClass:
    """A class of a user's taxonomy in ``pipeline.json``."""

    group: str
    galactic: bool
    aliases: tuple[str, ...] = ()
    elasticc: int | None = None


def _taxonomy(state: _State, path: Path) -> Taxonomy:
    """The taxonomy of a bundle."""
    if state.classes is None:
        return Taxonomy()
    try:
        return Taxonomy.of(
            {n: {k: v for k, v in vars(c).items() if v is not None} for n, c in state.classes.items()}
        )
    except SettingsError as error:
        raise BundleError(f"{path}: {error}; {AGAIN}") from error


def _write_history(folder: Path, history: tuple[dict[str, float], ...]) -> None:
    """Write the encoder's training history as a table."""
    with open(folder / "training.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.DictWriter(file, list(history[0]))
        rows.writeheader()
        rows.writerows(history)
