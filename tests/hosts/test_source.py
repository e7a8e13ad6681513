"""A file is read again when it changes, and a lookup is one that an installed package offers."""

from importlib.metadata import EntryPoint

import numpy as np
import pandas as pd
import pytest

from firstlight.errors import SettingsError
from firstlight.hosts import Candidates, Hosts, source

LOOKUP, SHORT, FAILING, PICKY, BROKEN = (
    f"{__name__}:{name}" for name in ("Lookup", "Short", "Failing", "Picky", "Broken")
)


class Lookup:
    """A spectroscopic redshift that follows from the name."""

    def __call__(self, object_id, ra, dec):
        n = len(object_id)
        nothing, z = np.full(n, np.nan), np.array([len(name) / 100 for name in object_id.tolist()])
        return Candidates(np.arange(n), nothing, nothing, z, np.ones(n), nothing)


class Short(Lookup):
    """A weight too few."""

    def __call__(self, object_id, ra, dec):
        found = super().__call__(object_id, ra, dec)
        return Candidates(
            *(found.owner, found.redshift, found.redshift_err, found.redshift_spec),
            *(found.weight[1:], found.host_offset),
        )


class Failing(Lookup):
    """A service that is away."""

    def __call__(self, object_id, ra, dec):
        raise LookupError("the service is away")


class Picky(Lookup):
    """A service without one of the objects."""

    def __call__(self, object_id, ra, dec):
        if (missing := "49389") in object_id.tolist():
            raise KeyError(missing)
        return super().__call__(object_id, ra, dec)


class Broken:
    """A service that cannot be reached at the start."""

    def __init__(self):
        raise OSError("no route")


@pytest.fixture
def offered(monkeypatch):
    kinds = (LOOKUP, SHORT, FAILING, PICKY, BROKEN, f"{__name__}:Nowhere", "no_such_module_here:Lookup")
    points = [EntryPoint(kind, kind, source.ENTRY_POINTS) for kind in kinds]
    monkeypatch.setattr(
        "firstlight.plugins.entry_points", lambda group: points if group == source.ENTRY_POINTS else []
    )


def test_a_lookup_of_an_installed_package_gives_redshifts(offered, sample):
    used = Hosts.open(LOOKUP).in_use(sample)
    assert used.version == LOOKUP
    expected = [np.float32(len(name) / 100) for name in sample.object_id.tolist()]
    assert used.redshift[used.from_context].tolist() == np.array(expected)[used.from_context].tolist()
    assert used.from_context.any()


def test_a_module_that_no_installed_package_offers_is_never_imported():
    with pytest.raises(SettingsError, match="entry point"):
        Hosts.open("os:system")


@pytest.mark.parametrize(("kind", "words"), [(SHORT, "differ in length"), (FAILING, "service is away")])
def test_objects_that_a_lookup_fails_for_keep_their_own_redshift(offered, sample, kind, words):
    sample = sample.take(np.arange(5))
    used = Hosts.open(kind).in_use(sample)
    assert sorted(used.failures) == list(range(5))
    assert all(words in reason for _, reason in used.failures.values())
    assert not used.from_context.any()
    np.testing.assert_array_equal(used.redshift, sample.redshift)


def test_an_error_for_one_object_costs_the_others_nothing(offered, sample):
    sample = sample.take(np.arange(5))
    found, alone = Hosts.open(PICKY).in_use(sample), Hosts.open(LOOKUP).in_use(sample)
    assert found.failures == {2: ("KeyError", f"KeyError: '{sample.object_id[2]}'")}
    for k in (0, 1, 3, 4):
        assert found.redshift[found.owner == k].tolist() == alone.redshift[alone.owner == k].tolist()


def test_objects_of_a_lookup_that_is_slow_to_fail_are_not_all_looked_up_alone(offered, sample, monkeypatch):
    monkeypatch.setattr(source, "PATIENCE_S", -1.0)
    used = Hosts.open(PICKY).in_use(sample)
    assert set(used.failures) == set(range(len(sample)))
    assert {kind for kind, _ in used.failures.values()} == {"KeyError"}


def test_equal_objects_are_looked_up_once_until_the_next_refresh(sample):
    calls = []

    class Counting(Lookup):
        def __call__(self, object_id, ra, dec):
            calls.append(object_id.tolist())
            return super().__call__(object_id, ra, dec)

    few, hosts = sample.take(np.arange(5)), Hosts(Counting(), "1")
    for _ in range(2):
        hosts.in_use(few)
    assert len(calls) == 2  # nobody says when a batch begins, so a service may have changed
    for batch in range(2):
        hosts.refresh()
        for _ in range(3):
            used = hosts.in_use(few)
            hosts.in_use(few.take(np.arange(2)))
        assert len(calls) == 2 + 2 * (batch + 1)
    assert used.from_context.any()


@pytest.mark.parametrize("kind", [BROKEN, f"{__name__}:Nowhere", "no_such_module_here:Lookup"])
def test_a_lookup_that_cannot_be_made_is_a_wrong_setting(offered, kind):
    with pytest.raises(SettingsError, match=f"context {kind!r} cannot be"):
        Hosts.open(kind)


def test_a_file_is_read_again_when_it_changes_and_a_bad_one_leaves_the_former(tmp_path, sample):
    path = tmp_path / "hosts.parquet"

    def put(z):
        table = pd.DataFrame({"object_id": sample.object_id, "redshift_spec": z})
        table.to_parquet(tmp_path / "new")
        (tmp_path / "new").replace(path)

    put(0.25)
    hosts = Hosts.open(path)
    first = hosts.version
    assert hosts.refresh() is None
    assert 0.25 in hosts.in_use(sample).redshift
    put(0.5)
    done = hosts.refresh()
    assert done.error == ""
    assert done.n_rows == len(sample)
    assert hosts.version == done.version != first
    assert 0.5 in hosts.in_use(sample).redshift
    path.write_bytes(path.read_bytes()[:-5])
    done = hosts.refresh()
    assert "Parquet" in done.error
    assert hosts.refresh() is None
    path.unlink()
    assert "cannot read" in hosts.refresh().error
    assert hosts.refresh() is None
    assert 0.5 in hosts.in_use(sample).redshift
    put(0.75)
    assert hosts.refresh().error == ""
    assert 0.75 in hosts.in_use(sample).redshift
