"""The short form of each benchmark, for real: its result is as the schema says."""

import json
from pathlib import Path

import pytest
from jsonschema_rs import validator_for

from bench.__main__ import BENCHMARKS, main
from bench.suite.result import schema
from bench.suite.result_file import read_results

# Those that need no engine; the others take half a minute each.
SMALL = {
    "agents": [],
    "rules": ["--visits", "1000", "--rounds", "1"],
    "peeking": ["--tests", "20", "--allocations", "20", "--visitors", "100", "--looks", "10"],
}


@pytest.fixture(autouse=True)
def _no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signal handlers of the test process in place."""
    monkeypatch.setattr("bench.__main__.signal.signal", lambda number, handler: None)


def require_result_of(name: str, options: list[str], file: Path) -> None:
    """Run a benchmark, whose checks of time may fail here, and hold its result against the schema."""
    assert main([name, "--quick", *options, "--results", str(file)]) in (0, 1)
    validator_for(schema()).validate(json.loads(file.read_text()))
    (result,) = read_results(file)
    assert (result.benchmark, result.quick, result.error) == (name, True, "")
    assert result.about
    assert result.does_not_say
    names = [figure.name for figure in result.measured]
    assert names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", SMALL)
def test_the_result_of_a_small_benchmark_is_as_its_schema(name: str, tmp_path: Path) -> None:
    require_result_of(name, SMALL[name], tmp_path / "results.jsonl")


@pytest.mark.large
@pytest.mark.parametrize("name", [b.name for b in BENCHMARKS if b.name not in SMALL])
def test_the_result_of_a_short_run_is_as_its_schema(name: str, tmp_path: Path) -> None:
    require_result_of(name, [], tmp_path / "results.jsonl")
