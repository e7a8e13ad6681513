"""Light curves to encoder input: time bins, a running summary and the host redshift.

Bins are narrow after the trigger and wide elsewhere (124 observations become about 30 steps). Everything is
causal: the steps of a curve cut at time t are those that a stream has at t.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from firstlight._types import AnyArray, Float32Array, FloatArray, IntArray
from firstlight.bands import AB_ZERO_POINT_NJY, BANDS, N_BANDS
from firstlight.cosmology import distance_modulus
from firstlight.encoder import running
from firstlight.errors import SettingsError
from firstlight.kernels import kernel
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import redshift_error

#: Entries of the context that depend on the host redshift; they follow the summary.
REDSHIFT_NAMES = (
    "redshift_known",
    "galactic",
    "log_redshift",
    "log_redshift_err",
    "absolute_peak",
    *(f"absolute_{band}" for band in BANDS),
)
#: Name of each entry of an object's context vector.
CONTEXT_NAMES = running.SUMMARY_NAMES + REDSHIFT_NAMES
N_CONTEXT = len(CONTEXT_NAMES)

#: AnyArrays of the window fluxes in a context, and of how well each is known.
WINDOWS = slice(running.SUMMARY_NAMES.index("trigger0_u"), running.SUMMARY_NAMES.index("trigger0_u_known"))
WINDOWS_KNOWN = slice(WINDOWS.stop, running.N_SUMMARY)

_PEAK_COLUMN = running.SUMMARY_NAMES.index("peak")
_HIGH_COLUMNS = np.array([running.SUMMARY_NAMES.index(f"high_{band}") for band in BANDS])
_LEAST_REDSHIFT = 0.002  # a photometric one may scatter below, even below 0
#: Softening of the logarithms of redshift and redshift error, and the origin of absolute magnitudes.
REDSHIFT_SOFTENING, REDSHIFT_ERR_SOFTENING, MAGNITUDE_ORIGIN = 0.02, 0.01, -19.0
_LOG_SOFTENING = float(np.log(REDSHIFT_SOFTENING))
_LOG_ERR_SOFTENING = float(np.log(REDSHIFT_ERR_SOFTENING))
_MOST_PHASES = 100
_LEAST_WIDTH, _LARGEST_WIDTH = 1e-6, 1e9  # day; one visit per bin, and all visits in one
_LEAST_SCALE, _LARGEST_SCALE = 1e-3, 1e12  # nJy; beyond, float32 channels of real fluxes are not finite
_FAINT_FLUX = 0.1  # in units of the flux scale; a band that never rose counts as this bright


@dataclass(frozen=True, kw_only=True)
class StepsConfig:
    """Time bins of the encoder's input; they depend on a survey's depth and cadence."""

    # softening flux of the asinh [nJy]; about three times the error of a deep visit
    flux_scale: float = 250.0
    width_before: float = 25.0  # width of the bins before the trigger [day]
    width_after: float = 3.0  # width right after the trigger [day]
    # each phase [day since trigger], ascending, and the width [day] from there on
    phases: tuple[float, ...] = (30.0, 100.0, 200.0)
    widths: tuple[float, ...] = (7.0, 15.0, 30.0)

    def __post_init__(self) -> None:
        """Reject widths that cannot be bins."""
        if len(self.phases) != len(self.widths):
            raise SettingsError(f"steps: {len(self.phases)} phases but {len(self.widths)} widths")
        if len(self.phases) > _MOST_PHASES:
            raise SettingsError(f"steps: {len(self.phases)} phases; at most {_MOST_PHASES}")
        widths = (self.width_before, self.width_after, *self.widths)
        if not all(_LEAST_WIDTH <= width <= _LARGEST_WIDTH for width in widths):
            raise SettingsError(
                f"steps: widths must be positive, from {_LEAST_WIDTH:g} to {_LARGEST_WIDTH:g} days"
            )
        if list(self.phases) != sorted(self.phases):
            raise SettingsError("steps: phases must be ascending")
        if not _LEAST_SCALE <= self.flux_scale <= _LARGEST_SCALE:
            raise SettingsError(
                f"steps: flux_scale must lie between {_LEAST_SCALE:g} and {_LARGEST_SCALE:g} nJy"
            )

    def bins(self) -> FloatArray:
        """Flat form for the kernels: width before, width after, then (phase, width) pairs."""
        pairs = [value for pair in zip(self.phases, self.widths, strict=True) for value in pair]
        return np.array([self.width_before, self.width_after, *pairs], dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Encoder input of n objects, ragged."""

    # (n_steps, N_CHANNELS); channels of each time bin; object ``i`` owns ``offsets[i]:offsets[i + 1]``
    values: Float32Array
    offsets: IntArray  # (n_objects + 1,); start of each object's steps
    # (n_objects, N_SUMMARY); running summary after the last observation (`running.SUMMARY_NAMES`)
    summary: Float32Array
    # (n_objects,); host redshift; 0 for a Milky Way object, NaN for unknown
    redshift: Float32Array
    redshift_err: Float32Array
    flux_scale: float  # softening flux used [nJy]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.offsets) - 1

    @property
    def n_steps(self) -> IntArray:
        """Steps of each object, shape (n_objects,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def context(self) -> Float32Array:
        """Summary and redshift of every object, float32, shape (n_objects, N_CONTEXT)."""
        return make_context(self.summary, self.redshift, self.redshift_err, self.flux_scale)

    def take(self, index: ArrayLike) -> Self:
        """Objects at the given positions, in that order, shape (n_taken,)."""
        index = np.asarray(index, dtype=np.int64)
        counts = self.n_steps[index]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][index] - offsets[:-1], counts)
        return type(self)(
            values=self.values[rows],
            offsets=offsets,
            summary=self.summary[index],
            redshift=self.redshift[index],
            redshift_err=self.redshift_err[index],
            flux_scale=self.flux_scale,
        )

    def padded(self) -> Float32Array:
        """Steps as one array, zeros behind each object's last, shape (n_objects, longest, N_CHANNELS)."""
        counts = self.n_steps
        longest = int(counts.max(initial=1))
        out = np.zeros((len(self), longest, self.values.shape[1]), dtype=np.float32)
        out[np.arange(longest) < counts[:, None]] = self.values
        return out


def make_steps(curves: LightCurves, config: StepsConfig) -> Steps:
    """Turn light curves into encoder input, in the order of `curves`.

    A curve without observations gets no step and a summary of zeros.
    """
    bins = config.bins()
    columns = (
        curves.mjd,
        curves.band,
        curves.flux.astype(np.float64),
        curves.flux_err.astype(np.float64),
        curves.detected,
        curves.offsets,
    )
    counts = _count_bins(curves.mjd, curves.detected, curves.offsets, bins)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = np.empty((offsets[-1], running.N_CHANNELS), dtype=np.float32)
    summary = np.empty((len(curves), running.N_SUMMARY), dtype=np.float32)
    _fill(*columns, config.flux_scale, bins, offsets, values, summary)
    return Steps(values, offsets, summary, curves.redshift, curves.redshift_err, config.flux_scale)


@kernel
def _count_bins(mjd: AnyArray, detected: AnyArray, offsets: AnyArray, bins: AnyArray) -> IntArray:
    """Bins of each object, by the same rule as `running.advance`."""
    counts = np.zeros(len(offsets) - 1, dtype=np.int64)
    for i in range(len(counts)):
        end = -np.inf
        trigger = np.nan
        for j in range(offsets[i], offsets[i + 1]):
            is_trigger = detected[j] and np.isnan(trigger)
            if mjd[j] >= end or is_trigger:
                counts[i] += 1
                if is_trigger:
                    trigger = mjd[j]
                triggered = not np.isnan(trigger)
                days = mjd[j] - trigger if triggered else 0.0
                end = mjd[j] + running.bin_width(days, triggered, bins)
    return counts


@kernel
def _fill(
    mjd: AnyArray,
    band: AnyArray,
    flux: AnyArray,
    err: AnyArray,
    detected: AnyArray,
    rows: AnyArray,
    scale: float,
    bins: AnyArray,
    offsets: AnyArray,
    values: AnyArray,
    summary: AnyArray,
) -> None:
    """Advance a new state through every object; write bins and summary."""
    state = np.empty(running.STATE_SIZE)
    closed = np.empty(running.N_CHANNELS, dtype=np.float32)
    for i in range(len(rows) - 1):
        running.clear(state)
        at = offsets[i]
        for j in range(rows[i], rows[i + 1]):
            if running.advance(state, mjd[j], band[j], flux[j], err[j], detected[j], scale, bins, closed):
                for k in range(running.N_CHANNELS):
                    values[at, k] = closed[k]
                at += 1
        if rows[i + 1] > rows[i]:
            running.bin_channels(state, scale, values[at])
        running.summarise(state, scale, summary[i])


def make_context(
    summary: Float32Array, redshift: ArrayLike, redshift_err: ArrayLike, flux_scale: float
) -> Float32Array:
    """Append the entries of REDSHIFT_NAMES to running summaries, float32, shape (n_objects, N_CONTEXT).

    A redshift is 0 for a Milky Way object and NaN for unknown; then all its entries are 0. Absolute
    magnitudes M enter as -(M + 19), so that brighter is larger.
    """
    z = np.asarray(redshift, dtype=np.float64)
    z_err = redshift_error(redshift, redshift_err)
    z = np.where(np.isfinite(z), np.where(z != 0.0, np.maximum(z, _LEAST_REDSHIFT), 0.0), np.nan)
    context = np.zeros((len(summary), N_CONTEXT), dtype=np.float32)
    context[:, : running.N_SUMMARY] = summary
    _fill_redshift(context, z, z_err, distance_modulus(z), flux_scale)
    return context


# Compiled, not vectorised: numpy's logarithms may depend on an array's length, and an object's context must
# not depend on the batch.
@kernel
def _fill_redshift(
    context: AnyArray, z: AnyArray, z_err: AnyArray, modulus: AnyArray, flux_scale: float
) -> None:
    """Write the entries of REDSHIFT_NAMES, left 0 where the redshift (NaN) is unknown."""
    for i in range(len(context)):
        if np.isnan(z[i]):
            continue
        row = context[i]
        block = row[running.N_SUMMARY :]
        block[0] = 1.0
        if z[i] == 0.0:
            block[1] = 1.0
            continue
        block[2] = np.log(z[i] + REDSHIFT_SOFTENING) - _LOG_SOFTENING
        block[3] = np.log(z_err[i] + REDSHIFT_ERR_SOFTENING) - _LOG_ERR_SOFTENING
        for k in range(1 + N_BANDS):
            bright = np.float64(row[_PEAK_COLUMN if k == 0 else _HIGH_COLUMNS[k - 1]])
            flux = flux_scale * max(np.sinh(bright), _FAINT_FLUX)
            absolute = AB_ZERO_POINT_NJY - 2.5 * np.log10(flux) - modulus[i]
            block[4 + k] = min(max(-(absolute - MAGNITUDE_ORIGIN), -12.0), 8.0)


def target_weights(context: Float32Array) -> Float32Array:
    """Weight of each context entry as a target of the head, 0 to 1, shape (n_objects, N_CONTEXT).

    It is 0 for unobserved windows, bands and redshifts, and for the ``_known`` entries themselves.
    """
    weights = np.ones_like(context)
    weights[:, WINDOWS] = context[:, WINDOWS_KNOWN]
    weights[:, WINDOWS_KNOWN] = 0.0
    for band in BANDS:
        share = running.SUMMARY_NAMES.index(f"share_{band}")
        weights[:, share : share + running.N_BAND_SUMMARY] = (context[:, share] > 0.0)[:, None]
    redshift_known = context[:, running.N_SUMMARY] > 0.0
    outside = redshift_known & (context[:, running.N_SUMMARY + 1] == 0.0)
    weights[:, running.N_SUMMARY] = 0.0
    weights[:, running.N_SUMMARY + 1 : running.N_SUMMARY + 3] = redshift_known[:, None]
    weights[:, running.N_SUMMARY + 3 :] = outside[:, None]
    return weights
