"""The running state against slow calculations on whole arrays, which remember everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.bands import BANDS
from firstlight.encoder import running
from firstlight.encoder.steps import StepsConfig, make_steps
from firstlight.lightcurves import LightCurves

CONFIG = StepsConfig()
SCALE = CONFIG.flux_scale
WINDOW_NAMES = [f"trigger{k}" for k in range(9)] + [f"peak{k}" for k in range(7)]


def signed_log(days):
    return np.sign(days) * np.log1p(np.abs(days))


def first_true(flags):
    return int(np.argmax(flags)) if flags.any() else None


def arrays_of(one):
    return one.mjd, one.band, one.flux.astype(float), one.flux_err.astype(float), one.detected


def slow_scalars(mjd, band, flux, err, detected):
    """The scalar entries of the summary, from whole arrays."""
    trigger = first_true(detected)
    season = np.concatenate([[0], np.cumsum(np.diff(mjd) > 60.0)])
    low, dip = flux - 2.0 * err, -flux - 2.0 * err
    high_low, high_dip = max(low.max(), 0.0), max(dip.max(), 0.0)
    start = mjd[0] if trigger is None else mjd[trigger]
    out = {
        "n_obs": np.log1p(len(mjd)),
        "span": np.log1p(mjd[-1] - mjd[0]),
        "triggered": float(trigger is not None),
        "n_detections": np.log1p(detected.sum()),
        "n_seasons": season[-1] + 1.0,
        "n_seasons_detected": float(len(np.unique(season[detected]))),
        "peak": np.arcsinh(high_low / SCALE),
        "dip": np.arcsinh(high_dip / SCALE),
    }
    if high_low + high_dip > 0.0:
        out["dip_ratio"] = (high_low - high_dip) / (high_low + high_dip)
    if trigger is not None:
        last_detection = mjd[detected][-1]
        out["before_trigger"] = np.log1p(mjd[trigger] - mjd[0])
        out["detected_span"] = np.log1p(last_detection - mjd[trigger])
        out["since_detection"] = np.log1p(mjd[-1] - last_detection)
        out["detected_fraction"] = detected.sum() / (len(mjd) - trigger)
    if high_low > 0.0:
        peak = int(np.argmax(low))
        out["peak_time"] = signed_log(mjd[peak] - start)
        out["since_peak"] = np.log1p(mjd[-1] - mjd[peak])
        out[f"peak_in_{BANDS[band[peak]]}"] = 1.0
    if high_dip > 0.0:
        out["dip_time"] = signed_log(mjd[int(np.argmax(dip))] - start)
    return out


def slow_moments(flux, err):
    """Weighted moments of the asinh fluxes of one band, central ones taken about the mean itself."""
    y = np.arcsinh(flux / SCALE)
    y_err = err / np.hypot(SCALE, np.maximum(np.abs(flux) - 2.0 * err, 0.0))
    weight = 1.0 / (y_err**2 + 0.01)
    mean = np.average(y, weights=weight)
    second, third, fourth = (np.average((y - mean) ** k, weights=weight) for k in (2, 3, 4))
    second = max(second, 1e-6)
    out = {"mean": mean, "deviation": np.sqrt(second)}
    if len(flux) > 2:
        out["skew"] = np.arcsinh(third / second**1.5)
        out["kurtosis"] = np.log1p(fourth / second**2)
    return out


def slow_band(mjd, flux, err, detected, first, start, n_all):
    """The entries of one band, from its own whole arrays."""
    n, snr = len(mjd), flux / err
    out = slow_moments(flux, err) | {
        "share": n / n_all,
        "detected": detected.mean(),
        "positive": (snr > 3.0).mean(),
        "negative": (snr < -3.0).mean(),
        "snr_max": np.arcsinh(max(snr.max(), 0.0)),
        "snr_min": np.arcsinh(min(snr.min(), 0.0)),
        "high": np.arcsinh(max((flux - err).max(), 0.0) / SCALE),
        "low": np.arcsinh(max((-flux - err).max(), 0.0) / SCALE),
    }
    if n > 1:
        mean = np.average(flux, weights=err**-2.0)
        out["excess"] = np.log1p((((flux - mean) / err) ** 2).sum() / (n - 1))
    if (flux - err).max() > 0.0:
        out["high_time"] = signed_log(mjd[int(np.argmax(flux - err))] - start)
    lit = snr > 3.0
    if lit.any():
        centre = np.average(mjd[lit] - first, weights=flux[lit])
        spread = np.average((mjd[lit] - first - centre) ** 2, weights=flux[lit])
        out["light_time"] = signed_log(centre + first - start)
        out["light_width"] = np.log1p(np.sqrt(spread))
    gap = np.diff(mjd)
    change = np.diff(flux) ** 2 / (err[1:] ** 2 + err[:-1] ** 2)
    for name, low, high in (("night", 0.0, 1.5), ("days", 1.5, 12.0), ("weeks", 12.0, np.inf)):
        chosen = (gap >= low) & (gap < high)
        if chosen.any():
            out[f"change_{name}"] = np.log1p(change[chosen].mean())
    return out


def slow_windows(mjd, band, flux, err, detected):
    """The window fluxes and how well each is known, from whole arrays."""
    low = flux - 2.0 * err
    peak = int(np.argmax(low)) if low.max() > 0.0 else None
    top = max(flux[peak], SCALE) if peak is not None else SCALE
    trigger = first_true(detected)
    place = np.zeros(len(mjd), dtype=int)
    if trigger is not None:
        after = np.arange(len(mjd)) >= trigger
        edges = np.append(running.TRIGGER_EDGES, np.inf)
        place[after] = 1 + np.digitize(mjd[after] - mjd[trigger], edges[1:])
    rows = [(f"trigger{place[i]}", i) for i in range(len(mjd))]
    if peak is not None:
        edges = np.append(running.PEAK_EDGES, np.inf)
        rows += [(f"peak{np.digitize(mjd[i] - mjd[peak], edges[1:])}", i) for i in range(peak, len(mjd))]
        for other in set(range(6)) - {int(band[peak])}:
            before = np.flatnonzero(band[:peak] == other)
            if len(before) and mjd[peak] - mjd[before[-1]] <= 4.0:
                rows.append(("peak0", int(before[-1])))
    out = {}
    prior = 1.0 / (0.3 * top) ** 2
    for name in WINDOW_NAMES:
        for b in range(6):
            inside = [i for window, i in rows if window == name and band[i] == b]
            if inside:
                weight = err[inside] ** -2.0
                relative = (weight * flux[inside]).sum() / (weight.sum() + prior) / top
                out[f"{name}_{BANDS[b]}"] = np.clip(relative, -2.0, 2.0)
                out[f"{name}_{BANDS[b]}_known"] = weight.sum() / (weight.sum() + prior)
    return out


def slow_summary(one):
    """Every entry of the summary of one object, in order; 0 where nothing is known."""
    mjd, band, flux, err, detected = arrays_of(one)
    trigger = first_true(detected)
    start = mjd[0] if trigger is None else mjd[trigger]
    out = slow_scalars(mjd, band, flux, err, detected) | slow_windows(mjd, band, flux, err, detected)
    for b, name in enumerate(BANDS):
        here = band == b
        if here.any():
            entries = slow_band(mjd[here], flux[here], err[here], detected[here], mjd[0], start, len(mjd))
            out |= {f"{entry}_{name}": value for entry, value in entries.items()}
    assert set(out) <= set(running.SUMMARY_NAMES)
    return np.array([out.get(name, 0.0) for name in running.SUMMARY_NAMES])


def slow_bins(mjd, detected):
    """Index of the bin of each observation."""
    trigger = first_true(detected)
    number, end, out = -1, -np.inf, []
    for i, t in enumerate(mjd):
        if t >= end or i == trigger:
            number += 1
            width = CONFIG.width_before
            if trigger is not None and i >= trigger:
                later = [
                    w for p, w in zip(CONFIG.phases, CONFIG.widths, strict=True) if t - mjd[trigger] >= p
                ]
                width = later[-1] if later else CONFIG.width_after
            end = t + width
        out.append(number)
    return np.array(out, dtype=int)


def slow_channels(one):
    """Channels of every bin of one object, each from the arrays as they stood when it closed."""
    mjd, band, flux, err, detected = arrays_of(one)
    number = slow_bins(mjd, detected)
    trigger = first_true(detected)
    out = np.zeros((number[-1] + 1, running.N_CHANNELS))
    starts = [mjd[first_true(number == k)] for k in range(len(out))]
    for k, row in enumerate(out):
        past = number <= k
        low = (flux - 2.0 * err)[past]
        peak = max(flux[past][int(np.argmax(low))], SCALE) if low.max() > 0.0 else SCALE
        for b in range(6):
            inside = (number == k) & (band == b)
            if inside.any():
                mean = np.average(flux[inside], weights=err[inside] ** -2.0)
                spread = np.sqrt(np.average((flux[inside] - mean) ** 2, weights=err[inside] ** -2.0))
                soft = np.hypot(SCALE, mean)
                row[5 * b : 5 * b + 5] = [
                    0.3 * np.arcsinh(mean / SCALE),
                    np.clip(mean / peak, -2.0, 2.0),
                    min((err[inside] ** -2.0).sum() ** -0.5 / soft, 2.0),
                    1.0,
                    min(np.arcsinh(spread / soft), 2.0),
                ]
        triggered = trigger is not None and past[trigger]
        row[30] = 0.25 * np.log1p(starts[k] - starts[k - 1]) if k else 0.0
        row[31] = float(triggered)
        row[32] = 0.25 * np.log1p(starts[k] - mjd[trigger]) if triggered else 0.0
        row[33] = 0.25 * np.log1p(starts[k] - mjd[0])
        row[34] = 0.3 * np.log1p((number == k).sum())
        row[35] = detected[number == k].mean()
    return out


def tolerance(expected):
    """Largest effect of rounding on each entry of a summary.

    The state sums raw powers, so third and fourth moments of fluxes that hardly scatter about
    a large mean are differences of large numbers: they lose (mean / deviation)^k in precision.
    """
    out = np.full(running.N_SUMMARY, 2e-4)
    for band in BANDS:
        mean, deviation = (
            expected[running.SUMMARY_NAMES.index(f"{n}_{band}")] for n in ("mean", "deviation")
        )
        for name, power in (("skew", 3), ("kurtosis", 4)):
            lost = 1e-14 * (np.abs(mean) / max(deviation, 1e-3)) ** power
            out[running.SUMMARY_NAMES.index(f"{name}_{band}")] += lost
    return out


def compare(curves):
    steps = make_steps(curves, CONFIG)
    for i, one in enumerate(curves):
        expected = slow_summary(one)
        wrong = np.flatnonzero(~np.isclose(steps.summary[i], expected, rtol=1e-4, atol=tolerance(expected)))
        assert not len(wrong), {running.SUMMARY_NAMES[k]: (steps.summary[i][k], expected[k]) for k in wrong}
        values = steps.values[steps.offsets[i] : steps.offsets[i + 1]]
        np.testing.assert_allclose(values, slow_channels(one), rtol=1e-4, atol=2e-4)


def made(mjd, band, flux, err, detected=None):
    """One object from arrays."""
    n = len(mjd)
    columns = {} if detected is None else {"detected": np.asarray(detected, dtype=bool)}
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=np.asarray(mjd, dtype=float),
        band=np.broadcast_to(band, n),
        flux=np.broadcast_to(np.asarray(flux, dtype=float), n),
        flux_err=np.broadcast_to(np.asarray(err, dtype=float), n),
        **columns,
    )


def random_object(rng, n):
    """An outburst on noise, in all bands, over some seasons."""
    mjd = np.sort(rng.uniform(0.0, rng.choice([3.0, 60.0, 900.0]), n)) + 59_000.0
    light = rng.uniform(-2_000.0, 5_000.0) * np.exp(
        -0.5 * ((mjd - mjd[n // 2]) / rng.uniform(1.0, 60.0)) ** 2
    )
    err = rng.uniform(5.0, 80.0, n)
    return made(mjd, rng.integers(0, 6, n), light + err * rng.normal(size=n), err)


# --- agreement with whole arrays ----------------------------------------------------


def test_real_curves_agree_with_whole_arrays(sample):
    compare(sample.take(np.arange(0, len(sample), 8)))


def test_real_curves_cut_short_agree_with_whole_arrays(sample):
    some = sample.take(np.arange(2, len(sample), 9))
    for days in (0.0, 6.0, 33.0):
        compare(some.upto_phase(days))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 40))
def test_any_outburst_agrees_with_whole_arrays(seed, n):
    compare(random_object(np.random.default_rng(seed), n))


@pytest.mark.parametrize("band", range(6))
def test_one_band_alone_agrees_with_whole_arrays(band):
    rng = np.random.default_rng(band)
    mjd = np.sort(rng.uniform(0.0, 200.0, 30))
    curves = made(mjd, band, 800.0 * np.sin(mjd / 9.0) + rng.normal(0, 20, 30), 20.0)
    compare(curves)
    summary = make_steps(curves, CONFIG).summary[0]
    for other in set(range(6)) - {band}:
        names = [name for name in running.SUMMARY_NAMES if name.endswith(f"_{BANDS[other]}")]
        assert not any(summary[running.SUMMARY_NAMES.index(name)] for name in names)


def test_noise_that_never_triggers_agrees_with_whole_arrays():
    rng = np.random.default_rng(3)
    mjd = np.sort(rng.uniform(0.0, 400.0, 50))
    compare(made(mjd, rng.integers(0, 6, 50), rng.normal(0, 20, 50), 20.0, np.zeros(50)))


def test_light_that_only_dims_agrees_with_whole_arrays():
    mjd = np.arange(0.0, 60.0, 1.7)
    compare(made(mjd, np.arange(len(mjd)) % 6, -3_000.0 - 20.0 * mjd, 30.0, np.arange(len(mjd)) == 4))


def test_many_observations_at_one_instant_agree_with_whole_arrays():
    rng = np.random.default_rng(4)
    mjd = np.repeat([0.0, 10.0, 20.0], 6)
    compare(made(mjd, np.tile(np.arange(6), 3), rng.normal(500.0, 300.0, 18), 25.0))


# --- the state itself ------------------------------------------------------------------


def fresh():
    state = np.full(running.STATE_SIZE, 7.0)
    running.clear(state)
    return state


def summary_of(state):
    out = np.full(running.N_SUMMARY, 9.0, dtype=np.float32)
    running.summarise(state, SCALE, out)
    return dict(zip(running.SUMMARY_NAMES, out.tolist(), strict=True))


def push(state, mjd, band=1, flux=1_000.0, err=10.0, detected=True):
    closed = np.zeros(running.N_CHANNELS, dtype=np.float32)
    return running.advance(state, mjd, band, flux, err, detected, SCALE, CONFIG.bins(), closed), closed


def test_a_cleared_state_forgets_its_content():
    state = fresh()
    push(state, 1.0)
    running.clear(state)
    np.testing.assert_array_equal(state, fresh())
    assert not any(summary_of(state).values())


def test_reading_a_state_does_not_change_it():
    state = fresh()
    for day in (0.0, 1.0, 40.0):
        push(state, day)
    before = state.copy()
    summary_of(state)
    running.bin_channels(state, SCALE, np.zeros(running.N_CHANNELS, dtype=np.float32))
    np.testing.assert_array_equal(state, before)


def test_names_are_unique_and_as_many_as_there_are_entries():
    assert len(set(running.SUMMARY_NAMES)) == running.N_SUMMARY
    assert running.N_CHANNELS == 36


def test_the_first_observation_closes_no_bin():
    assert push(fresh(), 5.0)[0] is False


def test_a_bin_ends_exactly_at_its_width():
    state = fresh()
    push(state, 0.0)
    assert push(state, 2.999)[0] is False
    has_closed, channels = push(state, 3.0)
    assert has_closed
    assert channels[34] == pytest.approx(0.3 * np.log1p(2.0))


def test_a_second_detection_opens_no_bin_of_its_own():
    state = fresh()
    push(state, 0.0, detected=False)
    assert push(state, 1.0)[0]
    assert not push(state, 1.5)[0]


def test_the_trigger_never_moves():
    state = fresh()
    push(state, 0.0, detected=False)
    push(state, 4.0)
    for day in (5.0, 300.0, 301.0):
        push(state, day, flux=1e6)
        assert state[running.T_TRIGGER] == 4.0


@pytest.mark.parametrize(("gap", "seasons"), [(60.0, 1.0), (60.5, 2.0)])
def test_a_season_ends_after_more_than_sixty_days(gap, seasons):
    state = fresh()
    push(state, 0.0)
    push(state, gap)
    assert summary_of(state)["n_seasons"] == seasons
    assert summary_of(state)["n_seasons_detected"] == seasons


@pytest.mark.parametrize(("day", "kept"), [(4.0, True), (4.1, False)])
def test_a_new_peak_keeps_the_other_bands_of_its_epoch_only(day, kept):
    state = fresh()
    push(state, 0.0, band=2, flux=500.0)
    push(state, day, band=1, flux=5_000.0)
    assert (summary_of(state)["peak0_r_known"] > 0.0) == kept


def test_a_brighter_peak_restarts_its_windows():
    state = fresh()
    push(state, 0.0, flux=1_000.0)
    push(state, 20.0, flux=500.0)
    assert summary_of(state)["peak2_g"] == pytest.approx(0.5, rel=0.01)
    push(state, 30.0, flux=9_000.0)
    now = summary_of(state)
    assert now["peak2_g_known"] == 0.0
    assert now["peak0_g"] == pytest.approx(1.0, rel=0.01)


def test_an_equally_bright_flux_is_no_new_peak():
    state = fresh()
    push(state, 0.0, band=1)
    push(state, 10.0, band=4)
    assert summary_of(state)["peak_in_g"] == 1.0
    assert summary_of(state)["peak_in_z"] == 0.0


def test_a_bright_flux_of_large_error_is_no_peak():
    state = fresh()
    push(state, 0.0, flux=1_000.0, err=10.0)
    push(state, 10.0, flux=1e5, err=6e4)
    assert state[running.PEAK] == 1_000.0


@pytest.mark.parametrize("flux", [-1e12, -1.0, 0.0, 1.0, 1e12])
@pytest.mark.parametrize("err", [1e-6, 1.0, 1e12])
def test_absurd_fluxes_leave_finite_numbers(flux, err):
    state = fresh()
    for day in range(4):
        push(state, float(day), band=day % 2, flux=flux, err=err)
    assert np.isfinite(list(summary_of(state).values())).all()
    channels = np.zeros(running.N_CHANNELS, dtype=np.float32)
    running.bin_channels(state, SCALE, channels)
    assert np.isfinite(channels).all()


def test_widths_follow_the_table():
    bins = CONFIG.bins()
    assert running.bin_width(0.0, False, bins) == 25.0
    days = [0.0, 29.9, 30.0, 99.9, 100.0, 199.9, 200.0, 5_000.0]
    assert [running.bin_width(day, True, bins) for day in days] == [
        3.0,
        3.0,
        7.0,
        7.0,
        15.0,
        15.0,
        30.0,
        30.0,
    ]


def test_edges_cannot_be_changed_by_accident():
    for edges in (running.TRIGGER_EDGES, running.PEAK_EDGES):
        with pytest.raises(ValueError, match="read-only"):
            edges[0] = 1.0
