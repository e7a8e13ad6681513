"""`LightCurves`: the type that crosses every boundary."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests._make import assert_same_curves

from firstlight.errors import DataError, MissingColumnError
from firstlight.lightcurves import LightCurves
from firstlight.lightcurves.rows import OBJECT_COLUMNS, OBSERVATION_COLUMNS

FORBIDDEN = ("target", "label", "class", "true_target", "true_z", "tflux_g", "libid_cadence", "distmod")


def make(n_obs=(3, 0, 2), **columns):
    """Objects a, b, c, ... with the given numbers of observations, faint but for every third."""
    total = sum(n_obs)
    values = {
        "object_id": [chr(ord("a") + i) for i in range(len(n_obs))],
        "offsets": np.concatenate([[0], np.cumsum(n_obs)]),
        "mjd": np.concatenate([60000.0 + 2.0 * np.arange(n) for n in n_obs]),
        "band": np.arange(total) % 6,
        "flux": np.where(np.arange(total) % 3 == 1, 100.0, 1.0),
        "flux_err": np.full(total, 2.0),
    }
    return LightCurves(**(values | columns))


@st.composite
def light_curves(draw):
    """Any valid light curves: empty objects, negative fluxes, unknown redshifts."""
    n_obs = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    total = sum(n_obs)

    def maybe(values):
        return np.where(rng.random(len(n_obs)) < 0.3, np.nan, values)

    return LightCurves(
        object_id=[f"o{i}" for i in rng.permutation(len(n_obs))],
        offsets=np.concatenate([[0], np.cumsum(n_obs)]),
        mjd=np.concatenate([np.sort(rng.uniform(59000, 61000, n)) for n in n_obs]),
        band=rng.integers(0, 6, total),
        flux=rng.normal(0.0, 10.0 ** rng.uniform(-3, 9), total),
        flux_err=rng.uniform(0.1, 1e3, total),
        detected=rng.random(total) < 0.3,
        redshift=maybe(rng.uniform(0, 3, len(n_obs))),
        redshift_spec=maybe(rng.uniform(0, 3, len(n_obs))),
        ebv=maybe(rng.uniform(0, 1, len(n_obs))),
        dereddened=bool(rng.random() < 0.5),
    )


# --- the constructor ------------------------------------------------------------


def test_columns_have_their_types_and_are_read_only():
    curves = make()
    for name, dtype in (OBSERVATION_COLUMNS | OBJECT_COLUMNS).items():
        assert getattr(curves, name).dtype == dtype
        with pytest.raises(ValueError, match="read-only"):
            getattr(curves, name)[0] = 0


def test_the_callers_array_stays_writable_and_is_not_copied():
    mjd = np.array([1.0, 2.0])
    curves = make((2,), mjd=mjd)
    assert np.shares_memory(curves.mjd, mjd)
    assert mjd.flags.writeable


def test_fields_cannot_be_reassigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().mjd = np.empty(0)


def test_without_flags_five_sigma_is_a_detection():
    curves = make((3,), flux=[10.1, 10.0, -99.0], flux_err=[2.0, 2.0, 2.0])
    assert curves.detected.tolist() == [True, False, True]


def test_absent_object_columns_are_nan():
    assert all(np.isnan(getattr(make(), name)).all() for name in OBJECT_COLUMNS)


def test_there_is_no_room_for_a_label():
    fields = {f.name for f in dataclasses.fields(LightCurves)}
    assert not fields & set(FORBIDDEN)
    for name in FORBIDDEN:
        with pytest.raises(TypeError):
            make(**{name: [1, 2, 3]})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"offsets": [0, 3, 3]}, "offsets must rise from 0 to 5"),
        ({"offsets": [0, 3, 2, 5]}, "offsets must rise"),
        ({"offsets": [1, 3, 3, 5]}, "offsets must rise"),
        ({"flux": [1.0]}, r"column 'flux': \(1,\), expected \(5,\)"),
        ({"ra": [1.0]}, r"column 'ra': \(1,\), expected \(3,\)"),
        ({"object_id": ["a", "b", "a"]}, "object 'a' occurs 2 times"),
        ({"mjd": [1.0, 2.0, np.nan, 1.0, 2.0]}, "object 'a', observation 2: time is not finite"),
        ({"flux": [1.0, 2.0, 3.0, np.inf, 2.0]}, "object 'c', observation 0: flux is not finite"),
        ({"flux_err": [1.0, 2.0, 0.0, -1.0, 2.0]}, r"observation 2: flux error is not .* \(2 such"),
        ({"band": [0, 1, 2, 6, 0]}, "object 'c', observation 0: band index is not 0 to 5"),
        ({"band": [0, -1, 2, 5, 0]}, "object 'a', observation 1: band index"),
        ({"mjd": [1.0, 3.0, 2.0, 1.0, 2.0]}, "object 'a', observation 2: time goes backwards; sort"),
    ],
)
def test_impossible_light_curves_are_refused_with_their_place(columns, message):
    with pytest.raises(DataError, match=message):
        make(**columns)


def test_equal_times_are_allowed_and_the_next_object_may_be_earlier():
    make((2, 2), mjd=[5.0, 5.0, 1.0, 1.0])


def test_observations_at_one_time_are_put_in_order_of_band():
    curves = make((3, 2), mjd=[5.0, 5.0, 5.0, 1.0, 1.0], band=[3, 0, 2, 1, 0], flux=np.arange(5.0))
    assert curves.band.tolist() == [0, 2, 3, 0, 1]
    assert curves.flux.tolist() == [1.0, 2.0, 0.0, 4.0, 3.0]


def test_a_band_twice_at_one_time_is_refused_by_name():
    with pytest.raises(DataError, match=r"object 'a': two observations in band g at MJD 5\.0; keep one"):
        make((3, 2), mjd=[5.0, 5.0, 5.0, 1.0, 1.0], band=[1, 0, 1, 1, 0])


# --- time -----------------------------------------------------------------------


def test_the_trigger_is_the_first_detection():
    curves = make((3, 0, 2, 1), detected=[False, True, True, False, False, True])
    np.testing.assert_array_equal(curves.trigger_mjd, [60002.0, np.nan, np.nan, 60000.0])
    np.testing.assert_array_equal(curves.phase, [-2.0, 0.0, 2.0, np.nan, np.nan, 0.0])


def test_one_objects_trigger_is_that_of_the_set(sample):
    assert all(
        curve.trigger_mjd == trigger or (np.isnan(trigger) and np.isnan(curve.trigger_mjd))
        for curve, trigger in zip(sample, sample.trigger_mjd, strict=True)
    )


@given(light_curves(), st.floats(-50, 500))
def test_the_trigger_does_not_change_once_it_is_known(curves, days):
    before = curves.trigger_mjd
    after = curves.upto_mjd(np.where(np.isnan(before), 60000.0, before + abs(days))).trigger_mjd
    np.testing.assert_array_equal(after, before)


@given(light_curves(), st.floats(59000, 61000), st.floats(59000, 61000))
def test_cutting_twice_is_cutting_at_the_earlier_time(curves, early, late):
    early, late = sorted((early, late))
    assert_same_curves(curves.upto_mjd(late).upto_mjd(early), curves.upto_mjd(early))


@given(light_curves(), st.floats(59000, 61000))
def test_a_cut_keeps_exactly_the_earlier_observations(curves, mjd):
    cut = curves.upto_mjd(mjd)
    assert len(cut) == len(curves)
    assert np.all(cut.mjd <= mjd)
    assert len(cut.mjd) == np.sum(curves.mjd <= mjd)


def test_a_phase_cut_is_inclusive_and_spares_objects_without_a_trigger():
    curves = make((3, 3), detected=[True, False, False, False, False, False])
    assert curves.upto_phase(2.0).n_obs.tolist() == [2, 3]
    assert curves.upto_phase(0.0).n_obs.tolist() == [1, 3]
    assert curves.upto_phase([4.0, 0.0]).n_obs.tolist() == [3, 3]


# --- selection ------------------------------------------------------------------


def test_one_object_is_a_view():
    curves = make()
    third = curves[2]
    assert third.object_id == "c"
    assert len(third) == 2
    assert np.shares_memory(third.flux, curves.flux)
    assert curves[-1].object_id == "c"
    with pytest.raises(IndexError):
        curves[3]


def test_objects_are_found_by_name():
    assert len(make().find("c")) == 2
    with pytest.raises(DataError, match="no object 'z' among 3"):
        make().find("z")


def test_an_object_is_looked_up_by_name_too():
    curves = make()
    assert curves["c"].object_id == curves[2].object_id == "c"
    assert ("c" in curves, "z" in curves) == (True, False)
    with pytest.raises(DataError, match="no object 'z' among 3 light curves: 'a', 'b', 'c'"):
        curves["z"]
    assert curves._ipython_key_completions_() == ["a", "b", "c"]


def test_a_slice_takes_objects_by_position():
    assert_same_curves(make()[1:], make().take([1, 2]))
    assert make()[::-1].object_id.tolist() == ["c", "b", "a"]


def test_iteration_gives_every_object_in_order():
    assert [curve.object_id for curve in make()] == ["a", "b", "c"]


@given(light_curves(), st.data())
def test_taking_objects_takes_their_observations_along(curves, data):
    index = data.draw(st.lists(st.integers(0, len(curves) - 1), unique=True))
    taken = curves.take(index)
    assert taken.object_id.tolist() == curves.object_id[index].tolist()
    for one, position in zip(taken, index, strict=True):
        np.testing.assert_array_equal(one.flux, curves[position].flux)
        np.testing.assert_array_equal(one.redshift, curves[position].redshift)


def test_a_mask_takes_true_entries_and_repeats_are_allowed():
    curves = make()
    assert curves.take(np.array([True, False, True])).object_id.tolist() == ["a", "c"]
    assert curves.take([2, 2]).n_obs.tolist() == [2, 2]


@given(light_curves(), st.integers(0, 2**32 - 1))
def test_keep_drops_observations_but_no_object(curves, seed):
    mask = np.random.default_rng(seed).random(len(curves.mjd)) < 0.5
    kept = curves.keep(mask)
    np.testing.assert_array_equal(kept.flux, curves.flux[mask])
    np.testing.assert_array_equal(kept.object_index, curves.object_index[mask])
    assert_same_curves(kept.take(np.arange(len(kept))), kept)


def test_derived_light_curves_are_read_only_too():
    for derived in (make().take([0, 2]), make().keep(np.ones(5, bool)), make().with_redshift("none")):
        with pytest.raises(ValueError, match="read-only"):
            derived.redshift[0] = 1.0


# --- change -----------------------------------------------------------------------


def test_whole_columns_can_be_replaced_and_are_checked():
    assert make().with_columns(flux=np.arange(5)).flux.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="flux is not finite"):
        make().with_columns(flux=np.full(5, np.nan))


def redshifts():
    return make(
        redshift=[0.5, 0.0, np.nan], redshift_err=[0.1, 0.0, np.nan], redshift_spec=[0.4, 0.0, np.nan]
    )


def test_photometric_redshifts_are_in_use_by_default():
    curves = redshifts()
    assert curves.with_redshift("photo") is curves


def test_spectroscopic_redshifts_go_first_where_known():
    curves = redshifts().with_columns(redshift_spec=[np.nan, 0.0, 0.7]).with_redshift("spec")
    np.testing.assert_allclose(curves.redshift, [0.5, 0.0, 0.7])
    np.testing.assert_allclose(curves.redshift_err, [0.1, 0.0, 0.001])


def test_hidden_redshifts_hide_the_spectroscopic_one_too():
    curves = redshifts().with_redshift("none")
    assert np.isnan([curves.redshift, curves.redshift_err, curves.redshift_spec]).all()


def test_an_unknown_redshift_mode_is_refused():
    with pytest.raises(DataError, match="choose photo, spec or none"):
        make().with_redshift("best")


@given(light_curves(), st.integers(0, 5))
def test_split_light_curves_can_be_joined(curves, where):
    index = np.arange(len(curves))
    parts = [curves.take(index[:where]), curves.take(index[where:])]
    assert_same_curves(LightCurves.concatenate(parts), curves)


def test_repeated_names_join_only_on_request():
    with pytest.raises(DataError, match="occurs 2 times"):
        LightCurves.concatenate([make(), make()])
    assert len(LightCurves.concatenate([make(), make()], check=False)) == 6


def test_dereddened_and_raw_fluxes_do_not_join():
    other = make((1,), object_id=["z"], dereddened=True)
    with pytest.raises(DataError, match="dereddened"):
        LightCurves.concatenate([make(), other])
    with pytest.raises(DataError):
        LightCurves.concatenate([])


# --- Arrow --------------------------------------------------------------------------


@given(light_curves())
def test_arrow_tables_keep_everything(curves):
    assert_same_curves(LightCurves.from_arrow(curves.to_arrow()), curves)


def test_arrow_columns_are_not_copied(sample):
    table = sample.to_arrow()
    again = LightCurves.from_arrow(table)
    for name in ("mjd", "band", "flux", "flux_err", "detected"):
        buffer = np.asarray(table.column(name).chunk(0).values)
        assert np.shares_memory(getattr(again, name), buffer), name


def test_a_parquet_file_of_one_row_group_is_not_copied(sample, tmp_path):
    pq.write_table(sample.to_arrow(), tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    again = LightCurves.from_arrow(table)
    assert_same_curves(again, sample)
    assert np.shares_memory(again.mjd, np.asarray(table.column("mjd").chunk(0).values))


def test_a_slice_of_an_arrow_table_is_that_slice(sample):
    assert_same_curves(LightCurves.from_arrow(sample.to_arrow().slice(5, 7)), sample.take(np.arange(5, 12)))


def test_an_arrow_table_in_chunks_is_joined(sample):
    table = pa.concat_tables([sample.to_arrow().slice(0, 9), sample.to_arrow().slice(9)])
    assert_same_curves(LightCurves.from_arrow(table), sample)


def test_an_empty_arrow_table_gives_no_objects():
    curves = LightCurves.from_arrow(make().to_arrow().slice(0, 0))
    assert len(curves) == 0
    assert curves.trigger_mjd.shape == (0,)


def test_a_missing_arrow_column_is_named():
    with pytest.raises(MissingColumnError, match="flux_err missing"):
        LightCurves.from_arrow(make().to_arrow().drop_columns(["flux_err"]))


def test_lists_of_unequal_length_are_refused():
    table = make().to_arrow()
    short = make((3, 1, 1)).to_arrow().column("flux")
    table = table.set_column(table.column_names.index("flux"), "flux", short)
    with pytest.raises(DataError, match="'flux': lists differ"):
        LightCurves.from_arrow(table)


def test_a_label_in_an_arrow_table_does_not_enter(sample, sample_labels):
    table = sample.to_arrow().append_column("target", pa.array(sample_labels.tolist()))
    assert_same_curves(LightCurves.from_arrow(table), sample)


@pytest.mark.parametrize("column", ["redshift", "redshift_spec"])
@pytest.mark.parametrize("value", [-9.0, np.inf])
def test_a_redshift_that_stands_for_unknown_in_another_survey_is_refused(column, value):
    with pytest.raises(DataError, match=f"{column} {value:g} is negative or infinite.*NaN means unknown"):
        make(**{column: np.array([0.1, value, np.nan])})


def test_the_fingerprint_changes_with_anything_held(sample: LightCurves) -> None:
    same = sample.take(np.arange(len(sample)))
    assert same.fingerprint == sample.fingerprint
    others = [
        sample.take(np.arange(1, len(sample))),
        sample.with_redshift("none"),
        sample.with_columns(flux=sample.flux + np.float32(1.0)),
        sample.with_columns(object_id=np.char.add("x", sample.object_id)),
    ]
    assert len({part.fingerprint for part in [sample, *others]}) == 5


def test_the_last_phase_is_that_of_the_last_observation(sample):
    cut = sample.upto_phase(5.0)
    phase = cut.last_phase
    assert np.nanmax(phase) <= 5.0
    assert np.isnan(sample.upto_mjd(0.0).last_phase).all()
