"""Command line of the benchmarks: `python -m bench` lists them, `python -m bench NAME` runs one, `all` each.

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
    """A benchmark by name. `module` has a click command named `command` that returns the exit code."""

    name: str
    module: str
    line: str


BENCHMARKS = (
    Benchmark(
        "redirects", "bench.redirects", "redirects per second and CPU per redirect, beside nginx"
    ),
    Benchmark("page", "bench.page", "views per second and CPU per view of a page, beside nginx"),
    Benchmark("chaos", "bench.chaos", "exactly-once counting while processes are killed"),
    Benchmark("pipeline", "bench.pipeline", "clicks per second from socket to committed counts"),
    Benchmark("cold", "bench.cold", "cold profiles beside warm redirects, and edges that restart"),
    Benchmark("stalls", "bench.stalls", "longest waits while dashboards are open, beside nginx"),
    Benchmark("life", "bench.life", "what a click costs Postgres over its whole life"),
    Benchmark("edges", "bench.edges", "Postgres' connections and transactions of a further edge"),
    Benchmark("outage", "bench.outage", "Postgres away under load: memory, latency, recovery"),
    Benchmark("jobs", "bench.jobs", "jobs per second, and the rescue of a dead worker's job"),
    Benchmark("stats", "bench.stats", "a dashboard's questions, on a year of 100 million clicks"),
    Benchmark("dashboards", "bench.dashboards", "500 open overviews of a quiet engine"),
    Benchmark("scale", "bench.scale", "what counting takes, and a model of how it grows"),
    Benchmark("agents", "bench.agents", "kinds and devices of user agents, on lists that you have"),
    Benchmark("webhooks", "bench.webhooks", "deliveries to failing receivers, under faults"),
    Benchmark("experiments", "bench.experiments", "exactness, fairness and cost of an experiment"),
    Benchmark("rules", "bench.rules", "the cost of a link's rules at an edge"),
    Benchmark("peeking", "bench.peeking", "false alarms of experiments looked at 1,000 times"),
)

# What is done with all of them, and with their results.
SUITE = (
    Benchmark(
        "all",
        "bench.suite.run_all",
        "all of them into one file of results; goes on where it was stopped",
    ),
    Benchmark("report", "bench.suite.report", "a page of files of results, with plots"),
    Benchmark("compare", "bench.suite.compare", "what differs between two files beyond noise"),
    Benchmark("schema", "bench.suite.schema", "JSON Schema of a line of a file of results"),
)


def main(arguments: list[str]) -> int:
    """Run the benchmark that `arguments` name, or list all. Returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if not arguments or arguments[0] in ("-h", "--help", "--list"):
        show(listing())
        print("\npython -m bench NAME --help lists a benchmark's options.")
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
    """Run one benchmark. Returns its exit code. Raises ClickException for a wrong command line."""
    for benchmark in (*BENCHMARKS, *SUITE):
        if benchmark.name == name:
            command: click.Command = importlib.import_module(benchmark.module).command
            code: int | None = command.main(
                options, prog_name=f"python -m bench {name}", standalone_mode=False
            )
            return code or 0
    names = ", ".join(benchmark.name for benchmark in (*BENCHMARKS, *SUITE))
    raise click.UsageError(f"there is no benchmark '{name}'; the benchmarks are: {names}")


def listing() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for benchmark in BENCHMARKS:
        table.add_row(benchmark.name, benchmark.line)
    table.add_section()
    for command in SUITE:
        table.add_row(command.name, command.line)
    return table


def fail(text: str) -> int:
    sys.stderr.write(f"bench: {' '.join(text.split())}\n")
    return 2


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Raise KeyboardInterrupt, as Ctrl-C does, so that a benchmark stops what it has started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
