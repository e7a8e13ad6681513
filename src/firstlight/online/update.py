"""`update`: take one alert each of many objects into their states, and say what they are now.

What an alert costs does not depend on the past: in order, and with a preset that needs no
history, its new observations advance the state and nothing else is read. A late or
contradicting alert reads the object's log, merges, and goes on from there; so do presets
whose features or cleaning look back. Whatever the path, the answer is what
`Pipeline.predict` says of all observations known by then (law 1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstlight.bands import N_BANDS
from firstlight.classify import StatusConfig, status_from_counts
from firstlight.encoder import Encoder, EncoderState, Latents, running
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import RedshiftMode
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS
from firstlight.online.arrivals import Arrivals
from firstlight.online.history import MAX_ENTRIES, Histories, read_logs, write_entries
from firstlight.online.kernels import (
    APPEND,
    NOTHING,
    READ,
    answered_before,
    continued,
    extend_digests,
    merge_histories,
    remember_recent,
    route,
)
from firstlight.online.states import META, RECENT, ObjectStates
from firstlight.predictions import NOT_CLASSIFIED, Predictions, Scores
from firstlight.preprocess import PreprocessConfig, preprocess
from firstlight.taxonomy import CLASSES

__all__ = ["Logs", "Parts", "Update", "update"]

#: Gives the log of each object at the given positions, oldest entry first.
Logs = Callable[[NDArray[np.int64]], list[list[bytes]]]

_EBV = META.index("ebv")
_SNR = running.BAND_BLOCK + running.BAND_SIZE * np.arange(N_BANDS)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an update needs of a pipeline.

    Attributes
    ----------
    encoder : Encoder
    preprocess : PreprocessConfig
    status : StatusConfig
    needs_history : bool
        Whether classifying or cleaning looks at the whole history.
    score : callable
        From latents, context, light curves (without observations unless `needs_history`) and
        phases to `Scores`.
    prior : float64 array, shape (n_classes,)
    """

    encoder: Encoder
    preprocess: PreprocessConfig
    status: StatusConfig
    needs_history: bool
    score: Callable[[Latents, NDArray[np.float32], LightCurves, NDArray[np.float64]], Scores]
    prior: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What came of one alert each of n objects.

    Attributes
    ----------
    states : ObjectStates
        The new states.
    predictions : Predictions
        One row an object, in order; ``repeated`` as the reason where nothing was answered.
    answered : bool array, shape (n_objects,)
        False for a repeated alert: state and log stay as they were.
    entries : list of bytes
        Each object's entry for its log; empty where not answered.
    rewritten : bool array, shape (n_objects,)
        Whether the entry replaces the whole log instead of following it.
    late : bool array, shape (n_objects,)
        Whether the alert changed what was known of the past.
    previous : float64 array, shape (n_objects, n_classes)
        Probabilities of the answer before; NaN for the first.
    """

    states: ObjectStates
    predictions: Predictions
    answered: NDArray[np.bool_]
    entries: list[bytes]
    rewritten: NDArray[np.bool_]
    late: NDArray[np.bool_]
    previous: NDArray[np.float64]


class _Work:
    """States while they are being updated, and what is to be said of them."""

    def __init__(self, parts: Parts, states: ObjectStates, arrivals: Arrivals) -> None:
        n = len(arrivals)
        self.parts, self.arrivals = parts, arrivals
        self.data = states.data.copy()
        self.encoder_state: EncoderState = states.encoder_state()
        self.routes = np.empty(n, np.int64)
        self.first = np.zeros(n, np.int64)
        self.again = np.zeros(n, np.int64)
        self.digests = np.zeros(n, np.uint64)
        self.recent = np.ascontiguousarray(self.data["recent"])
        self.entries = [b""] * n
        self.rewritten = np.zeros(n, np.bool_)
        self.late = np.zeros(n, np.bool_)
        self.meta = np.column_stack([getattr(arrivals.curves, name) for name in META]).astype(np.float64)
        self.ready: LightCurves | None = None

    def route(self) -> None:
        """Decide what each alert asks for."""
        d, a, curves = self.data, self.arrivals, self.arrivals.curves
        known = d["n_obs"] > 0
        self._refuse_dust(np.flatnonzero(known & (d["dereddened"] != int(curves.dereddened))))
        dust = known & ~np.isnan(self.meta[:, _EBV]) & (self.meta[:, _EBV] != d["meta"][:, _EBV])
        fields = ("n_obs", "last_mjd", "digest", "alert_mjd", "alert", "n_entries")
        route(
            tuple(np.ascontiguousarray(d[name]) for name in fields),
            (curves.offsets, curves.mjd, *_bits(curves), a.alert_mjd, a.alert),
            dust | self.parts.needs_history,
            (self.routes, self.first, self.again, self.digests, self.recent),
        )

    def merge_meta(self, rows: NDArray[np.int64]) -> None:
        """Take what alerts say of position, dust and redshift into the states."""
        value, said = self.meta[rows], self.arrivals.alert_mjd[rows, None]
        known, known_said = self.data["meta"][rows], self.data["meta_mjd"][rows]
        counts = ~np.isnan(value) & ((said > known_said) | ((said == known_said) & (value > known)))
        self.data["meta"][rows] = np.where(counts, value, known)
        self.data["meta_mjd"][rows] = np.where(counts, said, known_said)

    def append(self) -> None:
        """Advance the objects whose alerts bring new observations and nothing else."""
        rows = np.flatnonzero(self.routes == APPEND)
        if not len(rows):
            return
        a, curves = self.arrivals, self.arrivals.curves
        self.merge_meta(rows)
        new = np.arange(len(curves.mjd)) >= np.repeat(self.first, curves.n_obs)
        part = self._with_meta(curves.keep(new).take(rows), rows)
        d = self.data
        self._note_alerts(rows)
        d["n_obs"][rows] += part.n_obs
        self._note_last(rows, part)
        d["digest"][rows], d["recent"][rows] = self.digests[rows], self.recent[rows]
        d["n_entries"][rows] += 1
        self._advance(rows, preprocess(part, self.parts.preprocess), np.zeros(len(rows), np.bool_))
        columns = (
            *(getattr(curves, name) for name in ("mjd", "band", "flux", "flux_err", "detected")),
            a.source_id,
            np.repeat(a.alert_mjd, curves.n_obs),
        )
        self._write(
            rows, columns, np.column_stack([self.first[rows], curves.offsets[rows + 1]]), self.again[rows]
        )

    def read(self, logs: Logs) -> None:
        """Bring the objects up to date whose past must be looked at."""
        rows = np.flatnonzero(self.routes == READ)
        if not len(rows):
            return
        histories, rows = self._histories(rows, logs)
        if not len(rows):
            return
        d = self.data
        whole, (stated, source_id, unchanged, again, follows) = self._merged(rows, histories)
        d["meta"][rows], d["meta_mjd"][rows] = histories.meta, histories.meta_mjd
        d["alert_mjd"][rows] = histories.alert_mjd
        self.merge_meta(rows)
        self._note_alerts(rows)
        whole = self._with_meta(whole, rows)
        digests = np.zeros(len(rows), np.uint64)
        extend_digests(whole.offsets, _bits(whole), digests)
        recent = np.zeros((len(rows), RECENT), np.uint32)
        remember_recent(whole.offsets, _bits(whole), recent)
        d["n_obs"][rows], d["digest"][rows], d["recent"][rows] = whole.n_obs, digests, recent
        self._note_last(rows, whole)
        ready = preprocess(whole, self.parts.preprocess)
        n_kept, digest = (np.ascontiguousarray(d[name][rows]) for name in ("n_kept", "kept_digest"))
        first = continued(ready.offsets, _bits(ready), n_kept, digest)
        start = np.where(first < 0, ready.offsets[:-1], first)
        fresh = np.arange(len(ready.mjd)) >= np.repeat(start, ready.n_obs)
        self._advance(rows, ready.keep(fresh), first < 0)
        self.late[rows] = ~unchanged
        follows &= histories.n_entries < MAX_ENTRIES
        d["n_entries"][rows] = np.where(follows, histories.n_entries + 1, 1)
        self.rewritten[rows] = ~follows
        columns = (whole.mjd, whole.band, whole.flux, whole.flux_err, whole.detected, source_id, stated)
        bounds = np.column_stack([whole.offsets[:-1] + np.diff(histories.offsets), whole.offsets[1:]])
        self._write(rows[follows], columns, bounds[follows], again[follows])
        self._write_whole(rows, columns, whole.offsets, histories, np.flatnonzero(~follows))
        self.ready = ready

    def _histories(self, rows: NDArray[np.int64], logs: Logs) -> tuple[Histories, NDArray[np.int64]]:
        """Logs of the objects at `rows`, less those that have answered this alert before."""
        entries = logs(rows)
        histories = read_logs(entries)
        a = self.arrivals
        repeated = answered_before(histories.alert_offsets, histories.alerts, a.alert[rows])
        if repeated.any():
            self.routes[rows[repeated]] = NOTHING
            histories = read_logs([log for log, again in zip(entries, repeated, strict=True) if not again])
            rows = rows[~repeated]
        odd = (histories.n_entries > 0) & (histories.dereddened != a.curves.dereddened)
        self._refuse_dust(rows[odd])
        return histories, rows

    def _refuse_dust(self, rows: NDArray[np.int64]) -> None:
        if len(rows):
            raise DataError(
                f"object {str(self.arrivals.curves.object_id[rows[0]])!r}: dereddened fluxes and raw ones "
                "cannot follow each other; correct them before they become alerts"
            )

    def _merged(self, rows: NDArray[np.int64], h: Histories) -> tuple[LightCurves, tuple[NDArray[Any], ...]]:
        """What is known of the objects now, when it was stated, and what became of what was known."""
        arrived = self.arrivals.curves.take(rows)
        source = self.arrivals.source_id[self.arrivals.curves.rows_of(rows)]
        n, most = len(rows), len(h.mjd) + len(arrived.mjd)
        out = (
            np.empty(most),
            np.empty(most, np.int8),
            np.empty(most, np.float32),
            np.empty(most, np.float32),
            np.empty(most, np.bool_),
            np.empty(most, np.int64),
            np.empty(most),
        )
        offsets, again = np.zeros(n + 1, np.int64), np.empty(n, np.int64)
        unchanged, follows = np.empty(n, np.bool_), np.empty(n, np.bool_)
        merge_histories(
            h.offsets,
            (h.mjd, h.band, h.flux, h.flux_err, h.detected, h.source_id, h.stated),
            arrived.offsets,
            (arrived.mjd, arrived.band, arrived.flux, arrived.flux_err, arrived.detected, source),
            self.arrivals.alert_mjd[rows],
            out,
            offsets,
            unchanged,
            again,
            follows,
        )
        columns: list[Any] = [column[: offsets[-1]] for column in out]
        mjd, band, flux, flux_err, detected, source_id, stated = columns
        whole = LightCurves(
            arrived.object_id, offsets, mjd, band, flux, flux_err, detected, dereddened=arrived.dereddened
        )
        return whole, (stated, source_id, unchanged, again, follows)

    def _with_meta(self, curves: LightCurves, rows: NDArray[np.int64]) -> LightCurves:
        """Light curves with what is known of their objects; all of it was checked when it came."""
        values = zip(META, self.data["meta"][rows].T, strict=True)
        return curves._derive(**{name: value.astype(OBJECT_COLUMNS[name]) for name, value in values})

    def _note_alerts(self, rows: NDArray[np.int64]) -> None:
        """Remember the newest alert."""
        d, a = self.data, self.arrivals
        newest = rows[a.alert_mjd[rows] >= d["alert_mjd"][rows]]
        d["alert_mjd"][newest], d["alert"][newest] = a.alert_mjd[newest], a.alert[newest]
        d["dereddened"][rows] = int(a.curves.dereddened)

    def _note_last(self, rows: NDArray[np.int64], curves: LightCurves) -> None:
        some = curves.n_obs > 0
        self.data["last_mjd"][rows[some]] = curves.mjd[curves.offsets[1:][some] - 1]

    def _advance(self, rows: NDArray[np.int64], new: LightCurves, anew: NDArray[np.bool_]) -> None:
        """Take preprocessed observations into the encoder's states; `anew` from the very beginning."""
        encoder, d = self.parts.encoder, self.data
        state = self.encoder_state.take(rows)
        if anew.any():
            clear = encoder.initial_state(1)
            state.running[anew], state.hidden[anew] = clear.running, clear.hidden
            d["n_kept"][rows[anew]], d["kept_digest"][rows[anew]] = 0, 0
        state = encoder.advance(state, new)
        self.encoder_state.running[rows], self.encoder_state.hidden[rows] = state.running, state.hidden
        digests = np.ascontiguousarray(d["kept_digest"][rows])
        extend_digests(new.offsets, _bits(new), digests)
        d["n_kept"][rows] += new.n_obs
        d["kept_digest"][rows] = digests

    def _write(
        self,
        rows: NDArray[np.int64],
        columns: tuple[NDArray[Any], ...],
        bounds: NDArray[np.int64],
        again: NDArray[np.int64],
    ) -> None:
        """Entries of one alert each."""
        a, n = self.arrivals, len(rows)
        said = np.broadcast_to(a.alert_mjd[rows, None], (n, len(META))).copy()
        entries = write_entries(
            columns,
            bounds,
            again,
            (a.alert[rows], np.arange(n + 1)),
            a.alert_mjd[rows],
            (self.meta[rows], said),
            np.full(n, a.curves.dereddened),
        )
        for i, entry in zip(rows.tolist(), entries, strict=True):
            self.entries[i] = entry

    def _write_whole(
        self,
        rows: NDArray[np.int64],
        columns: tuple[NDArray[Any], ...],
        offsets: NDArray[np.int64],
        histories: Histories,
        chosen: NDArray[np.int64],
    ) -> None:
        """Entries that stand for a whole log each, this alert included."""
        known = [histories.alerts[slice(*histories.alert_offsets[i : i + 2])] for i in chosen]
        row, n = rows[chosen], len(chosen)
        alerts = [
            np.append(before, alert) for before, alert in zip(known, self.arrivals.alert[row], strict=True)
        ]
        digests = np.concatenate([np.empty(0, np.uint64), *alerts])
        entries = write_entries(
            columns,
            np.column_stack([offsets[chosen], offsets[chosen + 1]]),
            np.zeros(n, np.int64),
            (digests, np.cumsum([0, *map(len, alerts)])),
            np.ascontiguousarray(self.data["alert_mjd"][row]),
            (self.data["meta"][row], self.data["meta_mjd"][row]),
            np.full(n, self.arrivals.curves.dereddened),
        )
        for i, entry in zip(row.tolist(), entries, strict=True):
            self.entries[i] = entry

    def answer(self, redshift: RedshiftMode) -> Predictions:
        """Classify what was answered, from the states."""
        d, curves = self.data, self.arrivals.curves
        answered = np.flatnonzero(self.routes != NOTHING)
        d["running"], d["hidden"] = self.encoder_state.running, self.encoder_state.hidden
        state = self.encoder_state.take(answered)
        objects = self._objects(answered).with_redshift(redshift)
        phase = state.running[:, running.T_LAST] - state.running[:, running.T_TRIGGER]
        snr = np.maximum(
            state.running[:, _SNR + running.B_SNR_MAX], -state.running[:, _SNR + running.B_SNR_MIN]
        )
        least = self.parts.status
        has_signal = snr.max(axis=1, initial=0.0) >= least.min_snr
        n_obs, n_detected = state.running[:, running.N_OBS], state.running[:, running.N_DET]
        status, reason = status_from_counts(n_obs, n_detected, has_signal, least)
        latents, context = self.parts.encoder.latents_and_context(
            state, objects.redshift, objects.redshift_err
        )
        n = len(curves)
        scores = Scores(np.zeros((n, len(CLASSES))), np.zeros(n))
        scores.proba[answered], scores.anomaly[answered] = self.parts.score(latents, context, objects, phase)
        all_status, all_reason = np.full(n, NOT_CLASSIFIED), np.full(n, "repeated", dtype="U32")
        all_status[answered], all_reason[answered] = status, reason
        all_phase = np.full(n, np.nan)
        all_phase[answered] = phase
        predictions = Predictions.of(
            scores,
            all_status,
            all_reason,
            self.parts.prior,
            check=False,
            object_id=curves.object_id,
            n_obs=d["n_obs"].copy(),
            phase=all_phase,
        )
        d["proba"][answered] = predictions.proba[answered]
        return predictions

    def _objects(self, answered: NDArray[np.int64]) -> LightCurves:
        """The answered objects, with their preprocessed observations where these are needed."""
        if self.parts.needs_history and self.ready is not None:
            return self.ready  # then every answered object was read, in order
        bare = self.arrivals.curves._derive(
            object_id=self.arrivals.curves.object_id[answered],
            offsets=np.zeros(len(answered) + 1, np.int64),
            **{name: np.empty(0, kind) for name, kind in OBSERVATION_COLUMNS.items()},
        )
        return self._with_meta(bare, answered)


def update(
    parts: Parts, states: ObjectStates, arrivals: Arrivals, logs: Logs, redshift: RedshiftMode = "photo"
) -> Update:
    """Take one alert each of n objects into their states, and say what they are now.

    Parameters
    ----------
    parts : Parts
        What is needed of the pipeline.
    states : ObjectStates
        States of the n objects; left unchanged.
    arrivals : Arrivals
        What their alerts carry.
    logs : callable
        Gives the logs of the objects at the positions that need them.
    redshift : {"photo", "spec", "none"}
        Which host redshift the classifier sees, as in `LightCurves.with_redshift`.

    Raises
    ------
    DataError
        If the numbers of objects differ, dereddened fluxes meet raw ones, or a log is
        damaged.
    """
    if len(states) != len(arrivals):
        raise DataError(f"update: {len(states)} states but {len(arrivals)} alerts")
    work = _Work(parts, states, arrivals)
    work.route()
    work.append()
    work.read(logs)
    predictions = work.answer(redshift)
    return Update(
        states=ObjectStates(work.data),
        predictions=predictions,
        answered=work.routes != NOTHING,
        entries=work.entries,
        rewritten=work.rewritten,
        late=work.late,
        previous=np.ascontiguousarray(states.data["proba"]),
    )


def _bits(curves: LightCurves) -> tuple[NDArray[Any], ...]:
    """Observations as integers, for digests: bits of mjd, band, bits of fluxes, flags."""
    as_bits = (
        curves.mjd.view(np.int64),
        curves.band,
        curves.flux.view(np.int32),
        curves.flux_err.view(np.int32),
    )
    return (*as_bits, curves.detected)
