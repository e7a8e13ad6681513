"""Delays fall into the right bins, and are exposed as Prometheus' histograms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.stream.worker.delays import BINS, DELAYS, Delays, unix_seconds

prometheus_client = pytest.importorskip("prometheus_client")


def samples(delays):
    registry = prometheus_client.CollectorRegistry()
    registry.register(delays)
    return registry


@given(st.lists(st.floats(-10.0, 1e6), max_size=30), st.integers(0, 30))
def test_the_histogram_is_prometheus_own_for_any_division_into_batches(values, cut):
    delays, registry = Delays(), prometheus_client.CollectorRegistry()
    own = prometheus_client.Histogram("own", "reference", registry=registry, buckets=BINS.tolist())
    for value in values:
        own.observe(max(value, 0.0))
    delays.add("append", values[:cut])
    delays.add("append", values[cut:])
    ours = samples(delays)
    for edge in [*BINS.tolist(), float("inf")]:
        label = {"le": prometheus_client.utils.floatToGoString(edge)}
        expected = registry.get_sample_value("own_bucket", label)
        label = {"le": f"{edge:g}" if np.isfinite(edge) else "+Inf"}
        assert ours.get_sample_value("firstlight_delay_append_seconds_bucket", label) == expected
    total = registry.get_sample_value("own_sum")
    assert ours.get_sample_value("firstlight_delay_append_seconds_sum") == pytest.approx(total, rel=1e-12)


def test_every_kind_is_exposed_from_the_beginning():
    text = prometheus_client.generate_latest(samples(Delays())).decode()
    for kind in DELAYS:
        assert f"firstlight_delay_{kind}_seconds_count 0.0" in text


def test_times_are_tai():
    assert unix_seconds(60_000.0) == pytest.approx(1_677_283_200.0 - 37.0)  # 25 February 2023, 0 h
