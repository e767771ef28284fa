"""How a command ends: one line and an exit code, whatever was typed and whoever stops it."""

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from api.command import main as program
from api.command.commands import cli
from api.processes.process import notice
from engine.common.errors import StoppedError, UnavailableError, WaypostError
from tests.kit.commands import CommandLine
from tests.kit.engines import ROOT, environment


@pytest.fixture
def failing(
    waypost: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> Callable[[BaseException], tuple[object, str, str]]:
    """Return a function that runs a command that raises an error."""

    def run(error: BaseException) -> tuple[object, str, str]:
        def fail() -> int:
            raise error

        monkeypatch.setattr(program, "_run", fail)
        return waypost("up")

    return run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("bogus",), "No such command 'bogus'; see waypost --help"),
        (("up", "--bogus"), "see waypost up --help"),
        (("up", "--edges", "0"), "0 is not in the range 1<=x<=64; see waypost up --help"),
        (("up", "more"), "see waypost up --help"),
        (("jobs", "show"), "Missing argument 'JOB_ID'; see waypost jobs show --help"),
        (("jobs", "bogus"), "see waypost jobs --help"),
        (("jobs", "list", "--state", "bogus"), "see waypost jobs list --help"),
        (("rebuild", "--day", "yesterday"), "see waypost rebuild --help"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_the_help(
    waypost: CommandLine, arguments: tuple[str, ...], line: str
) -> None:
    assert line in waypost.refusal(*arguments)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (WaypostError("no such\nthing"), 2, "no such thing"),
        (ExceptionGroup("", [ExceptionGroup("", [UnavailableError("down")])]), 2, "down"),
        (StoppedError("stopped after 3 days"), 130, "stopped after 3 days"),
        (ExceptionGroup("", [WaypostError("x"), StoppedError("stopped")]), 130, "stopped"),
        (KeyboardInterrupt(), 130, "stopped"),
        (BaseExceptionGroup("", [KeyboardInterrupt(), WaypostError("x")]), 130, "stopped"),
        (click.Abort(), 130, "stopped: no answer was given"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    failing: Callable[[BaseException], tuple[object, str, str]],
    error: BaseException,
    code: int,
    line: str,
) -> None:
    assert failing(error) == (code, "", f"waypost: {line}\n")


def test_an_interrupt_in_a_command_is_one_line(
    waypost: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands["doctor"], "callback", interrupted)
    assert waypost("doctor") == (130, "", "waypost: stopped\n")


def test_a_question_without_an_answer_erases_nothing(
    waypost: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, output, errors = waypost("erase", "ada")
    assert code == 130
    assert output.startswith("Erase ada for good?")
    assert errors == "waypost: stopped: no answer was given\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, _, errors = waypost("erase", "ada")
    assert (code, errors) == (2, "waypost: ada was not erased\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise ExceptionGroup("", [WaypostError("known"), ValueError("unknown")])

    monkeypatch.setattr(program, "_run", fail)
    with pytest.raises(ExceptionGroup):
        program.main()


def test_nothing_that_takes_time_is_loaded_before_an_interrupt_is_handled() -> None:
    script = (
        "import sys, api.command.main; print([m for m in ('click', 'trio') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"


def run_with(stdout: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "api.command", "--help"],
        env=environment(), stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False,
    )  # fmt: skip


def test_a_name_that_cannot_be_printed_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))

    def run() -> int:
        notice("a\udcff–")
        return 0

    monkeypatch.setattr(program, "_run", run)
    with pytest.raises(SystemExit):
        program.main()
    assert written.getvalue() == b"a\\udcff\\u2013\n"


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = run_with(writer)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.slow
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        ended = run_with(full.fileno())
    reason = os.strerror(errno.ENOSPC)
    assert ended.returncode == 2
    assert ended.stderr == f"waypost: standard output cannot be written: {reason}\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_says_so(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "api.command", "webhooks", "listen", "--port", "0"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "waypost: stopped after 0 requests, 0 refused\n")
