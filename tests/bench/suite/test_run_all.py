"""The run of all benchmarks: what is recorded, what goes on, and what a second call does."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.suite import plan, run_all
from bench.suite.plan import Step
from bench.suite.result_file import append_result, read_results
from tests.bench.suite.results import bench_result

QUICK = Step("agents", ("--quick", "--least", "0.5"))
WRONG = Step("agents", ("--least", "2"))
MISSED = Step("agents", ("--least", "1", "--lists", "."))


class Hanging(Step):
    """Step whose process says something and does not end."""

    limit_s = 1.0

    def child_command(self, results_file: str) -> list[str]:
        return [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]


class Sleeping(Hanging):
    """Hanging step that is given all the time of a test."""

    limit_s = 600.0


@pytest.fixture(autouse=True)
def _no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signal handlers of the test process in place."""
    monkeypatch.setattr("bench.__main__.signal.signal", lambda number, handler: None)


def use(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    monkeypatch.setattr(plan, "FULL", steps)


def test_a_failed_benchmark_is_recorded_and_the_suite_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, WRONG, Hanging("agents", ("hangs",)), QUICK)
    file = tmp_path / "results.jsonl"
    assert main(["all", "--results", str(file)]) == 1
    wrong, hanging, measured = read_results(file)
    assert (wrong.exit_code, wrong.measured, wrong.result) == (2, [], {})
    assert "Invalid value for '--least'" in wrong.error
    assert hanging.error == "it was stopped, as it took longer than 1 s"
    assert hanging.exit_code != 0
    assert (measured.exit_code, measured.error) == (0, "")
    assert measured.command == ["python", "-m", "bench", *QUICK.title.split()]
    captured = capsys.readouterr()
    assert "3 to run, which is planned for 3 minutes" in captured.err
    assert "1 of 3: agents --least 2" in captured.err
    assert "agents --least 2: FAILED" in captured.err
    assert "begun" in captured.err
    assert "Invalid value for '--least'" in (tmp_path / "results.jsonl.log").read_text()


def test_a_second_call_measures_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, WRONG, Step("agents", ("--least", "none")))
    file = tmp_path / "results.jsonl"
    arguments = ["all", "--results", str(file)]
    assert main([*arguments, "--only", "agents"]) == 1
    before = file.read_bytes()
    assert main(arguments) == 1
    assert file.read_bytes() == before
    assert "2 of 2 are in the file already" in capsys.readouterr().err
    file.write_bytes(before.splitlines(keepends=True)[0] + b'{"schema": 1, "bench')
    assert main(arguments) == 1
    assert [result.command[-1] for result in read_results(file)] == ["2", "none"]


def test_a_check_that_fails_is_a_failure_of_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "human.txt").write_text("curl/8.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(run_all.__file__).parents[2]))
    use(monkeypatch, MISSED)
    assert main(["all"]) == 1
    (result,) = read_results(tmp_path / run_all.DEFAULT_FILE)
    assert (result.exit_code, result.error) == (1, "")
    assert result.failures == ["human: 0.00% are right"]
    use(monkeypatch, Step("agents", ("--least", "0", "--lists", ".")))
    assert main(["all", "--results", "other.jsonl"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "there is no benchmark 'nothing' in the suite"),
        (["--repeats", "0"], "--repeats"),
        (["--results", "nowhere/results.jsonl"], "cannot be written: No such file"),
        (["--results", "."], "directory"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["all", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_results_of_another_machine_or_commit_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, QUICK)
    file = tmp_path / "results.jsonl"
    append_result(file, bench_result("agents"))
    assert main(["all", "--results", str(file)]) == 2
    assert "has results of another processor, A processor instead of" in capsys.readouterr().err
    file.write_text('{"no": "result"}\n')
    assert main(["all", "--results", str(file)]) == 2
    assert "line 1 is no result of a benchmark" in capsys.readouterr().err


def test_two_runs_do_not_write_to_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, QUICK)
    with (tmp_path / "results.jsonl.log").open("ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert main(["all", "--results", str(tmp_path / "results.jsonl")]) == 2
    assert "another run writes to" in capsys.readouterr().err


def test_an_interrupted_run_can_go_on(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    script = (
        "import sys; from bench.suite import plan; from bench.__main__ import main; "
        "from tests.bench.suite.test_run_all import QUICK, Sleeping; "
        "plan.FULL = (QUICK, Sleeping('agents', ('sleeps',))); "
        "sys.exit(main(['all', '--results', sys.argv[1]]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "begun" in line:
            break
    child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(30) == 130
    process.stderr.close()
    assert "interrupted; the same command goes on with what" in rest
    assert len(child) == 1
    assert not Path(f"/proc/{child[0]}").exists()
    assert [result.command for result in read_results(file)] == [QUICK.command]
