"""A short campaign of each target with a fixed seed; ``make fuzz BUDGET=600`` runs long ones."""

import pytest
from tests.fuzz.runner import TARGETS, campaign

# about five seconds each, with an index check in all compiled code; the compiled code is kept between runs
CASES = {"alerts": 500, "bundles": 50, "containers": 140, "curves": 140, "schemas": 70, "states": 30}


def test_every_target_has_a_campaign():
    assert set(CASES) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_input_does_no_harm(target, tmp_path):
    if target == "bundles":
        pytest.importorskip("torch")  # trains the bundle that is mutated
    report = campaign(target, tmp_path, cases=CASES[target])
    assert not report.failures, str(report)


def test_the_runner_finds_every_kind_of_failure(tmp_path):
    report = campaign("broken", tmp_path, cases=1)
    assert report.n_cases == 7
    raised, crashed, hung, grew = report.failures
    assert "past finding 2: ValueError: 'line\\nbreak' at broken.py" in raised
    assert "past finding 3: the process ended by SIGSEGV" in crashed
    assert "past finding 4: the process ended by SIGXCPU" in hung
    assert "past finding 5: memory grew by " in grew
