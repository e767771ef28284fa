"""`python -m bench scale`: its verdict, and a short run of all of it."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import scale
from bench.__main__ import main
from bench.scaling.scalability_law import fit_law


@pytest.fixture(autouse=True)
def _no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signal handlers of the test process in place."""
    monkeypatch.setattr("bench.__main__.signal.signal", lambda number, handler: None)


def result(*, holds: bool, both: float, quick: bool = False) -> dict[str, Any]:
    point = {"traffic": "zipf", "workers": 2, "quantity": "worker µs", "predicted": 9.0, "measured": 12.0,
             "error": -0.25, "holds": holds}  # fmt: skip
    return {
        "held_out": [point],
        "plan": {"quick": quick},
        "upserting": {"1": {"simulated": 11_000.0}, "2": {"simulated": both}},
    }


def test_a_point_that_is_off_and_a_model_that_sees_no_lock_are_failures() -> None:
    assert scale.failures(result(holds=True, both=8_000)) == []
    assert scale.failures(result(holds=False, both=8_000, quick=True)) == []
    (line,) = scale.failures(result(holds=False, both=8_000))
    assert "zipf" in line
    assert "predicted 9.00, measured 12.00" in line
    (line,) = scale.failures(result(holds=True, both=11_000))
    assert "upserting" in line


def test_an_interval_without_a_best_number_is_json() -> None:
    row = scale.law_row(fit_law([1, 2, 4], [10.0, 20.0, 40.0]))
    assert row["best_workers"][0] == -1.0
    assert json.loads(json.dumps(row, allow_nan=False)) == row


@pytest.mark.parametrize(
    "arguments", [["--quick", "--traffic", "zipf"], ["--traffic", "nothing"], ["--edges", "0"]]
)
def test_what_cannot_be_asked_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scale", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_simpy_the_install_command_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "simpy", None)
    monkeypatch.delitem(sys.modules, "bench.scale")
    assert main(["scale"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'waypost[bench]'" in error


@pytest.mark.large
def test_a_quick_run_measures_fits_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "scale.svg"
    assert main(["scale", "--quick", "--json", "--picture", str(picture)]) == 0
    out = capsys.readouterr().out.splitlines()
    figures = json.loads(out[-1])
    assert len(figures["answers"]) == 3
    assert figures["upserting"]["2"]["simulated"] < figures["upserting"]["1"]["simulated"]
    assert {row["traffic"] for row in figures["rounds"]} == {"flat", "hot", "zipf"}
    assert all(row["worker_us"] > 0 and row["lock_us"] >= 0 for row in figures["rounds"])
    assert figures["limits"][0]["clicks_per_s"] > 0
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
