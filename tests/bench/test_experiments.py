"""The benchmark of experiments: a short run of a real engine, and its failures."""

import json
from typing import Any

import pytest

from bench.experiments import Exactness, command, measure_in_process_us


@pytest.mark.large
def test_a_short_run_is_exact_fair_and_finds_the_filter(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--visits", "5000", "--visitors", "3000", "--seconds", "0", "--json"]
    code = command.main(options, standalone_mode=False)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, result["failures"]) == (0, [])
    assert result["exposures"] == result["clicks"] == result["visits"] == 5000
    assert result["visitors_counted"] == 3000
    assert result["reassigned"] == 0
    assert result["filtered_srm_p_value"] < 0.001 <= result["srm_p_value"]


def test_a_count_that_differs_is_a_failure() -> None:
    exactness: Any = Exactness.__new__(Exactness)
    exactness.failures = []
    exactness.expect("clicks", 1, 1)
    assert exactness.failures == []
    exactness.expect("clicks", 1, 2)
    assert exactness.failures == ["clicks: 1, not 2"]


@pytest.mark.slow
def test_the_cost_of_an_experiment_is_bounded() -> None:
    # It takes 2.7 µs; the margin is wide, because other processes may use the machine.
    assert measure_in_process_us() < 15
