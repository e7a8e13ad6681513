"""Tonight's targets from records: who counts, in which order, and why."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.errors import DataError, SettingsError
from firstlight.followup.night import SITES, ObservingConfig, find_site, visibility
from firstlight.followup.schedule import ScheduleConfig
from firstlight.followup.utility import FollowupConfig, followup_utility
from firstlight.stream.results.rank import (
    _brightness_of,
    check_ranking_output,
    latest_credible,
    next_evening,
    rank_targets,
    write_ranking,
)
from firstlight.stream.results.read import Results
from firstlight.taxonomy import CLASSES

EVENING = "2026-11-26"
START = 61371.04  # MJD of the end of twilight at Rubin
RUBIN = SITES["rubin"]


def record(name, label="KN", chance=0.8, **values) -> dict:
    """A rising object of 20.5 mag in a field that is high at Rubin that night."""
    rest = (1.0 - chance) / (len(CLASSES) - 1)
    return {
        "object": name,
        "alert": f"{name}-1",
        "mjd": START - 1.0,
        "ra": 53.1,
        "dec": -28.1,
        "bundle": "b",
        "status": "classified",
        "reason": None,
        "label": label,
        "proba": {c: chance if c == label else rest for c in CLASSES},
        "anomaly": 0.4,
        "change": None,
        "followup": 0.5,
        "n_obs": 5,
        "phase": 3.0,
        "mag": 20.5,
        "mag_err": 0.05,
        "band": "r",
        "mag_mjd": START - 1.0,
        "slope": -0.1,
        "slope_err": 0.03,
        "peak_mag": 20.5,
        "peak_mjd": START - 1.0,
        "late": False,
    } | values


def rank(*records, evening=EVENING, site=RUBIN, **options):
    return rank_targets(Results.of(records), site, evening, **options)


def test_wanted_first_and_every_object_has_its_reasons():
    ranking = rank(record("ia", "SNIa"), record("kn", "KN"), record("tde", "TDE", 0.6))
    table = ranking.table
    assert table["object"].tolist() == ["kn", "tde", "ia"]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["reasons"][0].startswith("KN 80 %; r 20.5, brightening 0.10 mag/day, 20.4 expected")
    assert "at its brightest so far" in table["reasons"][0]
    assert "up 7.0 h, airmass 1.00 at best, Moon 90 % lit at" in table["reasons"][0]
    assert table["reasons"][2].startswith("most likely SNIa, no wanted class above 5 %")


def test_worth_is_utility_times_the_factor_of_the_sky():
    results = Results.of([record("a"), record("b", "TDE", dec=-60.0, anomaly=0.99)])
    ranking = rank_targets(results, RUBIN, EVENING)
    table = ranking.table.set_index("object")
    middle = ranking.night.mjd[len(ranking.night.mjd) // 2]
    rows = np.arange(2)
    utility = followup_utility(
        *(results.proba, results.anomaly, np.ones(2, bool), _brightness_of(results, rows), middle)
    )
    factor = visibility(ranking.night, results.ra, results.dec).factor
    assert table["worth"][["a", "b"]].tolist() == pytest.approx(utility.total * factor, abs=1e-6)
    assert table["utility"][["a", "b"]].tolist() == pytest.approx(utility.total, abs=1e-6)


def test_last_record_before_the_night_counts():
    old = record("a", "SNIa", mjd=START - 3.0)
    new = record("a", "KN", mjd=START - 1.0, alert="a-2")
    after = record("a", "EB", mjd=START + 5.0, alert="a-3")
    table = rank(new, after, old).table
    assert table["class"].tolist() == ["KN"]
    assert table["mjd"][0] == pytest.approx(START - 1.0)


def test_records_of_the_night_itself_count_where_a_page_is_watched_then():
    before, during = record("a", "SNIa"), record("a", "KN", mjd=START + 0.2, alert="a-2")
    assert rank(before, during).table["class"].tolist() == ["SNIa"]
    for mjd in (START + 0.2, START + 0.4):  # in the night, and in the morning after it
        late = during | {"mjd": mjd}
        assert rank(before, late, until=np.inf).table["class"].tolist() == ["KN"]


def test_of_records_of_one_time_the_later_put_out_counts():
    assert rank(record("a", "SNIa"), record("a", "KN", alert="a-2")).table["class"].tolist() == ["KN"]


def test_objects_not_seen_for_long_are_left_alone():
    fresh, stale = record("fresh"), record("stale", mjd=START - 20.0)
    assert rank(fresh, stale).table["object"].tolist() == ["fresh"]
    assert len(rank(fresh, stale, max_age=30.0).table) == 2


def test_hours_are_kept_and_targets_left_out_have_a_reason():
    many = [record(f"o{k}", chance=0.9 - 0.05 * k) for k in range(8)]
    ranking = rank(*many, telescope=ScheduleConfig(hours=0.6, limit_mag=22.0))
    assert ranking.chosen["object"].tolist() == ["o0", "o1", "o2"]
    assert ranking.chosen["hours"].sum() <= 0.6 + 1e-9
    assert ranking.table["reasons"][3].endswith("no hours left")
    assert (ranking.table["start"][3:] == "").all()


def test_exposures_allow_for_a_trend_that_fails():
    table = rank(record("sure", mag=21.5, slope_err=0.01), record("unsure", mag=21.5, slope_err=0.2)).table
    hours = dict(zip(table["object"], table["hours"], strict=True))
    assert hours["unsure"] > 1.2 * hours["sure"]


def test_starts_are_within_the_dark_hours_and_read_as_times():
    ranking = rank(record("a"), record("b"))
    night = ranking.night
    for row in ranking.chosen.to_dict("records"):
        assert night.mjd[0] - 1e-6 <= row["start_mjd"] <= night.mjd[-1]
        spelt = pd.Timestamp(row["start"]).to_julian_date() - 2_400_000.5
        assert spelt == pytest.approx(row["start_mjd"], abs=1.0 / 1440.0)


def test_an_invisible_target_is_never_chosen():
    table = rank(record("up"), record("north", dec=60.0), record("nowhere", ra=None, dec=None)).table
    fate = dict(zip(table["object"], table["fate"], strict=True))
    assert fate["up"] == "chosen"
    assert fate["north"] != "chosen"
    assert fate["nowhere"] != "chosen"
    north = table.set_index("object")["reasons"]["north"]
    assert "never up while it is dark" in north


def test_too_faint_fading_strange_and_unclassified_have_their_reasons():
    dark = dict.fromkeys(("mag", "mag_err", "mag_mjd", "slope", "slope_err", "peak_mag", "peak_mjd", "band"))
    table = rank(
        record("good"),
        record("faint", mag=24.0, slope=0.0, peak_mjd=START - 9.0),
        record("fading", slope=0.2, mag=21.0),
        record("old", mag_mjd=START - 6.0, peak_mjd=START - 6.0),
        record("strange", "SNIa", anomaly=0.991),
        record("early", status="not_classified", reason="too_few_observations", label=None, anomaly=None),
        record("dark", **dark),
    ).table
    said = dict(zip(table["object"], table["reasons"], strict=True))
    assert "24.0 expected (fainter than the limit 22); 8 days past its brightest" in said["faint"]
    assert "no clear trend" in said["faint"]
    assert "fading 0.20 mag/day" in said["fading"]
    assert "r 20.5, 6 days ago, brightening" in said["old"]
    assert "stranger than 99.1 % of known objects" in said["strange"]
    assert said["early"].startswith("not classified (too few observations)")
    assert "no recent detection" in said["dark"]
    assert set(table["object"][table["fate"] == "chosen"]) == {"good", "fading", "old", "strange"}


def test_wishes_change_the_order():
    records = [record("kn", "KN"), record("ia", "SNIa")]
    table = rank(*records, followup=FollowupConfig(wanted=("SNIa",), rarity=0.0)).table
    assert table["object"].tolist() == ["ia", "kn"]


def test_order_in_the_file_changes_nothing():
    records = [record(f"o{k}", chance=0.3 + 0.05 * k, ra=40.0 + 3.0 * k) for k in range(10)]
    a = rank(*records).table
    b = rank(*records[::-1]).table
    pd.testing.assert_frame_equal(a, b)


def test_first_night_after_the_last_record_is_the_default():
    def evening(mjd, site):
        return next_evening(Results.of([record("a", mjd=mjd)]), find_site(site))

    assert evening(61371.3, "rubin") == "2026-11-27"  # 02:30 local of the 27th
    assert evening(61371.05, "rubin") == "2026-11-27"  # 20:30 local of the 26th, the night has begun
    assert evening(61371.3, "mauna-kea") == "2026-11-27"  # 20:50 local of the 26th
    assert evening(61371.0, "siding-spring") == "2026-11-27"  # 10:00 local of the 27th
    with pytest.raises(DataError, match="no records"):
        next_evening(Results.of([]), RUBIN)


@given(
    st.lists(st.floats(50_000.0, 69_000.0), min_size=1, max_size=300),
    st.lists(st.floats(69_000.0, 88_000.0), max_size=3),
)
def test_a_few_records_from_the_future_are_not_credible_and_the_others_are(past, future):
    n_wrong = max(int(0.01 * len(past)), 1)
    mjd = np.array([*past, *future[:n_wrong]])
    assert latest_credible(mjd, 69_000.0) == 69_001.0


@given(st.floats(-1e4, 1e4), st.integers(2, 200))
def test_the_records_of_a_simulation_of_the_future_are_credible(days, n):
    mjd = 70_000.0 + days + np.linspace(0.0, 25.0, n)
    assert latest_credible(mjd, 50_000.0) >= mjd.max()
    assert latest_credible(np.append(mjd, mjd.max() + 1_000.0), 50_000.0) < mjd.max() + 1_000.0


def test_one_record_from_the_future_does_not_move_the_night():
    results = Results.of([record("a"), record("b"), record("wrong", mjd=START + 9_000.0)])
    until = latest_credible(results.mjd, START)
    assert next_evening(results, RUBIN, until) == EVENING
    ranking = rank_targets(results, RUBIN, EVENING, until=until)
    assert sorted(ranking.table["object"]) == ["a", "b"]


def test_without_usable_records_the_error_gives_their_span():
    with pytest.raises(DataError, match=r"1 record\(s\), from MJD 61370\.0 to 61370\.0"):
        rank(record("a"), evening="2027-03-01")
    with pytest.raises(DataError, match="none at all"):
        rank()
    with pytest.raises(DataError, match="has a position"):
        rank(record("a", ra=None))


def test_a_night_that_is_never_dark_is_refused():
    with pytest.raises(SettingsError, match="never dark"):
        rank(record("a"), site=find_site("25,70"), evening="2026-06-20")


def test_limits_of_the_sky_are_passed_on():
    low = record("low", dec=20.0)
    assert rank(low).table["hours_up"][0] > 0.0
    strict = rank(low, observing=ObservingConfig(airmass_limit=1.2))
    assert strict.table["hours_up"][0] == 0.0


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_table_is_written_whole(tmp_path, suffix):
    ranking = rank(record("00123"), record("b", "SNIa", dec=60.0))
    path = tmp_path / f"targets.{suffix}"
    write_ranking(ranking, path)
    if suffix == "csv":
        back = pd.read_csv(path, dtype={"object": str})
    else:
        back = pd.DataFrame(json.loads(path.read_text()))
    assert back["object"].tolist() == ["00123", "b"]
    assert back.columns.tolist() == ranking.table.columns.tolist()
    assert back["worth"].tolist() == pytest.approx(ranking.table["worth"].tolist())
    assert back["start_mjd"][0] == pytest.approx(ranking.table["start_mjd"][0], abs=1e-5)
    assert list(tmp_path.iterdir()) == [path]


def test_the_list_for_a_tom_has_its_columns_and_the_chosen_targets(tmp_path):
    ranking = rank(record("00123"), record("b", "SNIa", dec=60.0))
    path = tmp_path / "targets.tom.csv"
    write_ranking(ranking, path)
    back = pd.read_csv(path, dtype={"name": str})
    chosen = ranking.chosen
    assert 0 < len(chosen) < len(ranking.table)
    assert back["name"].tolist() == chosen["object"].tolist()
    assert back.columns.tolist()[:4] == ["name", "type", "ra", "dec"]
    assert set(back["type"]) == {"SIDEREAL"}
    assert back["dec"].tolist() == pytest.approx(chosen["dec"].tolist())
    assert back["firstlight_class"].tolist() == chosen["class"].tolist()


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="csv or"):
        check_ranking_output(tmp_path / "targets.xlsx")


def test_who_names_classes_gets_likely_ones_before_all_others():
    bright = [record(f"bright-{k}", "SNIa", 0.99, mag=17.0, anomaly=1.0) for k in range(8)]
    faint = record("wanted", "TDE", 0.85, mag=21.8, slope=0.0)
    hours = ScheduleConfig(hours=1.2)
    named = FollowupConfig(wanted=("TDE",), novelty=0.0, named=True)
    chosen = rank(faint, *bright, telescope=hours, followup=named).chosen["object"].tolist()
    assert chosen[0] == "wanted"
    by_worth = FollowupConfig(wanted=("TDE",), novelty=1.0)
    assert "wanted" not in rank(faint, *bright, telescope=hours, followup=by_worth).chosen["object"].tolist()


def test_targets_without_a_wanted_class_fill_the_hours_that_are_left():
    named = FollowupConfig(wanted=("TDE",), novelty=1.0, named=True)
    table = rank(record("a", "SNIa", 0.99, anomaly=1.0), record("b", "TDE", 0.6), followup=named).table
    assert table["object"].tolist() == ["b", "a"]
    assert (table["fate"] == "chosen").all()


def test_a_variable_star_keeps_its_brightness():
    table = rank(record("star", "RRL", slope=-0.3), record("nova", "KN", slope=-0.3)).table.set_index(
        "object"
    )
    assert table.loc["star", "mag_expected"] == pytest.approx(20.5)
    assert table.loc["star", "mag_expected_err"] > 0.3
    assert "variable" in table.loc["star", "reasons"]
    assert table.loc["nova", "mag_expected"] < 20.3


def test_in_nautical_twilight_the_night_is_longer():
    nights = [rank(record("a"), twilight=sun).night.dark_hours for sun in (-18.0, -12.0)]
    assert nights[1] > nights[0] + 0.5
    with pytest.raises(SettingsError, match="twilight 5"):
        rank(record("a"), twilight=5.0)


def test_an_uncertain_object_is_worth_more_to_who_wants_to_learn():
    known, unclear = record("known", "SNIa", 0.99), record("unclear", "SNIa", 0.1)
    first = [
        rank(known, unclear, followup=FollowupConfig(wanted=("SNIa",), learn=learn)).table["object"][0]
        for learn in (0.0, 1.0)
    ]
    assert first == ["known", "unclear"]
