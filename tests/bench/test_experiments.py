"""The benchmark of experiments: one short run of a real engine, and that it notices what it must."""

import json
from typing import Any

import pytest

from bench.experiments import Exactness, command, in_process


@pytest.mark.large
def test_a_short_run_is_exact_fair_and_finds_the_filter(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--visits", "5000", "--visitors", "3000", "--seconds", "0", "--json"]
    code = command.main(options, standalone_mode=False)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, result["failures"]) == (0, [])
    assert result["exposures"] == result["clicks"] == result["visits"] == 5000
    assert result["visitors_counted"] == 3000
    assert result["moved"] == 0
    assert result["filtered_srm_p_value"] < 0.001 <= result["srm_p_value"]


def test_what_does_not_agree_is_a_failure() -> None:
    found: Any = Exactness.__new__(Exactness)
    found.failures = []
    found.expect("clicks", 1, 1)
    assert found.failures == []
    found.expect("clicks", 1, 2)
    assert found.failures == ["clicks: 1, not 2"]


@pytest.mark.slow
def test_what_an_experiment_costs_is_bounded() -> None:
    # 2.7 µs; a wide margin, as other processes may have the machine.
    assert in_process() < 15
