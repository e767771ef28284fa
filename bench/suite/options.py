"""Options that every benchmark has, and the end of its command: JSON, the results file, the exit code."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from bench.kit.errors import BenchError
from bench.kit.report import write_json
from bench.suite.environment import commit, host
from bench.suite.machine import package_version
from bench.suite.result import SCHEMA_VERSION, BenchResult, Figure
from bench.suite.result_file import append_result

_META: Final = "bench.suite"
_QUICK: Final = "bench.suite.quick"
_NO_OPTION_OF_A_RUN: Final = frozenset({"as_json", "file"})
F = TypeVar("F", bound=Callable[..., Any])


class Invocation(NamedTuple):
    """Start of a command, and the file that its result goes to."""

    file: Path
    started_at: datetime
    started_s: float
    does_not_say: str


def suite_options(does_not_say: str, quick: Mapping[str, Any] | None) -> Callable[[F], F]:
    """Add `--quick` and `--results FILE` to a command.

    `does_not_say` names what its figures are no measure of, for reports. `quick` has the short settings by
    parameter, which options of the command line override; None for a command with a `--quick` of its own.
    """

    def start(context: click.Context, parameter: click.Parameter, file: Path | None) -> None:
        if file is not None:
            require_writable(file)
            now = datetime.now(UTC)
            context.meta[_META] = Invocation(file, now, time.monotonic(), does_not_say)

    def shorten(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        if value:
            context.meta[_QUICK] = True
            context.default_map = dict(quick or {})
        return value

    results = click.option(
        "--results", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        is_eager=True, expose_value=False, callback=start,
        help="append the result to a file, as a line of JSON",
    )  # fmt: skip
    if quick is None:
        return results
    short = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in quick.items())
    quick_flag = click.option(
        "--quick", is_flag=True, is_eager=True, expose_value=False, callback=shorten,
        help=f"short settings: {short}" if short else "no shorter than without",
    )  # fmt: skip
    return lambda function: results(quick_flag(function))


def require_writable(file: Path) -> None:
    """Raise BenchError when a results file cannot be written."""
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        raise BenchError(f"{file} cannot be written: {error.strerror}") from None


def finish(
    result: dict[str, Any],
    failures: Sequence[str],
    measurements: Callable[[dict[str, Any]], list[Figure]],
    *,
    as_json: bool,
) -> int:
    """End a command: print the result as JSON and append it to the results file, each if wanted.

    Returns the exit code: 1 when a check failed. Raises BenchError when the file cannot be written.
    """
    if as_json:
        write_json(result)
    code = 1 if failures else 0
    context = click.get_current_context()
    invocation: Invocation | None = context.meta.get(_META)
    if invocation is not None:
        envelope = _envelope(context, invocation, result, failures, code, measurements(result))
        append_result(invocation.file, envelope)
    return code


def _envelope(
    context: click.Context, invocation: Invocation, result: dict[str, Any], failures: Sequence[str],
    code: int, measured: list[Figure],
) -> BenchResult:  # fmt: skip
    exact = result.get("exact")
    return BenchResult(
        schema=SCHEMA_VERSION,
        benchmark=result["benchmark"],
        about=str(context.command.help or ""),
        does_not_say=invocation.does_not_say,
        started_at=invocation.started_at,
        seconds=round(time.monotonic() - invocation.started_s, 2),
        command=command_line(context),
        version=package_version("waypost"),
        commit=commit(),
        machine=host(result.get("machine", {})),
        options={
            name: str(value) if isinstance(value, Path) else value
            for name, value in context.params.items()
            if name not in _NO_OPTION_OF_A_RUN
        },
        quick=bool(context.meta.get(_QUICK) or context.params.get("quick")),
        exit_code=code,
        exact=exact if isinstance(exact, bool) else None,
        failures=list(failures),
        error="",
        measured=measured,
        result=result,
    )


def command_line(context: click.Context) -> list[str]:
    """Return the command with the options that its caller gave, without those of the output."""
    words = context.command_path.split()
    for parameter in context.command.params:
        name = parameter.name or ""
        by_caller = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not by_caller or name in {*_NO_OPTION_OF_A_RUN, "results"}:
            continue
        value = context.params.get(name)
        flag = isinstance(parameter, click.Option) and parameter.is_flag
        words += [parameter.opts[0]] if flag else [parameter.opts[0], str(value)]
    return words
