"""The domain: which objects were observed like those of training, and the words for the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstlight.anomaly import TrainingDomain, describe
from firstlight.anomaly.domain import DESCRIPTORS
from firstlight.encoder.steps import CONTEXT_NAMES
from firstlight.errors import BundleError, NotFittedError

N = 4000
AT = {name: k for k, name in enumerate(CONTEXT_NAMES)}
BANDS = "ugrizy"


def contexts(seed: int = 0, n: int = N, bands: str = BANDS, brighter: float = 0.0) -> np.ndarray:
    """Contexts of objects at redshift 0.5, of about 23 mag, observed in some bands."""
    rng = np.random.default_rng(seed)
    out = np.zeros((n, len(CONTEXT_NAMES)), np.float32)
    for band in bands:
        out[:, AT[f"share_{band}"]] = 1.0 / len(bands)
        out[:, AT[f"high_{band}"]] = rng.normal(2.0 + brighter, 0.3, n)
        out[:, AT[f"snr_max_{band}"]] = out[:, AT[f"high_{band}"]] + rng.normal(0.8, 0.1, n)
    for name, centre in {"n_obs": 4.5, "span": 5.0, "before_trigger": 3.0, "detected_fraction": 0.5}.items():
        out[:, AT[name]] = rng.normal(centre, 0.1, n)
    out[:, AT["redshift_known"]] = 1.0
    out[:, AT["log_redshift"]] = rng.normal(3.2, 0.1, n)
    return out


@pytest.fixture(scope="module")
def domain() -> TrainingDomain:
    rng = np.random.default_rng(7)
    phase = rng.uniform(0.0, 200.0, N)
    described = describe(contexts())
    return TrainingDomain(250.0).fit(described, phase, describe(contexts(1)), phase, rng.uniform(0, 1, N))


def judged(domain: TrainingDomain, context: np.ndarray, anomaly: float = 0.5):
    n = len(context)
    return domain.words(domain.codes(describe(context), np.full(n, 20.0), np.full(n, anomaly)))


def test_at_most_one_known_object_in_twenty_is_beyond_the_inside(domain):
    rng = np.random.default_rng(3)
    codes = domain.codes(describe(contexts(2)), rng.uniform(0.0, 200.0, N), rng.uniform(0.0, 1.0, N))
    level, reason = domain.words(codes)
    assert 0.02 < np.mean(level != "inside") < 0.07
    assert 0.005 < np.mean(level == "outside") < 0.035
    assert ((reason == "") == (level == "inside")).all()


def test_two_bands_and_bright_objects_are_outside_and_the_words_name_both(domain):
    level, reason = judged(domain, contexts(4, 50, "gr", brighter=4.0))
    assert (level == "outside").all()
    assert all(text.startswith("two bands; brighter than 2") and text.count(" mag") == 1 for text in reason)


def test_a_strange_light_curve_with_usual_observations_is_outside_too(domain):
    level, reason = judged(domain, contexts(5, 50), anomaly=1.0)
    assert (level == "outside").all()
    assert "a light curve unlike those of all classes" in set(reason.tolist())


@settings(max_examples=25)
@given(chosen=st.lists(st.integers(0, N - 1), min_size=1, max_size=9))
def test_the_answer_of_a_row_does_not_depend_on_its_batch(domain, chosen):
    rng = np.random.default_rng(8)
    context, phase = contexts(6, brighter=1.0), rng.uniform(-1.0, 300.0, N)
    phase[::7] = np.nan
    anomaly = rng.uniform(0.9, 1.0, N)
    whole = domain.codes(describe(context), phase, anomaly)
    part = domain.codes(describe(context[chosen]), phase[chosen], anomaly[chosen])
    np.testing.assert_array_equal(part, whole[chosen])


def test_a_saved_domain_gives_the_same_answers(domain, tmp_path):
    domain.save(tmp_path)
    context = contexts(9, 300, "gri", brighter=0.5)
    for mine, other in zip(
        judged(domain, context), judged(TrainingDomain.load(tmp_path), context), strict=True
    ):
        np.testing.assert_array_equal(mine, other)


def test_a_damaged_domain_is_refused(domain, tmp_path):
    domain.save(tmp_path)
    text = (tmp_path / "domain.json").read_text()
    (tmp_path / "domain.json").write_text(text.replace(DESCRIPTORS[0], "n_stars"))
    with pytest.raises(BundleError, match="other descriptors"):
        TrainingDomain.load(tmp_path)


def test_a_domain_that_learnt_nothing_is_an_error():
    with pytest.raises(NotFittedError):
        TrainingDomain().codes(describe(contexts(0, 1)), np.zeros(1), np.zeros(1))
