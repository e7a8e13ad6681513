"""`update`: advance the states of a batch of objects by one alert each, and classify them.

An alert in order advances the state, at a cost that does not depend on the past. A late or contradicting
alert reads the object's history and merges; so do presets whose features or cleaning look back. In any case
the predictions equal those of `Pipeline.predict` on all observations so far (parity).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firstlight._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, StrArray
from firstlight.bands import N_BANDS
from firstlight.classify import StatusConfig, status_from_counts
from firstlight.encoder import Encoder, EncoderState, Latents, running
from firstlight.errors import DataError
from firstlight.features.nights import advance_rows, initial_rows
from firstlight.hosts import UsedRedshifts
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.curves import RedshiftMode
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS
from firstlight.online.arrivals import Arrivals
from firstlight.online.history import MAX_ENTRIES, Histories, read_histories, write_entries
from firstlight.online.kernels import (
    APPEND,
    KEPT,
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
from firstlight.predictions import NOT_CLASSIFIED, Domain, Predictions, Scores
from firstlight.preprocess import PreprocessConfig, preprocess, with_ebv
from firstlight.preprocess.dust_map import map_ebv
from firstlight.taxonomy import Taxonomy

#: Returns the history entries of the objects at the given positions, oldest first.
HistoryReader = Callable[[IntArray], list[list[bytes]]]

#: How an alert changed earlier observations, by the codes of `online.kernels`.
LATE_REASONS = ("", "added", "changed", "removed")

_EBV, _PLACE = META.index("ebv"), [META.index("ra"), META.index("dec")]
_SNR = running.BAND_BLOCK + running.BAND_SIZE * np.arange(N_BANDS)


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a pipeline that an update needs.

    Attributes
    ----------
    encoder : Encoder
    preprocess : PreprocessConfig
    status : StatusConfig
    needs_history : bool
        Whether features or cleaning use the whole history.
    score : callable
        From latents, context, light curves (without observations unless `needs_history`), phases and
        the nightly points of the states, if they have some, to `Scores`.
    assumed : callable
        From bins of the class mix to class frequencies.
    domain_words : callable
        From codes of the domain to domains and reasons; None if the bundle has none.
    min_domain : str, optional
        As in `Predictions.of`.
    hosts : callable, optional
        From objects to the redshifts that their answers use; None without a context.
    taxonomy : Taxonomy
        Classes of the probabilities.
    """

    encoder: Encoder
    preprocess: PreprocessConfig
    status: StatusConfig
    needs_history: bool
    score: Callable[[Latents, Float32Array, LightCurves, FloatArray, FloatArray | None], Scores]
    assumed: Callable[[IntArray], FloatArray]
    domain_words: Callable[[IntArray], tuple[StrArray, StrArray] | None]
    min_domain: Domain | None = None
    hosts: Callable[[LightCurves], UsedRedshifts] | None = None
    taxonomy: Taxonomy = field(default_factory=Taxonomy)


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """Result of one alert for each of n objects.

    Attributes
    ----------
    states : ObjectStates
        The new states.
    predictions : Predictions
        One row per object, in order; the reason is ``repeated`` if the alert was not answered.
    answered : bool array, shape (n_objects,)
        False for a repeated alert: state and history stay.
    entries : list of bytes
        New entry of each object's history; empty if not answered.
    rewritten : bool array, shape (n_objects,)
        Whether the entry replaces the whole history instead of following it.
    late : bool array, shape (n_objects,)
        Whether the alert changed earlier observations.
    late_reason : list of str
        How: ``added`` earlier ones, ``changed`` a known one, or ``removed`` one that the survey withdrew,
        gave to another object or judged as bad; empty if not late.
    previous : float64 array, shape (n_objects, n_classes)
        Probabilities of the previous prediction; NaN for the first.
    ebv : float64 array, shape (n_objects,)
        E(B-V) that the predictions use [mag]; NaN where unknown, or not answered.
    ebv_source : list of str
        Its source: ``given``, ``map``, or empty.
    redshifts : UsedRedshifts, optional
        The redshifts that the predictions of the answered objects use; None without a context.
    """

    states: ObjectStates
    predictions: Predictions
    answered: BoolArray
    entries: list[bytes]
    rewritten: BoolArray
    late: BoolArray
    late_reason: list[str]
    previous: FloatArray
    ebv: FloatArray
    ebv_source: list[str]
    redshifts: UsedRedshifts | None = None


class _Batch:
    """States and results of a batch during the update."""

    def __init__(self, parts: Parts, states: ObjectStates, arrivals: Arrivals) -> None:
        n = len(arrivals)
        self.parts, self.arrivals = parts, arrivals
        self.data = states.data.copy()
        self.encoder_state: EncoderState = states.encoder_state()
        self.nights = states.nights()
        self.routes = np.empty(n, np.int64)
        self.first = np.zeros(n, np.int64)
        self.repeat = np.zeros(n, np.int64)
        self.digests = np.zeros(n, np.uint64)
        self.recent = np.ascontiguousarray(self.data["recent"])
        self.entries = [b""] * n
        self.rewritten = np.zeros(n, np.bool_)
        self.change = np.zeros(n, np.int64)
        self.meta = np.column_stack([getattr(arrivals.curves, name) for name in META]).astype(np.float64)
        self.ready: LightCurves | None = None
        self.ebv = np.full(n, np.nan)
        self.redshifts: UsedRedshifts | None = None

    def route(self) -> None:
        """Choose the route of each alert."""
        d, a, curves = self.data, self.arrivals, self.arrivals.curves
        known = d["n_obs"] > 0
        self._refuse_dust(np.flatnonzero(known & (d["dereddened"] != int(curves.dereddened))))
        dust = known & self._changes_dust()
        fields = ("n_obs", "last_mjd", "digest", "alert_mjd", "alert", "n_entries")
        route(
            tuple(np.ascontiguousarray(d[name]) for name in fields),
            (curves.offsets, curves.mjd, *_bits(curves), a.alert_mjd, a.alert, a.listed_from.min(axis=1)),
            dust | self.parts.needs_history,
            (self.routes, self.first, self.repeat, self.digests, self.recent),
        )

    def _changes_dust(self) -> BoolArray:
        """Whether an alert may change the E(B-V) that earlier fluxes of its object were corrected for."""
        known, stated = self.data["meta"], self.meta[:, _EBV]
        changes = ~np.isnan(stated) & (stated != known[:, _EBV])
        unstated = np.flatnonzero(np.isnan(stated) & np.isnan(known[:, _EBV]))
        if len(unstated):  # it comes from the position
            before = self._ebv(known[unstated])
            after = self._ebv(self._newest_meta(unstated)[0])
            changes[unstated] = (before != after) & ~(np.isnan(before) & np.isnan(after))
        return changes

    def _ebv(self, meta: FloatArray) -> FloatArray:
        """E(B-V) by position, where the settings use the map."""
        if self.parts.preprocess.dust_map == "none":
            return np.full(len(meta), np.nan)
        return map_ebv(*meta[:, _PLACE].T)

    def merge_meta(self, rows: IntArray) -> None:
        """Take position, dust and redshift of the alerts into the states; the rule is `history.newer`'s."""
        self.data["meta"][rows], self.data["meta_mjd"][rows] = self._newest_meta(rows)

    def _newest_meta(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Values of `META` after the alerts, and the times of the alerts that state them."""
        value, mjd = self.meta[rows], self.arrivals.alert_mjd[rows, None]
        known, known_mjd = self.data["meta"][rows], self.data["meta_mjd"][rows]
        counts = ~np.isnan(value) & ((mjd > known_mjd) | ((mjd == known_mjd) & (value > known)))
        return np.where(counts, value, known), np.where(counts, mjd, known_mjd)

    def append(self) -> None:
        """Advance the objects whose alerts only add new observations."""
        rows = np.flatnonzero(self.routes == APPEND)
        if not len(rows):
            return
        a, curves = self.arrivals, self.arrivals.curves
        self.merge_meta(rows)
        new = np.arange(len(curves.mjd)) >= np.repeat(self.first, curves.n_obs)
        part = self._with_meta(curves.keep(new).take(rows), rows)
        d = self.data
        self._set_alerts(rows)
        d["n_obs"][rows] += part.n_obs
        self._set_last(rows, part)
        d["digest"][rows], d["recent"][rows] = self.digests[rows], self.recent[rows]
        d["n_entries"][rows] += 1
        self._advance(rows, preprocess(part, self.parts.preprocess), np.zeros(len(rows), np.bool_))
        columns = (
            *(getattr(curves, name) for name in ("mjd", "band", "flux", "flux_err", "detected")),
            a.source_id,
            np.repeat(a.alert_mjd, curves.n_obs),
        )
        bounds = np.column_stack([self.first[rows], curves.offsets[rows + 1]])
        self._write(rows, columns, bounds, self.repeat[rows])

    def read(self, read_history: HistoryReader) -> None:
        """Update the objects whose history is needed."""
        rows = np.flatnonzero(self.routes == READ)
        if not len(rows):
            return
        histories, rows = self._histories(rows, read_history)
        if not len(rows):
            return
        d = self.data
        whole, (stated, source_id, change, repeat, follows) = self._merged(rows, histories)
        d["meta"][rows], d["meta_mjd"][rows] = histories.meta, histories.meta_mjd
        d["alert_mjd"][rows] = histories.alert_mjd
        self.merge_meta(rows)
        self._set_alerts(rows)
        whole = self._with_meta(whole, rows)
        digests = np.zeros(len(rows), np.uint64)
        extend_digests(whole.offsets, _bits(whole), digests)
        recent = np.zeros((len(rows), RECENT), np.uint32)
        remember_recent(whole.offsets, _bits(whole), recent)
        d["n_obs"][rows], d["digest"][rows], d["recent"][rows] = whole.n_obs, digests, recent
        self._set_last(rows, whole)
        ready = preprocess(whole, self.parts.preprocess)
        n_kept, digest = (np.ascontiguousarray(d[name][rows]) for name in ("n_kept", "kept_digest"))
        first = continued(ready.offsets, _bits(ready), n_kept, digest)
        start = np.where(first < 0, ready.offsets[:-1], first)
        is_new = np.arange(len(ready.mjd)) >= np.repeat(start, ready.n_obs)
        self._advance(rows, ready.keep(is_new), first < 0)
        self.change[rows] = change
        follows &= histories.n_entries < MAX_ENTRIES
        d["n_entries"][rows] = np.where(follows, histories.n_entries + 1, 1)
        self.rewritten[rows] = ~follows
        columns = (whole.mjd, whole.band, whole.flux, whole.flux_err, whole.detected, source_id, stated)
        bounds = np.column_stack([whole.offsets[:-1] + np.diff(histories.offsets), whole.offsets[1:]])
        self._write(rows[follows], columns, bounds[follows], repeat[follows])
        self._write_whole(rows, columns, whole.offsets, histories, np.flatnonzero(~follows))
        self.ready = ready

    def _histories(self, rows: IntArray, read_history: HistoryReader) -> tuple[Histories, IntArray]:
        """Histories of the objects at `rows`, without those that have already answered this alert."""
        entries = read_history(rows)
        histories = read_histories(entries)
        a = self.arrivals
        repeated = answered_before(histories.alert_offsets, histories.alerts, a.alert[rows])
        if repeated.any():
            self.routes[rows[repeated]] = NOTHING
            histories = read_histories([entries[i] for i in np.flatnonzero(~repeated)])
            rows = rows[~repeated]
        differs = (histories.n_entries > 0) & (histories.dereddened != a.curves.dereddened)
        self._refuse_dust(rows[differs])
        return histories, rows

    def _refuse_dust(self, rows: IntArray) -> None:
        if len(rows):
            raise DataError(
                f"object {str(self.arrivals.curves.object_id[rows[0]])!r}: dereddened fluxes and raw ones "
                "cannot follow each other; correct them before they become alerts"
            )

    def _merged(self, rows: IntArray, h: Histories) -> tuple[LightCurves, tuple[AnyArray, ...]]:
        """Merged light curves; and stated, source_id, change, repeat, follows of `merge_histories`."""
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
        offsets, repeat = np.zeros(n + 1, np.int64), np.empty(n, np.int64)
        change, follows = np.empty(n, np.int64), np.empty(n, np.bool_)
        merge_histories(
            h.offsets,
            (h.mjd, h.band, h.flux, h.flux_err, h.detected, h.source_id, h.stated),
            arrived.offsets,
            (arrived.mjd, arrived.band, arrived.flux, arrived.flux_err, arrived.detected, source),
            self.arrivals.alert_mjd[rows],
            (h.listed_mjd, h.listed_from, self.arrivals.listed_from[rows]),
            out,
            offsets,
            change,
            repeat,
            follows,
        )
        columns: list[Any] = [column[: offsets[-1]] for column in out]
        mjd, band, flux, flux_err, detected, source_id, stated = columns
        whole = LightCurves(
            arrived.object_id, offsets, mjd, band, flux, flux_err, detected, dereddened=arrived.dereddened
        )
        return whole, (stated, source_id, change, repeat, follows)

    def _with_meta(self, curves: LightCurves, rows: IntArray) -> LightCurves:
        """Light curves with the known values of `META`, which were checked on arrival."""
        values = zip(META, self.data["meta"][rows].T, strict=True)
        stated = curves._derive(**{name: value.astype(OBJECT_COLUMNS[name]) for name, value in values})
        return with_ebv(stated, self.parts.preprocess)

    def _set_alerts(self, rows: IntArray) -> None:
        """Store the newest alert."""
        d, a = self.data, self.arrivals
        newest = rows[a.alert_mjd[rows] >= d["alert_mjd"][rows]]
        d["alert_mjd"][newest], d["alert"][newest] = a.alert_mjd[newest], a.alert[newest]
        d["dereddened"][rows] = int(a.curves.dereddened)

    def _set_last(self, rows: IntArray, curves: LightCurves) -> None:
        some = curves.n_obs > 0
        self.data["last_mjd"][rows[some]] = curves.mjd[curves.offsets[1:][some] - 1]

    def _advance(self, rows: IntArray, new: LightCurves, reset: BoolArray) -> None:
        """Advance the states by preprocessed observations, after a reset of some."""
        encoder, d = self.parts.encoder, self.data
        state = self.encoder_state.take(rows)
        if reset.any():
            clear = encoder.initial_state(1)
            state.running[reset], state.hidden[reset] = clear.running, clear.hidden
            d["n_kept"][rows[reset]], d["kept_digest"][rows[reset]] = 0, 0
        state = encoder.advance(state, new)
        self.encoder_state.running[rows], self.encoder_state.hidden[rows] = state.running, state.hidden
        if self.nights is not None:
            nights = self.nights[rows]
            nights[reset] = initial_rows(1)
            advance_rows(nights, new)
            self.nights[rows] = nights
        digests = np.ascontiguousarray(d["kept_digest"][rows])
        extend_digests(new.offsets, _bits(new), digests)
        d["n_kept"][rows] += new.n_obs
        d["kept_digest"][rows] = digests

    def _write(
        self,
        rows: IntArray,
        columns: tuple[AnyArray, ...],
        bounds: IntArray,
        repeat: IntArray,
    ) -> None:
        """Write entries that hold this alert alone."""
        a, n = self.arrivals, len(rows)
        meta_mjd = np.broadcast_to(a.alert_mjd[rows, None], (n, len(META))).copy()
        entries = write_entries(
            columns,
            bounds,
            repeat,
            (a.alert[rows], np.arange(n + 1)),
            a.alert_mjd[rows],
            (self.meta[rows], meta_mjd),
            (self._listed_mjd(rows), a.listed_from[rows]),
            np.full(n, a.curves.dereddened),
        )
        for i, entry in zip(rows.tolist(), entries, strict=True):
            self.entries[i] = entry

    def _listed_mjd(self, rows: IntArray) -> FloatArray:
        """Time of each alert if it lists the past, else -inf."""
        lists = np.isfinite(self.arrivals.listed_from[rows]).any(axis=1)
        return np.where(lists, self.arrivals.alert_mjd[rows], -np.inf)

    def _write_whole(
        self,
        rows: IntArray,
        columns: tuple[AnyArray, ...],
        offsets: IntArray,
        histories: Histories,
        chosen: IntArray,
    ) -> None:
        """Write entries that hold a whole history, including this alert."""
        known = [histories.alerts[slice(*histories.alert_offsets[i : i + 2])] for i in chosen]
        row, n = rows[chosen], len(chosen)
        alerts = [
            np.append(before, alert) for before, alert in zip(known, self.arrivals.alert[row], strict=True)
        ]
        digests = np.concatenate([np.empty(0, np.uint64), *alerts])
        listed_mjd, known_mjd = self._listed_mjd(row), histories.listed_mjd[chosen]
        is_newer = listed_mjd >= known_mjd
        listed_from = np.where(
            is_newer[:, None], self.arrivals.listed_from[row], histories.listed_from[chosen]
        )
        entries = write_entries(
            columns,
            np.column_stack([offsets[chosen], offsets[chosen + 1]]),
            np.zeros(n, np.int64),
            (digests, np.cumsum([0, *map(len, alerts)])),
            np.ascontiguousarray(self.data["alert_mjd"][row]),
            (self.data["meta"][row], self.data["meta_mjd"][row]),
            (np.where(is_newer, listed_mjd, known_mjd), listed_from),
            np.full(n, self.arrivals.curves.dereddened),
        )
        for i, entry in zip(row.tolist(), entries, strict=True):
            self.entries[i] = entry

    def answer(self, redshift: RedshiftMode) -> Predictions:
        """Classify the answered objects from their states."""
        d, curves = self.data, self.arrivals.curves
        answered = np.flatnonzero(self.routes != NOTHING)
        d["running"], d["hidden"] = self.encoder_state.running, self.encoder_state.hidden
        if self.nights is not None:
            d["nights"] = self.nights
        state = self.encoder_state.take(answered)
        objects = self._objects(answered).with_redshift(redshift)
        self.ebv[answered] = objects.ebv
        phase = state.running[:, running.T_LAST] - state.running[:, running.T_TRIGGER]
        snr = np.maximum(
            state.running[:, _SNR + running.B_SNR_MAX], -state.running[:, _SNR + running.B_SNR_MIN]
        )
        least = self.parts.status
        has_signal = snr.max(axis=1, initial=0.0) >= least.min_snr
        n_obs, n_detected = state.running[:, running.N_OBS], state.running[:, running.N_DET]
        status, reason = status_from_counts(n_obs, n_detected, has_signal, least)
        n = len(curves)
        scores = Scores.empty(n, len(self.parts.taxonomy.classes))
        found = self._score(state, objects, phase, None if self.nights is None else self.nights[answered])
        for whole, part in zip(scores, found, strict=True):
            whole[answered] = part
        all_status, all_reason = np.full(n, NOT_CLASSIFIED), np.full(n, "repeated", dtype="U32")
        all_status[answered], all_reason[answered] = status, reason
        all_phase = np.full(n, np.nan)
        all_phase[answered] = phase
        predictions = Predictions.of(
            scores,
            all_status,
            all_reason,
            self.parts.assumed(scores.bin),
            check=False,
            object_id=curves.object_id,
            n_obs=d["n_obs"].copy(),
            phase=all_phase,
            domain=self.parts.domain_words(scores.domain),
            min_domain=self.parts.min_domain,
            taxonomy=self.parts.taxonomy,
        )
        d["proba"][answered] = predictions.proba[answered]
        return predictions

    def _score(
        self, state: EncoderState, objects: LightCurves, phase: FloatArray, nights: FloatArray | None
    ) -> Scores:
        """Scores of the answered objects, over all redshifts of a context if there is one."""
        used = None if self.parts.hosts is None else self.parts.hosts(objects)
        if used is not None:
            self.redshifts, objects = used, used.shown(objects)
            state, phase = state.take(used.owner), phase[used.owner]
            nights = None if nights is None else nights[used.owner]
        latents, context = self.parts.encoder.latents_and_context(
            state, objects.redshift, objects.redshift_err
        )
        found = self.parts.score(latents, context, objects, phase, nights)
        return found if used is None else used.marginal(found)

    def ebv_source(self) -> list[str]:
        """Source of the E(B-V) of each object, as in `Update`."""
        source = np.where(np.isnan(self.data["meta"][:, _EBV]), "map", "given")
        return np.where(np.isnan(self.ebv), "", source).tolist()

    def _objects(self, answered: IntArray) -> LightCurves:
        """The answered objects, with their preprocessed observations if these are needed."""
        if self.parts.needs_history and self.ready is not None:
            return self.ready  # then every answered object was read, in order
        bare = self.arrivals.curves._derive(
            object_id=self.arrivals.curves.object_id[answered],
            offsets=np.zeros(len(answered) + 1, np.int64),
            **{name: np.empty(0, kind) for name, kind in OBSERVATION_COLUMNS.items()},
        )
        return self._with_meta(bare, answered)


def update(
    parts: Parts,
    states: ObjectStates,
    arrivals: Arrivals,
    read_history: HistoryReader,
    redshift: RedshiftMode = "photo",
) -> Update:
    """Advance the states of n objects by one alert each, and classify them.

    Parameters
    ----------
    parts : Parts
        Parts of the pipeline.
    states : ObjectStates
        States of the n objects; left unchanged.
    arrivals : Arrivals
        Content of their alerts.
    read_history : callable
        Called with the positions of the objects whose history is needed.
    redshift : {"photo", "spec", "none"}
        Host redshift that the classifier uses, as in `LightCurves.with_redshift`.

    Raises
    ------
    DataError
        If the numbers of objects differ, dereddened fluxes meet raw ones, or a history is
        damaged.
    """
    if len(states) != len(arrivals):
        raise DataError(f"update: {len(states)} states but {len(arrivals)} alerts")
    batch = _Batch(parts, states, arrivals)
    batch.route()
    batch.append()
    batch.read(read_history)
    predictions = batch.answer(redshift)
    return Update(
        states=ObjectStates(batch.data),
        predictions=predictions,
        answered=batch.routes != NOTHING,
        entries=batch.entries,
        rewritten=batch.rewritten,
        late=batch.change != KEPT,
        late_reason=[LATE_REASONS[code] for code in batch.change.tolist()],
        previous=np.ascontiguousarray(states.data["proba"]),
        ebv=batch.ebv,
        ebv_source=batch.ebv_source(),
        redshifts=batch.redshifts,
    )


def _bits(curves: LightCurves) -> tuple[AnyArray, ...]:
    """Columns of `continued`: bits of mjd, band, bits of fluxes, detection flags."""
    as_bits = (
        curves.mjd.view(np.int64),
        curves.band,
        curves.flux.view(np.int32),
        curves.flux_err.view(np.int32),
    )
    return (*as_bits, curves.detected)
