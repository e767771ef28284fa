"""`python -m bench`: lists the benchmarks, or runs one of them.

Exit codes: 0 measured, 1 measured but a check failed, 2 could not run, 130 interrupted.
"""

import importlib
import signal
import sys
from types import FrameType
from typing import NamedTuple, NoReturn

import click
from rich.table import Table

from bench.kit.report import show
from engine.common.errors import WaypostError


class Benchmark(NamedTuple):
    """`module` has a click command named `command` that returns the exit code."""

    name: str
    module: str
    line: str


BENCHMARKS = (
    Benchmark(
        "redirects", "bench.redirects", "redirects a second and CPU per redirect, beside nginx"
    ),
    Benchmark("chaos", "bench.chaos", "exactly once, while anything is killed at any moment"),
    Benchmark("pipeline", "bench.pipeline", "clicks a second from socket to committed rollups"),
    Benchmark("outage", "bench.outage", "Postgres away under load: memory, latency, recovery"),
    Benchmark("jobs", "bench.jobs", "jobs a second, and how soon a dead worker's are taken over"),
    Benchmark(
        "stats", "bench.stats", "what a dashboard asks, on a year of a hundred million clicks"
    ),
    Benchmark(
        "webhooks", "bench.webhooks", "events at receivers that fail, while anything is killed"
    ),
    Benchmark(
        "experiments", "bench.experiments", "exact and fair in a real run, and what one costs"
    ),
    Benchmark("peeking", "bench.peeking", "false alarms of experiments that are watched all day"),
)


def main(arguments: list[str]) -> int:
    """Run what `arguments` say; the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if not arguments or arguments[0] in ("-h", "--help", "--list"):
        show(listing())
        print("\npython -m bench NAME --help tells a benchmark's options.")
        return 0
    try:
        return run(arguments[0], arguments[1:])
    except click.ClickException as error:
        return fail(error.format_message())
    except WaypostError as error:
        return fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        return 130


def run(name: str, options: list[str]) -> int:
    """Run one benchmark. Raises ClickException for what is wrong in the command line."""
    for benchmark in BENCHMARKS:
        if benchmark.name == name:
            command: click.Command = importlib.import_module(benchmark.module).command
            code: int | None = command.main(
                options, prog_name=f"python -m bench {name}", standalone_mode=False
            )
            return code or 0
    known = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    raise click.UsageError(f"there is no benchmark '{name}'; there are: {known}")


def listing() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for benchmark in BENCHMARKS:
        table.add_row(benchmark.name, benchmark.line)
    return table


def fail(text: str) -> int:
    sys.stderr.write(f"bench: {' '.join(text.split())}\n")
    return 2


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """So that what was started is stopped, as with Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
