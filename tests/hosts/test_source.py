"""A file is read again when it changes, and a lookup is one that an installed package offers."""

from importlib.metadata import EntryPoint

import numpy as np
import pandas as pd
import pytest

from firstlight.errors import FirstlightError, SettingsError
from firstlight.hosts import Candidates, Hosts, source

LOOKUP, SHORT, FAILING = (f"{__name__}:{name}" for name in ("Lookup", "Short", "Failing"))


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


@pytest.fixture
def offered(monkeypatch):
    points = [EntryPoint(kind, kind, source.ENTRY_POINTS) for kind in (LOOKUP, SHORT, FAILING)]
    monkeypatch.setattr(source, "entry_points", lambda group: points if group == source.ENTRY_POINTS else [])


def test_a_lookup_of_an_installed_package_gives_redshifts(offered, sample):
    used = Hosts.open(LOOKUP).in_use(sample)
    assert used.version == LOOKUP
    expected = [np.float32(len(name) / 100) for name in sample.object_id.tolist()]
    assert used.redshift[used.from_context].tolist() == np.array(expected)[used.from_context].tolist()
    assert used.from_context.any()


def test_what_no_installed_package_offers_is_never_imported():
    with pytest.raises(SettingsError, match="entry point"):
        Hosts.open("os:system")


@pytest.mark.parametrize(("kind", "words"), [(SHORT, "differ in length"), (FAILING, "service is away")])
def test_a_lookup_that_fails_is_no_fault_of_an_objects_data(offered, sample, kind, words):
    with pytest.raises(FirstlightError, match=words) as caught:
        Hosts.open(kind).in_use(sample)
    assert not isinstance(caught.value, ValueError | LookupError)  # what the worker blames an alert for


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
