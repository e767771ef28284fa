"""The options that every benchmark has, and the envelope of its result."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema_rs import validator_for

from bench.agents import command
from bench.kit.errors import BenchError
from bench.suite.options import command_line, finish, suite_options
from bench.suite.result import Figure, Key, schema, stated
from bench.suite.result_file import read_results


def measurements(result: dict[str, Any]) -> list[Figure]:
    return stated(result, (Key("rps", "requests a second", "/s", "higher"),))


@click.command(help="A benchmark that measures nothing.")
@click.option("--seconds", type=int, default=8)
@click.option("--rounds", type=int, default=5)
@click.option("--wrong", is_flag=True)
@click.option("--json", "as_json", is_flag=True)
@suite_options("nothing at all", {"seconds": 1, "rounds": 2})
def example(seconds: int, rounds: int, wrong: bool, as_json: bool) -> int:
    result = {"benchmark": "example", "rps": 1000.0 * seconds, "runs": {"rps": [1.0] * rounds}}
    return finish(result, ["a check"] if wrong else [], measurements, as_json=as_json)


def run(*arguments: str) -> int:
    code: int = example.main(list(arguments), prog_name="example", standalone_mode=False)
    return code


def test_a_result_is_appended_in_its_envelope(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    assert run("--results", str(file), "--rounds", "3") == 0
    assert run("--wrong", "--results", str(file), "--quick") == 1
    first, second = read_results(file)
    assert (first.benchmark, first.about) == ("example", "A benchmark that measures nothing.")
    assert first.does_not_say == "nothing at all"
    assert first.options == {"seconds": 8, "rounds": 3, "wrong": False}
    assert first.command == ["example", "--rounds", "3"]
    assert (first.exit_code, first.failures, first.exact, first.quick) == (0, [], None, False)
    assert first.measured == [
        Figure(
            name="rps",
            title="requests a second",
            unit="/s",
            value=8000.0,
            better="higher",
            runs=(1.0, 1.0, 1.0),
        )
    ]
    assert (second.exit_code, second.failures, second.quick) == (1, ["a check"], True)
    assert second.command == ["example", "--wrong", "--quick"]
    assert second.machine.cores >= 1


def test_quick_settings_are_overridden_by_the_caller() -> None:
    probe = click.Command("probe", params=example.params, callback=lambda **values: values)
    for arguments, expected in (
        (["--quick"], (1, 2)),
        (["--quick", "--seconds", "5"], (5, 2)),
        (["--seconds", "5", "--quick"], (5, 2)),
        ([], (8, 5)),
    ):
        values = probe.main(arguments, standalone_mode=False)
        assert (values["seconds"], values["rounds"]) == expected


def test_a_file_that_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot be written: No such file or directory"):
        run("--results", str(tmp_path / "nowhere" / "results.jsonl"))


def test_a_number_that_was_not_measured_is_no_figure() -> None:
    keys = (Key("a", "a", "", "lower"), Key("b", "b", "", "lower"), Key("c", "c", "", "lower"))
    assert stated({"a": None, "b": float("nan")}, keys) == []


def test_the_envelope_of_a_real_benchmark_is_as_its_schema(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "people.txt").write_text("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\n")
    file = tmp_path / "results.jsonl"
    options = ["--quick", "--lists", str(agents), "--results", str(file)]
    assert command.main(options, standalone_mode=False) == 0
    validator_for(schema()).validate(json.loads(file.read_text()))
    (result,) = read_results(file)
    assert {figure.name for figure in result.measured} == {"us_judge", "us_device", "right/people"}


def test_the_command_line_has_what_the_caller_said() -> None:
    context = example.make_context("example", ["--seconds", "3", "--json", "--wrong"])
    assert command_line(context) == ["example", "--seconds", "3", "--wrong"]
