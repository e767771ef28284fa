"""`python -m bench compare`: what it prints, its exit code, and what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.__main__ import main
from bench.suite.result import BenchResult
from bench.suite.result_file import append_result
from tests.bench.suite.results import HOST, bench_result, figure

STEADY = (100.0, 101.0, 99.0, 100.5, 99.5)


@pytest.fixture(autouse=True)
def _no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signal handlers of the test process in place."""
    monkeypatch.setattr("bench.__main__.signal.signal", lambda number, handler: None)


def redirects(factor: float = 1.0, **changes: Any) -> BenchResult:
    runs = [factor * value for value in STEADY]
    measured = [
        figure("cpu_us", runs[0], runs, title="CPU of a redirect"),
        figure("nginx_cpu_us", 50.0, [value / 2 for value in STEADY], better="neither"),
        figure("seconds_to_commit", 0.3, unit="s"),
    ]
    return bench_result("redirects", measured, **changes)


def files(folder: Path, before: Sequence[BenchResult], after: Sequence[BenchResult]) -> list[str]:
    names = []
    for name, results in (("before.jsonl", before), ("after.jsonl", after)):
        names.append(str(folder / name))
        for result in results:
            append_result(folder / name, result)
    return names


def test_a_file_does_not_differ_from_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *files(tmp_path, [redirects()], [redirects()])]) == 0
    captured = capsys.readouterr()
    assert captured.out == "2 within noise; 1 cannot tell\n"
    assert captured.err == ""


@pytest.mark.parametrize(("factor", "code", "verdict"), [(1.1, 1, "worse"), (0.9, 0, "better")])
def test_a_tenth_is_said_with_its_exit_code(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    factor: float,
    code: int,
    verdict: str,
) -> None:
    names = files(tmp_path, [redirects()], [redirects(factor)])
    assert main(["compare", *names, "--json"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert f"1 {verdict}; 1 within noise; 1 cannot tell" in lines
    row = json.loads(lines[-1])["differences"][0]
    assert (row["figure"], row["verdict"]) == ("cpu_us", verdict)
    assert row["change"] == pytest.approx(factor - 1)
    assert row["interval"][0] < row["change"] < row["interval"][1]
    assert row["by"] == "5 and 5 rounds"
    assert main(["compare", *names, "--least", "11"]) == 0


def test_a_peer_that_changed_is_neither_worse_nor_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = redirects()
    slower = figure("nginx_cpu_us", 60.0, [value * 0.6 for value in STEADY], better="neither")
    after = msgspec.structs.replace(after, measured=[after.measured[0], slower])
    assert main(["compare", *files(tmp_path, [redirects()], [after])]) == 0
    assert "1 changed; 1 within noise" in capsys.readouterr().out


def test_a_check_that_fails_is_worse_unless_it_failed_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = redirects(failures=["3 clicks lost"])
    names = files(tmp_path, [redirects()], [wrong])
    assert main(["compare", *names]) == 1
    assert "FAILED: redirects: 3 clicks lost" in capsys.readouterr().out
    assert main(["compare", names[1], names[1]]) == 0


def test_other_machines_and_options_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faster = msgspec.structs.replace(
        HOST, cpu="Another", versions={"nginx": "1.30", "code of visits": "python"}
    )
    before = [redirects(), bench_result("pipeline", options={"seconds": 20})]
    after = [redirects(machine=faster), bench_result("page", options={"seconds": 2})]
    assert main(["compare", *files(tmp_path, before, [after[1], after[0]])]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        "note: another processor: A processor before, Another after; a change may be its own",
        "note: another version of nginx: 1.22.1 before, 1.30 after; a change may be its own",
        "note: another code of visits: compiled before, python after; a change may be its own",
        "note: only before, or with other options: pipeline",
        "note: only after, or with other options: page",
    ]


def test_results_of_other_options_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = redirects(options={"seconds": 8})
    quick = redirects(2.0, options={"seconds": 1}, quick=True)
    assert main(["compare", *files(tmp_path, [old], [quick])]) == 2
    assert "no benchmark with the same options" in capsys.readouterr().err


def test_an_option_that_only_one_version_has_is_no_hindrance(tmp_path: Path) -> None:
    old = redirects(options={"seconds": 8})
    new = redirects(1.1, options={"seconds": 8, "core": "compiled"})
    assert main(["compare", *files(tmp_path, [old], [new])]) == 1


def test_a_benchmark_that_could_not_run_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = bench_result("redirects", exit_code=2, error="wrk is not installed")
    assert main(["compare", *files(tmp_path, [redirects()], [broken])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "has no results"), ("no", "is no JSON"), ('{"schema": 7}', "schema version 7")],
)
def test_a_file_of_anything_else_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text(content)
    (good, _) = files(tmp_path, [redirects()], [redirects()])
    assert main(["compare", good, str(file)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_hostile_text_is_no_markup_of_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [3 * value for value in STEADY]
    before = bench_result("x", [figure("a", 1.0, STEADY, title="[red]a[/nothing]\x1b[2J")])
    after = bench_result("x", [figure("a", 3.0, runs, title="[red]a[/nothing]\x1b[2J")])
    assert main(["compare", *files(tmp_path, [before], [after])]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]a" in out
