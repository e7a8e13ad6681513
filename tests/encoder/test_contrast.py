import numpy as np

from firstlight.encoder import running
from firstlight.encoder.contrast import CONTRAST_NAMES, N_CONTRAST, contrasts
from firstlight.encoder.steps import StepsConfig, make_steps


def column(name: str) -> int:
    return CONTRAST_NAMES.index(name)


def test_every_contrast_has_a_name_of_its_own():
    assert len(set(CONTRAST_NAMES)) == N_CONTRAST
    assert not any(name.endswith("peak0_u") and name.startswith("trigger") for name in CONTRAST_NAMES)


def test_contrasts_are_bounded_or_unknown(sample):
    values = contrasts(make_steps(sample, StepsConfig()).summary)
    assert values.shape == (len(sample), N_CONTRAST)
    known = values[np.isfinite(values)]
    assert 0.1 < len(known) / values.size < 0.9
    assert np.abs(known).max() <= 1.0


def test_a_colour_is_that_of_the_fluxes_in_the_window():
    """Two bright bands in one window after the trigger, three to one, hardly any noise."""
    state = np.empty(running.STATE_SIZE)
    running.clear(state)
    closed = np.empty(running.N_CHANNELS, np.float32)
    bins = StepsConfig().bins()
    for mjd, band, flux in ((100.0, 2, 3e4), (100.5, 1, 1e4), (109.0, 2, 6e4)):
        running.advance(state, mjd, band, flux, 1.0, True, 250.0, bins, closed)
    summary = np.empty((1, running.N_SUMMARY), np.float32)
    running.summarise(state, 250.0, summary[0])
    values = contrasts(summary)[0]
    assert abs(values[column("trigger1_g_r")] - (1.0 - 3.0) / 4.0) < 1e-3
    assert abs(values[column("trigger1_trigger2_r")] - (3.0 - 6.0) / 9.0) < 1e-3
    assert np.isnan(values[column("trigger1_r_i")])
    assert np.isnan(values[column("trigger1_trigger2_g")])


def test_further_columns_do_not_matter(sample):
    steps = make_steps(sample.take([3, 8]), StepsConfig())
    np.testing.assert_array_equal(contrasts(steps.summary), contrasts(steps.context()))


def test_an_object_has_the_same_contrasts_in_any_company(sample):
    steps = make_steps(sample, StepsConfig())
    np.testing.assert_array_equal(contrasts(steps.summary)[[7]], contrasts(steps.summary[[7]]))


def test_nothing_seen_has_no_contrast():
    assert np.isnan(contrasts(np.zeros((1, running.N_SUMMARY), np.float32))).all()
