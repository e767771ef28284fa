"""Page of results: one HTML file with its style, its charts and nothing to load."""

import statistics
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from markupsafe import Markup

from bench.kit.amounts import amount
from bench.kit.report import printable
from bench.suite import charts
from bench.suite.result import BenchResult, Figure

_STYLE: Final = Markup((Path(__file__).parent / "page.css").read_text())  # noqa: S704  # our own file
_PAGE: Final = Markup("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Waypost: benchmarks of {day}</title>
<style>{style}</style>
<header><h1>Benchmarks of Waypost</h1><p>{summary}</p>{notices}</header>
<nav aria-label="Benchmarks"><ol>{contents}</ol></nav>
<main>{sections}<section><h2 id="machine">Machine and versions</h2>{machines}</section>
<section><h2 id="reading">How to read this</h2>{reading}</section></main>
</html>
""")
_READING: Final = Markup(
    "<p>A bar is the figure that the table states. The thin lines on it are the values of the rounds of "
    "one run, or of repeated runs: the wider they lie, the less a small difference means. A figure without "
    "lines was measured once, so its spread is not known. Figures of peers, such as nginx, are of the same "
    "run on the same cores; only they make figures of two machines comparable.</p>"
    "<p><code>python -m bench compare BEFORE AFTER</code> says which differences of two files noise does "
    "not explain.</p>"
)  # fmt: skip


class Section(NamedTuple):
    """Runs of one command. `key` is its place on the page."""

    key: str
    title: str
    runs: list[BenchResult]

    @property
    def latest(self) -> BenchResult:
        return self.runs[-1]


def sections(results: Sequence[BenchResult]) -> list[Section]:
    """Return the results by command, in the order of their first run.

    A run that gave no result counts only while none of its command gave one.
    """
    groups: dict[str, list[BenchResult]] = {}
    for result in results:
        groups.setdefault(" ".join(result.command), []).append(result)
    by_command = []
    for number, runs in enumerate(groups.values(), 1):
        measured = [run for run in runs if not run.error] or runs[-1:]
        words = measured[-1].command
        title = " ".join(words[3:] if words[1:3] == ["-m", "bench"] else words)
        by_command.append(Section(f"b{number}", printable(title), measured))
    return by_command


def merged(runs: Sequence[BenchResult]) -> list[Figure]:
    """Return the figures of the latest run; of repeated runs the median, with the value of each run."""
    if len(runs) == 1:
        return runs[0].measured
    values: dict[str, list[float]] = {}
    for run in runs:
        for figure in run.measured:
            values.setdefault(figure.name, []).append(figure.value)
    return [
        msgspec.structs.replace(
            figure, value=statistics.median(values[figure.name]), runs=tuple(values[figure.name])
        )
        for figure in runs[-1].measured
    ]


def page(results: Sequence[BenchResult]) -> str:
    """Return the page of one result or more."""
    parts = sections(results)
    failed = sum(section.latest.exit_code != 0 for section in parts)
    first = min(result.started_at for result in results)
    last = max(result.started_at for result in results)
    days = _day(last) if first.date() == last.date() else f"{_day(first)} to {_day(last)}"
    seconds = sum(result.seconds for result in results)
    took = f"{seconds / 60:,.0f} minutes" if seconds >= 120 else f"{seconds:,.0f} s"
    host = results[-1].machine
    summary = (
        f"{days}, {len(parts)} benchmarks in {took}; {failed or 'none'} failed. "
        f"{host.cpu}, {host.cores} cores, Waypost {results[-1].version}."
    )
    contents = (
        Markup('<li><a href="#{}">{}</a>{}</li>').format(part.key, part.title, _state(part.latest))
        for part in parts
    )
    return _PAGE.format(
        day=f"{last:%Y-%m-%d}",
        style=_STYLE,
        summary=printable(summary),
        notices=_notices(results),
        contents=Markup("").join(contents),
        sections=Markup("").join(_section(part) for part in parts),
        machines=_machines(results),
        reading=_READING,
    )


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _notices(results: Sequence[BenchResult]) -> Markup:
    """Return what a reader has to know before the figures."""
    lines = []
    if any(result.quick for result in results):
        lines.append(
            "Short settings: these figures show that the suite runs, not how fast Waypost is."
        )
    if len({(result.machine.cpu, result.machine.cores) for result in results}) > 1:
        lines.append("Results of several machines are on this page.")
    if len({result.commit for result in results}) > 1:
        lines.append("Results of several commits are on this page.")
    if any(result.commit.endswith("+") for result in results):
        lines.append("The sources had changes that are in no commit.")
    return Markup("").join(Markup('<p class="notice">{}</p>').format(line) for line in lines)


def _state(result: BenchResult) -> Markup:
    if result.error:
        return Markup(' <span class="tag bad">not measured</span>')
    if result.exit_code:
        return Markup(' <span class="tag bad">a check failed</span>')
    exact = Markup(' <span class="tag ok">exact</span>')
    return exact if result.exact else Markup(' <span class="tag">measured</span>')


def _section(section: Section) -> Markup:
    result = section.latest
    all_measured = merged(section.runs)
    drawn = (
        Markup("<figure><figcaption>{}</figcaption>{}</figure>").format(
            printable(name if not unit or unit.startswith("/") else f"{name}, {unit}"),
            charts.drawn(chart_members),
        )
        for (name, unit), chart_members in charts.charts_of(all_measured).items()
    )
    wrong = [*result.failures, *([result.error] if result.error else [])]
    return Markup(
        '<section><h2 id="{key}">{title}{state}</h2><p>{about}</p><pre>{command}</pre>'
        '<p class="note">{facts}</p>{wrong}<div class="charts">{charts}</div>{table}{limits}</section>'
    ).format(
        key=section.key,
        title=section.title,
        state=_state(result),
        about=printable(" ".join(result.about.split())),
        command=printable(" ".join(result.command)),
        facts=printable(_facts(section)),
        wrong=Markup("").join(
            Markup('<p class="failure">{}</p>').format(printable(line)) for line in wrong
        ),
        charts=Markup("").join(drawn),
        table=_table(all_measured) if all_measured else "",
        limits=_limits(result.does_not_say),
    )


def _facts(section: Section) -> str:
    result = section.latest
    runs = f"{len(section.runs)} runs, the latest " if len(section.runs) > 1 else ""
    commit = f", commit {result.commit}" if result.commit else ""
    return f"{runs}{result.started_at:%Y-%m-%d %H:%M} UTC, {result.seconds:,.0f} s{commit}"


def _limits(text: str) -> Markup:
    if not text:
        return Markup("")
    return Markup('<p class="limits"><b>What this does not say.</b> {}</p>').format(printable(text))


def _table(all_measured: Sequence[Figure]) -> Markup:
    rows = (
        Markup(
            '<tr><th scope="row">{}<small>{}</small></th><td>{}</td><td>{}</td><td>{}</td></tr>'
        ).format(
            charts.label(figure),
            printable(figure.chart),
            printable(amount(figure.value, figure.unit)),
            printable(spread(figure)),
            {"lower": "less", "higher": "more", "neither": ""}[figure.better],
        )
        for figure in all_measured
    )
    return Markup(
        '<details><summary>{} figures</summary><div class="scroll" tabindex="0"><table><thead><tr>'
        "<th>figure</th><th>value</th><th>least to most</th><th>better</th></tr></thead>"
        "<tbody>{}</tbody></table></div></details>"
    ).format(len(all_measured), Markup("").join(rows))


def spread(figure: Figure) -> str:
    """Return the least and the largest value of a figure's rounds or runs."""
    if len(figure.runs) < 2:
        return ""
    low, high = min(figure.runs), max(figure.runs)
    return f"{amount(low, '')} to {amount(high, '')} ({len(figure.runs)})"


def _machines(results: Sequence[BenchResult]) -> Markup:
    """Return a list of facts for each machine, with the versions that any of its results names."""
    machines: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for result in results:
        host = result.machine
        machine = (host.cpu, str(host.cores), f"{host.memory_mb:,} MB", host.kernel, host.python)
        versions = machines.setdefault(machine, {})
        for name, version in host.versions.items():
            versions.setdefault(name, set()).add(version)
    lists = []
    for facts, versions in machines.items():
        rows = [*zip(("processor", "cores", "memory", "kernel", "Python"), facts, strict=True)]
        rows += [(name, ", ".join(sorted(versions[name]))) for name in sorted(versions)]
        terms = (
            Markup("<dt>{}</dt><dd>{}</dd>").format(printable(name), printable(value))
            for name, value in rows
        )
        lists.append(Markup("<dl>{}</dl>").format(Markup("").join(terms)))
    return Markup("").join(lists)
