"""The command line of `python -m bench`."""

import importlib
import json

import click
import pytest

from bench.__main__ import BENCHMARKS, main
from bench.kit.report import write_json
from bench.load import wrk
from bench.servers import nginx


@pytest.fixture(autouse=True)
def _no_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the signal handlers of the test process in place."""
    monkeypatch.setattr("bench.__main__.signal.signal", lambda number, handler: None)


def test_the_list_has_a_line_for_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for benchmark in BENCHMARKS:
        assert any(line.split()[:1] == [benchmark.name] for line in lines)
        assert benchmark.line in "\n".join(lines)


@pytest.mark.slow
def test_each_benchmark_has_the_options_of_all() -> None:
    for benchmark in BENCHMARKS:
        command = importlib.import_module(benchmark.module).command
        assert isinstance(command, click.Command)
        names = {name for option in command.params for name in option.opts}
        assert {"--json", "--quick", "--results"} <= names, benchmark.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no benchmark 'nothing'"),
        (["redirects", "--sekonds", "3"], "--sekonds"),
        (["redirects", "--seconds", "many"], "--seconds"),
        (["redirects", "--rounds", "0"], "--rounds"),
        (["redirects", "more"], "more"),
    ],
)
def test_a_wrong_command_line_is_reported_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("tool", [wrk, nginx])
def test_a_missing_tool_is_named_with_its_install_command(
    tool: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    if tool is nginx:
        monkeypatch.setattr(wrk, "find", lambda: "wrk")
    assert main(["redirects"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "apt-get install wrk nginx-light" in error


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"rps": 1.5, "failures": ["two\nlines"]})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"rps": 1.5, "failures": ["two\nlines"]}
