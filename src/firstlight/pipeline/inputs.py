"""From light curves to the rows that the classifier reads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import Any, NamedTuple, TypeVar

import numpy as np

from firstlight._types import Float32Array, FloatArray
from firstlight.anomaly import describe
from firstlight.encoder import Encoder, Latents
from firstlight.encoder.contrast import CONTRAST_NAMES, contrasts
from firstlight.encoder.steps import CONTEXT_NAMES, make_steps
from firstlight.errors import SettingsError
from firstlight.features import Templates, extract, features
from firstlight.features.extract import read_nights
from firstlight.features.nights import advance_rows, initial_rows
from firstlight.features.own import own_columns, own_names
from firstlight.features.registry import nights_features
from firstlight.lightcurves import LightCurves
from firstlight.pipeline.config import PipelineConfig

CHUNK = 512  # objects per task of a thread: enough to amortise calls, few enough to balance

Columns = TypeVar("Columns", bound=tuple[Any, ...])


class InputRows(NamedTuple):
    """Rows of the classifier, shape (n_objects, n_inputs), the encoder's `Latents`, and descriptors."""

    X: Float32Array
    mean: Float32Array
    log_var: Float32Array
    recon_error: Float32Array
    described: Float32Array  # how the objects were observed; see `anomaly.describe`

    @property
    def latents(self) -> Latents:
        """Outputs of the encoder."""
        return Latents(self.mean, self.log_var, self.recon_error)


@dataclass(frozen=True, slots=True)
class InputBuilder:
    """Trained encoder and templates, and the choice of columns."""

    config: PipelineConfig
    encoder: Encoder
    templates: Templates | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column."""
        return input_names(self.config, self.templates)

    def rows(self, curves: LightCurves) -> InputRows:
        """Rows of preprocessed light curves."""
        steps = make_steps(curves, self.config.encoder.steps)
        latents = self.encoder.encode_steps(steps)
        context = steps.context()
        nights = None
        if self.config.reads_nights:
            nights = initial_rows(len(curves))
            advance_rows(nights, curves)
        return InputRows(self.columns(latents, context, curves, nights), *latents, describe(context))

    def columns(
        self, latents: Latents, context: Float32Array, curves: LightCurves, nights: FloatArray | None
    ) -> Float32Array:
        """The classifier's columns, shape (n_objects, n_inputs); unused ones are not computed.

        `nights` are the rows of `features.nights`, where the settings read them.
        """
        inputs = self.config.inputs
        parts = []
        if "latent" in inputs:
            parts.append(latents.mean)
        if "latent_scatter" in inputs:
            parts.append(latents.log_var)
        if "summary" in inputs:
            parts += [context, contrasts(context)]
        if nights is not None:
            parts.append(read_nights(nights, curves.redshift))
        if "features" in inputs:
            parts.append(extract(curves, self.config.features, self.templates).values)
        if self.config.features.own:
            parts.append(own_columns(self.config.features.own, curves))
        return np.hstack(parts).astype(np.float32, copy=False)


def names_by_input(config: PipelineConfig, templates: Templates | None) -> dict[str, tuple[str, ...]]:
    """Names of the columns of each input of the classifier, in order; those of other packages are ``own``."""
    n_latents = config.encoder.vae.latent
    names: dict[str, tuple[str, ...]] = {}
    if "latent" in config.inputs:
        names["latent"] = tuple(f"latent_{k + 1}" for k in range(n_latents))
    if "latent_scatter" in config.inputs:
        names["latent_scatter"] = tuple(f"latent_log_var_{k + 1}" for k in range(n_latents))
    if "summary" in config.inputs:
        names["summary"] = CONTEXT_NAMES + CONTRAST_NAMES
    if config.reads_nights:
        names["gaussian_process"] = tuple(feature.name for feature in nights_features())
    if "features" in config.inputs:
        names["features"] = tuple(feature.name for feature in features(templates))
    return names | {"own": own_names(config.features.own)}


def input_names(config: PipelineConfig, templates: Templates | None) -> tuple[str, ...]:
    """Name of each column that the classifier reads, in order."""
    by_input = names_by_input(config, templates)
    own = by_input.pop("own")
    names = [name for part in by_input.values() for name in part]
    twice = set(own) & set(names) if len(set(own)) == len(own) else set(own)
    if twice:
        raise SettingsError(f"features of other packages: names occur twice, among them {sorted(twice)}")
    return (*names, *own)


def n_threads(jobs: int | None) -> int:
    """Number of threads; by default one per core."""
    return jobs or cpu_count() or 1


def in_chunks(
    function: Callable[[LightCurves], Columns],
    curves: LightCurves,
    jobs: int | None,
    progress: Callable[[float], None],
) -> Columns:
    """Apply a function to chunks of objects in threads and join its named tuples field by field."""
    starts = range(0, max(len(curves), 1), CHUNK)
    parts = [curves.take(np.arange(s, min(s + CHUNK, len(curves)))) for s in starts]
    results = []
    with ThreadPoolExecutor(n_threads(jobs)) as pool:  # compiled code releases the GIL
        for result in pool.map(function, parts):
            results.append(result)
            progress(len(results) / len(parts))
    if len(results) == 1:
        return results[0]
    return type(results[0])(*(np.concatenate(column) for column in zip(*results, strict=True)))
