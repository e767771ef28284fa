"""Servers under one load, side by side: rounds in turn on one core, medians and their spread.

Each server has the same core, one at a time; the load has another. In each round every server has one run, and
each round begins with another server, so that what changes with time changes for all. These are the keys of a
server in the results, each the median over rounds:

| key | definition |
|---|---|
| `rps` | answered requests per second |
| `cpu_us_per_request` | user and system time of the server's process, all threads, divided by the answered requests; µs |
| `busy` | this time over the run's. Well below 1 in a closed loop, the load's core was the limit, or another process used the server's |
| `p50_ms`, `p99_ms`, `p999_ms` | latency: in a closed loop that of a queue of `connections` (bench/load/wrk.py), at a constant rate from the time at which a request was due (bench/rounds/constant_rate.c) |
| `unsent`, `late_p99_ms` | at a constant rate: requests that were never sent, as the server is slower than the rate; and how late they were sent |
| `ratio_cpu`, `ratio_rps` | of peers: `cpu_us_per_request` of the peer over that of Waypost, and `rps` of Waypost over that of the peer: above 1, Waypost is cheaper, or faster. Medians of the rounds' ratios |
| `runs` | the values of the rounds, by key |
| `spread` | least and greatest value of the rounds, by key |
"""  # noqa: E501  # a table row cannot be wrapped

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from rich import box
from rich.table import Table
from rich.text import Text

from bench.kit.errors import BenchError
from bench.kit.report import progress
from bench.load import wrk
from bench.load.processes import Placement, exact_cpu_s, pin
from bench.load.wrk import WrkResult
from bench.rounds import constant_rate
from bench.rounds.constant_rate import RateResult
from bench.suite.result import Better, Figure

WAYPOST: Final = "waypost"
WARM_UP_S: Final = 1
FULLY_BUSY: Final = 0.9
Summary = dict[str, dict[str, Any]]

# Figures: key, chart in a closed loop, chart at a constant rate (empty: none), unit, direction.
_CHARTS: Final[tuple[tuple[str, str, str, str, Better], ...]] = (
    ("cpu_us_per_request", "CPU time for a request", "CPU time at a constant rate", "µs", "lower"),
    ("rps", "Requests a second", "", "/s", "higher"),
    ("p50_ms", "Latency in a closed loop, p50", "Latency at a constant rate, p50", "ms", "lower"),
    ("p99_ms", "Latency in a closed loop, p99", "Latency at a constant rate, p99", "ms", "lower"),
    ("p999_ms", "", "Latency at a constant rate, p99.9", "ms", "lower"),
)


class Mode(NamedTuple):
    """How requests come: one after the other on each connection, or `rate` of them per second if not 0."""

    name: str
    close: bool = False
    rate: int = 0

    @property
    def title(self) -> str:
        return f"{self.rate:,}/s" if self.rate else self.name.replace("-", " ")


KEEP_ALIVE: Final = Mode("keep-alive")
ONE_REQUEST: Final = Mode("one-request", close=True)


class RunPlan(NamedTuple):
    """`seconds` is the length of one run."""

    seconds: int
    connections: int
    rounds: int


class ServerRun(NamedTuple):
    """Run of the load on one server, and the CPU time of the server's process meanwhile."""

    result: WrkResult | RateResult
    cpu_s: float

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_s * 1e6 / max(1, self.result.requests)

    @property
    def busy(self) -> float:
        return self.cpu_s / self.result.seconds


class MeasuredServer(Protocol):
    """MeasuredServer to measure. `pid` is the process that answers."""

    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def pid(self) -> int: ...
    def before_run(self) -> None: ...
    def after_run(self, run: ServerRun) -> list[str]:
        """Return what is wrong with the run, in words."""


class Peer(NamedTuple):
    """Other server beside Waypost. `tidy` removes what a run left behind."""

    name: str
    url: str
    pid: int
    tidy: Callable[[], None]

    def before_run(self) -> None:
        """Do nothing."""

    def after_run(self, run: ServerRun) -> list[str]:
        self.tidy()
        errors = run.result.errors
        return [f"requests to {self.name} failed: {errors}"] if errors else []


class SideBySide:
    """Servers that are measured in turn. Raises BenchError where they would share the core of their load."""

    def __init__(
        self,
        servers: Sequence[MeasuredServer],
        placement: Placement,
        plan: RunPlan,
        folder: Path,
        rate_program: Path | None = None,
    ) -> None:
        if placement.server == placement.client:
            raise BenchError("a server and its load need a core each, and this process has one")
        self._servers = servers
        self._placement = placement
        self._plan = plan
        self._folder = folder
        self._rate_program = rate_program
        self.failures: list[str] = []
        for server in servers:
            pin(server.pid, {placement.server})

    def measure(
        self, title: str, mode: Mode, heads: Callable[[str], bytes]
    ) -> dict[str, list[ServerRun]]:
        """Return the runs of each server by name, in the order of the rounds, after a warm-up.

        `heads` makes a server's requests for its host.
        """
        files = {server.name: self._write(server, heads) for server in self._servers}
        runs: dict[str, list[ServerRun]] = {server.name: [] for server in self._servers}
        for server in self._servers:
            self._run(server, mode, files[server.name], WARM_UP_S)
        count = len(self._servers)
        for number in range(self._plan.rounds):
            first = number % count
            for server in (*self._servers[first:], *self._servers[:first]):
                runs[server.name].append(
                    self._run(server, mode, files[server.name], self._plan.seconds)
                )
            texts = (
                f"{name} {rounds[-1].result.rps:,.0f}/s, {rounds[-1].cpu_us_per_request:.1f} µs CPU"
                for name, rounds in runs.items()
            )
            progress(f"{title}, round {number + 1} of {self._plan.rounds}: {'; '.join(texts)}")
        for file in files.values():
            file.unlink()
        return runs

    def _write(self, server: MeasuredServer, heads: Callable[[str], bytes]) -> Path:
        file = self._folder / f"{server.name}.heads"
        file.write_bytes(heads(urlsplit(server.url).netloc))
        return file

    def _run(self, server: MeasuredServer, mode: Mode, heads: Path, seconds: int) -> ServerRun:
        server.before_run()
        before_s = exact_cpu_s(server.pid)
        result = self._load(server.url, mode, heads, seconds)
        run = ServerRun(result, exact_cpu_s(server.pid) - before_s)
        self.failures += server.after_run(run)
        return run

    def _load(self, url: str, mode: Mode, heads: Path, seconds: int) -> WrkResult | RateResult:
        connections, cores = self._plan.connections, {self._placement.client}
        if not mode.rate:
            return wrk.run(url, heads, seconds=seconds, connections=connections, cores=cores)
        if self._rate_program is None:
            raise BenchError("the load at a constant rate was not compiled")
        return constant_rate.run(
            self._rate_program, url, heads,
            rate=mode.rate, seconds=seconds, connections=connections, cores=cores,
        )  # fmt: skip


def medians(runs: Mapping[str, Sequence[ServerRun]]) -> Summary:
    """Return the keys of the module's table by server. The runs of one round have the same index."""
    own = runs[WAYPOST]
    summary = {}
    for name, rounds in runs.items():
        values = _values(rounds)
        if name != WAYPOST:
            pairs = list(zip(own, rounds, strict=True))
            values["ratio_cpu"] = [b.cpu_us_per_request / a.cpu_us_per_request for a, b in pairs]
            values["ratio_rps"] = [a.result.rps / b.result.rps for a, b in pairs]
        values = {key: [round(value, 4) for value in row] for key, row in values.items()}
        summary[name] = {
            **{key: round(statistics.median(row), 3) for key, row in values.items()},
            "runs": values,
            "spread": {key: [min(row), max(row)] for key, row in values.items()},
        }
    return summary


def _values(rounds: Sequence[ServerRun]) -> dict[str, list[float]]:
    values = {
        "rps": [run.result.rps for run in rounds],
        "cpu_us_per_request": [run.cpu_us_per_request for run in rounds],
        "busy": [run.busy for run in rounds],
        "p50_ms": [run.result.p50_ms for run in rounds],
        "p99_ms": [run.result.p99_ms for run in rounds],
        "p999_ms": [run.result.p999_ms for run in rounds],
    }
    at_rate = [run.result for run in rounds if isinstance(run.result, RateResult)]
    if at_rate:
        values["unsent"] = [float(result.unsent) for result in at_rate]
        values["late_p99_ms"] = [result.late_p99_ms for result in at_rate]
    return values


def measured_values(summary: Summary, mode: Mode, title: str, prefix: str) -> list[Figure]:
    """Return the figures of each server in one mode. `title` names the traffic."""
    rows = []
    for server, values in summary.items():
        better_known = server == WAYPOST
        for key, closed_chart, rate_chart, unit, better in _CHARTS:
            chart = rate_chart if mode.rate else closed_chart
            if chart:
                rows.append(
                    Figure(
                        name=f"{prefix}{server}/{key}",
                        title=title,
                        unit=unit,
                        value=values[key],
                        better=better if better_known else "neither",
                        chart=chart,
                        series=server,
                        runs=tuple(values["runs"][key]),
                    )
                )
        if not better_known:
            rows.append(
                Figure(
                    name=f"{prefix}{server}/ratio_cpu",
                    title=title,
                    unit="",
                    value=values["ratio_cpu"],
                    better="higher",
                    chart="CPU time of a peer over that of Waypost",
                    series=server,
                    runs=tuple(values["runs"]["ratio_cpu"]),
                )
            )
    return rows


def side_by_side_table(title: str, caption: str) -> Table:
    """Return a table for add_rows(), narrow enough for 80 columns."""
    grid = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=0)
    for name in ("server", "req/s", "CPU µs", "ratio", "p50/p99/99.9 ms", "busy"):
        grid.add_column(name, justify="left" if name == "server" else "right", no_wrap=True)
    return grid


def add_rows(grid: Table, summary: Summary, title: str) -> None:
    """Add a row with the title, and one for each server: CPU time is the median (least–most)."""
    grid.add_row(Text(title, style="bold"))
    for number, (server, values) in enumerate(summary.items()):
        low, high = values["spread"]["cpu_us_per_request"]
        latencies = (values[key] for key in ("p50_ms", "p99_ms", "p999_ms"))
        grid.add_row(
            server,
            f"{values['rps']:,.0f}" + ("*" if values.get("unsent") else ""),
            f"{values['cpu_us_per_request']:.1f} ({low:.1f}–{high:.1f})",
            f"{values['ratio_cpu']:.2f}" if "ratio_cpu" in values else "",
            "/".join(f"{ms:.2f}" if ms < 10 else f"{ms:.0f}" for ms in latencies),
            f"{values['busy']:.2f}",
            end_section=number == len(summary) - 1,
        )
