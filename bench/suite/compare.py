"""Comparison of two results files: `python -m bench compare BEFORE AFTER`.

It says which figures are worse or better in AFTER than noise explains; bench/suite/comparison.py has the
method. Results are compared that have the same options. Figures of peers are compared too, but judged neither
way: if nginx has become slower, so has the machine.

Exit code 0: nothing is worse beyond noise; 1: a figure is, or a check fails that held before; 2: a file cannot
be read, or they have nothing in common.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from bench.kit.amounts import amount
from bench.kit.errors import BenchError
from bench.kit.report import cells, printable, progress, show, write_json
from bench.suite.comparison import Difference, FigureSample, Least, compare, new_failures
from bench.suite.result import BenchResult, Figure, Host
from bench.suite.result_file import read_results

_ORDER: Final = ("worse", "better", "changed", "within noise", "cannot tell")
_STYLES: Final = {"worse": "bold red", "better": "green", "changed": "yellow"}


class Match(NamedTuple):
    """Runs of one benchmark with the same options in both files."""

    title: str
    before: list[BenchResult]
    after: list[BenchResult]


class BenchmarkWithOptions(NamedTuple):
    """Benchmark with those of its options that all results of both files name, as JSON."""

    benchmark: str
    options: str


def matches(before: Sequence[BenchResult], after: Sequence[BenchResult]) -> list[Match]:
    """Return the benchmarks that ran in both files with the same options, in the order of the first file.

    An option that only one version of a benchmark has is not compared.
    """
    shared: dict[str, set[str]] = {}
    for result in (*before, *after):
        if not result.error:
            names = shared.setdefault(result.benchmark, set(result.options))
            names &= result.options.keys()
    grouped = [_by_variant(results, shared) for results in (before, after)]
    return [
        Match(" ".join(runs[-1].command[3:]) or runs[-1].benchmark, runs, grouped[1][variant])
        for variant, runs in grouped[0].items()
        if variant in grouped[1]
    ]


def _by_variant(
    results: Iterable[BenchResult], shared: dict[str, set[str]]
) -> dict[BenchmarkWithOptions, list[BenchResult]]:
    groups: dict[BenchmarkWithOptions, list[BenchResult]] = {}
    for result in results:
        if not result.error:
            names = sorted(shared[result.benchmark])
            options = json.dumps({name: result.options[name] for name in names}, sort_keys=True)
            groups.setdefault(BenchmarkWithOptions(result.benchmark, options), []).append(result)
    return groups


def differences(common: Sequence[Match], least: Least) -> list[Difference]:
    """Compare the figures that both files have of each match."""
    pairs = []
    for match in common:
        first, second = _by_name(match.before), _by_name(match.after)
        pairs += [
            (match.title, first[name], occurrences)
            for name, occurrences in second.items()
            if name in first
        ]
    return compare(pairs, least)


def _by_name(results: Iterable[BenchResult]) -> dict[str, list[Figure]]:
    by_name: dict[str, list[Figure]] = {}
    for result in results:
        for figure in result.measured:
            by_name.setdefault(figure.name, []).append(figure)
    return by_name


def warnings(before: Sequence[BenchResult], after: Sequence[BenchResult]) -> list[str]:
    """Return lines on what makes a comparison say less: other machines, and results that only one file has."""
    lines = []
    for name, first, second in _other_hosts(before[-1].machine, after[-1].machine):
        lines.append(f"another {name}: {first} before, {second} after; a change may be its own")
    compared = {
        id(result) for match in matches(before, after) for side in match[1:] for result in side
    }
    for word, results in (("before", before), ("after", after)):
        titles = [" ".join(result.command[3:]) for result in results if id(result) not in compared]
        if titles:
            lines.append(f"only {word}, or with other options: {', '.join(dict.fromkeys(titles))}")
    return lines


def _other_hosts(before: Host, after: Host) -> list[tuple[str, str, str]]:
    facts = [
        ("processor", before.cpu, after.cpu),
        ("number of cores", str(before.cores), str(after.cores)),
        ("memory, MB", str(before.memory_mb), str(after.memory_mb)),
        ("kernel", before.kernel, after.kernel),
        ("Python", before.python, after.python),
    ]
    facts += [
        (f"version of {name}" if version[:1].isdigit() else name, version, after.versions[name])
        for name, version in before.versions.items()
        if name in after.versions and name != "waypost"
    ]
    return [fact for fact in facts if fact[1] != fact[2]]


def table(benchmark: str, rows: Sequence[Difference]) -> Table:
    """Return the table of one benchmark's figures; its heading says how many values a side has."""
    values = basis(rows[0].before, rows[0].after)
    grid = Table(title=Text(printable(f"{benchmark}: {values}")), title_justify="left")
    for name in ("figure", "before", "after", "change", "95 % interval", "verdict"):
        justify: JustifyMethod = "left" if name in ("figure", "verdict") else "right"
        grid.add_column(name, justify=justify)
    for row in rows:
        texts = cells(
            f"{row.figure.title}{f', {row.figure.series}' if row.figure.series else ''}",
            amount(row.before.mean, row.figure.unit),
            amount(row.after.mean, row.figure.unit),
            "" if row.change is None else f"{row.change:+.1%}",
            "" if row.low is None or row.high is None else f"{row.low:+.0%} to {row.high:+.0%}",
            row.verdict,
        )
        grid.add_row(*texts, style=_STYLES.get(row.verdict))
    return grid


def basis(before: FigureSample, after: FigureSample) -> str:
    """Return how many values the comparison has."""
    word = "runs" if before.of_runs else "rounds"
    return f"{len(before.values)} and {len(after.values)} {word}"


def as_object(rows: Sequence[Difference], failures: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "differences": [
            {
                "benchmark": row.benchmark,
                "figure": row.figure.name,
                "unit": row.figure.unit,
                "before": row.before.mean,
                "after": row.after.mean,
                "change": row.change,
                "interval": [row.low, row.high],
                "p_value": row.p_value,
                "by": basis(row.before, row.after),
                "verdict": row.verdict,
            }
            for row in rows
        ],
        "new_failures": failures,
    }


@click.command(
    help="What differs between two results files beyond noise; exit code 1 if something is worse."
)
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--least", type=click.FloatRange(0, 1000), default=None, metavar="PERCENT",
              help="least change that counts  [default: 3 by repeated runs, 5 by rounds]")  # fmt: skip
@click.option("--every", is_flag=True, help="list figures that have not changed, too")
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(before: Path, after: Path, least: float | None, every: bool, as_json: bool) -> int:
    """Compare and print. Returns the exit code."""
    first, second = read_results(before), read_results(after)
    common = matches(first, second)
    if not common:
        raise BenchError(f"{before} and {after} have no benchmark with the same options")
    for line in warnings(first, second):
        progress(printable(f"note: {line}"))
    rows = differences(common, Least() if least is None else Least(least / 100, least / 100))
    rows.sort(key=lambda row: _ORDER.index(row.verdict))
    failures = {
        match.title: lines
        for match in common
        if (lines := new_failures(match.before, match.after))
    }  # fmt: skip
    print_comparison(rows, failures, every=every)
    if as_json:
        write_json(as_object(rows, failures))
    worse = [row for row in rows if row.verdict == "worse"]
    return 1 if worse or failures else 0


def print_comparison(
    rows: Sequence[Difference], failures: dict[str, list[str]], *, every: bool
) -> None:
    """Print the figures that changed, or every one, and how many have which verdict."""
    shown = [row for row in rows if every or row.verdict in _STYLES]
    for benchmark in dict.fromkeys(row.benchmark for row in shown):
        show(table(benchmark, [row for row in shown if row.benchmark == benchmark]))
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in _ORDER}
    print("; ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    for title, lines in failures.items():
        for line in lines:
            print(printable(f"FAILED: {title}: {line}"))
    sys.stdout.flush()
