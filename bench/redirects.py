"""Redirects beside nginx: `python -m bench redirects`.

Ours is a whole `waypost up`: every click is journaled, shipped, folded and committed while we
measure. nginx answers the same paths with the same targets and writes a buffered access log. Both
take turns on one core (`server`), each on its own, in alternating rounds; wrk has another core
(`client`), and Postgres, Valkey and our other processes have what is left: with two cores, wrk's.
wrk sends browsers' requests that vary, over `connections` connections in a closed loop.

What is told, for connections kept alive and again for one request a connection:

| key | definition |
|---|---|
| `rps` | requests completed, as wrk counts them, per second of wrk's run |
| `cpu_us_per_request` | user and system time of the edge process, all threads, over wrk's run (10 ms steps), divided by the requests completed; microseconds |
| `p50_ms`, `p99_ms` | latency as wrk sees it, in its closed loop under full load: see bench/load/wrk.py |
| `busy` | the edge's CPU time over wrk's time: well under 1 means that wrk's core was the limit, or that others had the server's |
| `nginx_…` | the same of nginx' worker process |
| `ratio_rps` | `rps` over `nginx_rps` |
| `ratio_cpu` | `nginx_cpu_us_per_request` over `cpu_us_per_request`: as above, 1.0 is equal and more is better for us |

Each is the median over rounds; a ratio is the median of the rounds' ratios, each of two runs that
followed one another, so it may differ a little from the ratio of two medians.

With one request a connection, opening one costs the client's core more than it costs a server's, so
wrk's core is the limit with one or both servers (see `busy`). Then `rps` and `ratio_rps` say what the
pair of wrk and server does, and `ratio_cpu` compares the servers.

After each run of ours `exact` is put to the test (any failure: exit code 1, and `failures` says it):

- every link leads where it should: all of them before the rounds, some after each run;
- once `waypost_journal_pending_clicks` is 0, the API's stats have as many clicks more as
  `waypost_redirects_total` has redirects more: equal, not nearly;
- that is what wrk completed, and from 0 to `connections` more (`answered_more`): when wrk stops,
  each connection may have one request under way that we answer and wrk no longer counts;
- no click went unrecorded, no request of wrk failed, and the edge is the process that it was.

`seconds_to_commit` is the longest time from the end of wrk's run until all was committed.
"""  # noqa: E501  # the table is read as it stands

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from bench.kit import link_set
from bench.kit.link_set import SampleLink
from bench.kit.machine import machine
from bench.kit.report import progress, show, write_json
from bench.load import browsers, wrk
from bench.load import nginx as peers
from bench.load.client import Client
from bench.load.engine_process import EngineProcess
from bench.load.exactness_check import ExactnessCheck, counted
from bench.load.nginx import Nginx
from bench.load.processes import Placement, cpu_s, on_cores, pin

WARM_UP_S = 1
MIN_HEADS = 10_000
SPOT_CHECKS = 20
FULLY_BUSY = 0.9
SEED = 20_260_101


class RedirectsOptions(NamedTuple):
    """What the command line asked for; `seconds` is the length of one run."""

    seconds: int
    links: int
    connections: int
    rounds: int


class Mode(NamedTuple):
    name: str
    close: bool


KEEP_ALIVE = Mode("keep-alive", close=False)
ONE_REQUEST = Mode("one request a connection", close=True)


class WrkRun(NamedTuple):
    """One run of wrk and the CPU time that the server took meanwhile."""

    figures: wrk.WrkResult
    cpu_s: float

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_s * 1e6 / max(1, self.figures.requests)

    @property
    def busy(self) -> float:
        return self.cpu_s / self.figures.seconds


class Redirects:
    """One measurement: both servers, the files with requests, and what has been found."""

    def __init__(
        self,
        plan: RedirectsOptions,
        placement: Placement,
        engine: EngineProcess,
        nginx: Nginx,
        folder: Path,
    ) -> None:
        self.plan = plan
        self.placement = placement
        self.engine = engine
        self.nginx = nginx
        self.folder = folder
        self.links = nginx.links
        self.checks: list[ExactnessCheck] = []
        self.failures: list[str] = []
        self.edge = engine.pids("edge")[0]
        for pid in (self.edge, nginx.worker):
            pin(pid, {placement.server})

    def prepare(self) -> None:
        """Make the links, and see that each leads where it should: that loads them as well."""
        self.engine.fill(self.links)
        self.profile_ids = self.engine.profile_ids()
        for url in (self.engine.visitors_url, self.nginx.url):
            self._check_answers(url, self.links)

    def measure(self, mode: Mode) -> list[tuple[WrkRun, WrkRun]]:
        """Rounds of (ours, nginx)."""
        ours = self._heads(self.engine.visitors_url, mode)
        theirs = self._heads(self.nginx.url, mode)
        self._run_engine(ours, WARM_UP_S)
        self._run_nginx(theirs, WARM_UP_S)
        rounds = []
        for i in range(self.plan.rounds):
            pair = (
                self._run_engine(ours, self.plan.seconds),
                self._run_nginx(theirs, self.plan.seconds),
            )
            rounds.append(pair)
            told = "; nginx ".join(
                f"{run.figures.rps:,.0f}/s, {run.cpu_us_per_request:.1f} µs CPU" for run in pair
            )
            progress(f"{mode.name}, round {i + 1} of {self.plan.rounds}: waypost {told}")
        return rounds

    def _heads(self, url: str, mode: Mode) -> Path:
        """A file with whole cycles over all links."""
        count = len(self.links) * max(1, round(MIN_HEADS / len(self.links)))
        paths = [link.path for link in self.links]
        host = urlsplit(url).netloc
        heads = browsers.request_heads(paths, host, count=count, close=mode.close, seed=SEED)
        file = self.folder / f"{host.replace(':', '-')}-{mode.close:d}.heads"
        file.write_bytes(b"".join(heads))
        return file

    def _run_engine(self, heads: Path, seconds: int) -> WrkRun:
        self.engine.wait_committed()
        before = counted(self.engine, self.profile_ids)
        run = self._run(self.engine.visitors_url, self.edge, heads, seconds)
        waited_s = self.engine.wait_committed()
        check = ExactnessCheck(
            completed=run.figures.requests,
            before=before,
            after=counted(self.engine, self.profile_ids),
            errors=run.figures.errors,
            connections=self.plan.connections,
            seconds_to_commit=waited_s,
        )
        self.checks.append(check)
        self.failures += check.failures()
        self._spot_check(self.engine.visitors_url)
        return run

    def _run_nginx(self, heads: Path, seconds: int) -> WrkRun:
        run = self._run(self.nginx.url, self.nginx.worker, heads, seconds)
        self.nginx.empty_log()
        if run.figures.errors:
            self.failures.append(f"requests to nginx failed: {run.figures.errors}")
        self._spot_check(self.nginx.url)
        return run

    def _run(self, url: str, pid: int, heads: Path, seconds: int) -> WrkRun:
        before_s = cpu_s(pid)
        figures = wrk.run(
            url,
            heads,
            seconds=seconds,
            connections=self.plan.connections,
            cores={self.placement.client},
        )
        return WrkRun(figures, cpu_s(pid) - before_s)

    def _spot_check(self, url: str) -> None:
        self._check_answers(url, self.links[:: max(1, len(self.links) // SPOT_CHECKS)])

    def _check_answers(self, url: str, some: Sequence[SampleLink]) -> None:
        client = Client(url)
        try:
            for link in some:
                found = client.location(link.path, browsers.USER_AGENT)
                if found != (302, link.target):
                    self.failures.append(f"{url}{link.path} was answered {found}")
                    return
        finally:
            client.close()


def medians(rounds: Sequence[tuple[WrkRun, WrkRun]]) -> dict[str, float]:
    """The module's table of keys, over rounds of (ours, nginx)."""
    found: dict[str, float] = {}
    for prefix, runs in (
        ("", [ours for ours, _ in rounds]),
        ("nginx_", [theirs for _, theirs in rounds]),
    ):
        found |= {
            f"{prefix}rps": _median([run.figures.rps for run in runs], 1),
            f"{prefix}cpu_us_per_request": _median([run.cpu_us_per_request for run in runs], 2),
            f"{prefix}p50_ms": _median([run.figures.p50_ms for run in runs], 3),
            f"{prefix}p99_ms": _median([run.figures.p99_ms for run in runs], 3),
            f"{prefix}busy": _median([run.busy for run in runs], 3),
        }
    found["ratio_rps"] = _median([a.figures.rps / b.figures.rps for a, b in rounds], 3)
    found["ratio_cpu"] = _median(
        [b.cpu_us_per_request / a.cpu_us_per_request for a, b in rounds], 3
    )
    return found


def _median(values: Sequence[float], digits: int) -> float:
    return round(statistics.median(values), digits)


def run(plan: RedirectsOptions) -> dict[str, Any]:
    """Measure; the JSON object. Raises BenchError when something needed is missing or fails."""
    wrk.find()
    peers.find()
    placement = Placement.here()
    about = machine(placement)
    made = link_set.make(plan.links)
    with (
        on_cores(placement.rest),
        tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder,
        EngineProcess() as engine,
        Nginx(made) as nginx,
    ):
        bench = Redirects(plan, placement, engine, nginx, Path(folder))
        progress(f"making {plan.links} links")
        bench.prepare()
        kept = medians(bench.measure(KEEP_ALIVE))
        single = medians(bench.measure(ONE_REQUEST))
    return {
        "benchmark": "redirects",
        **kept,
        "one_request_per_connection": single,
        **_found(bench),
        "plan": plan._asdict(),
        "machine": about,
    }


def _found(bench: Redirects) -> dict[str, Any]:
    checks = bench.checks
    return {
        "exact": not bench.failures,
        "failures": bench.failures[:10],
        "completed": sum(check.completed for check in checks),
        "redirects": sum(check.answered for check in checks),
        "clicks": sum(check.recorded for check in checks),
        "answered_more": [check.answered - check.completed for check in checks],
        "seconds_to_commit": round(max(check.seconds_to_commit for check in checks), 3),
    }


def table(result: dict[str, Any]) -> Table:
    plan, about = result["plan"], result["machine"]
    shown = Table(
        title=f"Redirects: {plan['links']} links, {plan['connections']} connections, "
        f"median of {plan['rounds']} rounds of {plan['seconds']} s",
        caption=f"{about['cpu']}, {about['cores']} cores; Python {about['python']}",
    )
    shown.add_column("connections")
    for name in ("server", "requests/s", "CPU µs", "p50 ms", "p99 ms", "busy"):
        shown.add_column(name, justify="left" if name == "server" else "right")
    for name, found in (
        ("kept alive", result),
        ("one request", result["one_request_per_connection"]),
    ):
        for server, prefix in (("waypost", ""), ("nginx", "nginx_")):
            shown.add_row(name if not prefix else "", server, *_cells(found, prefix))
        ratios = (f"{found['ratio_rps']:.2f}", f"{found['ratio_cpu']:.2f}")
        shown.add_row("", "ratio", *ratios, "", "", "", end_section=True)
    return shown


def _cells(found: dict[str, Any], prefix: str) -> list[str]:
    return [
        f"{found[prefix + 'rps']:,.0f}",
        f"{found[prefix + 'cpu_us_per_request']:.1f}",
        f"{found[prefix + 'p50_ms']:.2f}",
        f"{found[prefix + 'p99_ms']:.2f}",
        f"{found[prefix + 'busy']:.2f}",
    ]


def sentences(result: dict[str, Any]) -> list[str]:
    """What the table does not say."""
    more = result["answered_more"]
    found = [
        f"{result['completed']:,} requests completed, {result['redirects']:,} answered "
        f"({min(more)} to {max(more)} more a run), {result['clicks']:,} clicks in the stats, "
        f"all committed after {result['seconds_to_commit']:.1f} s at most: "
        + ("exact." if result["exact"] else "NOT EXACT.")
    ]
    found += [f"FAILED: {failure}" for failure in result["failures"]]
    single = result["one_request_per_connection"]
    busy = [one[key] for one in (result, single) for key in ("busy", "nginx_busy")]
    if min(busy) < FULLY_BUSY:
        found.append(
            "Where a server was not busy all the time, wrk or other work on this machine was the "
            "limit: compare CPU, not requests/s."
        )
    return found


@click.command(help="Redirects a second and CPU per redirect, beside nginx on the same core.")
@click.option(
    "--seconds", type=click.IntRange(1, 600), default=8, show_default=True, help="length of one run"
)
@click.option("--links", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--connections", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="how often each server has its turn",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(seconds: int, links: int, connections: int, rounds: int, as_json: bool) -> int:
    """The exit code: 1 when a check failed."""
    result = run(RedirectsOptions(seconds, links, connections, rounds))
    show(table(result))
    for line in sentences(result):
        print(line)
    if as_json:
        write_json(result)
    return 0 if result["exact"] else 1
