"""Redirects per second and their CPU time, beside nginx: `python -m bench redirects`.

Waypost runs as a whole `waypost up`: every click is journaled, shipped, folded and committed during the
measurement. nginx answers the same paths with the same targets and writes a buffered access log. Edge and nginx
use one core (`server`) in alternating rounds, one at a time. wrk has another core (`client`). Postgres, Valkey and
Waypost's other processes have the remaining cores; with two cores they share wrk's. wrk sends varied requests of
browsers over `connections` connections in a closed loop.

Results, for connections that are kept alive, and again for one request per connection:

| key | definition |
|---|---|
| `rps` | completed requests per second of wrk's run |
| `cpu_us_per_request` | user and system time of the edge process (all threads, in steps of 10 ms) divided by the completed requests; µs |
| `p50_ms`, `p99_ms` | latency in wrk's closed loop under full load: see bench/load/wrk.py |
| `busy` | CPU time of the edge over wrk's time. Well below 1, wrk's core was the limit, or another process used the server's core |
| `nginx_…` | these keys for nginx's worker process |
| `ratio_rps` | `rps` over `nginx_rps`: above 1, Waypost is faster |
| `ratio_cpu` | `nginx_cpu_us_per_request` over `cpu_us_per_request`: above 1, Waypost takes less CPU |

Each is the median over rounds. A ratio is the median of the rounds' ratios, so it may differ a little from the
ratio of two medians.

With one request per connection, opening a connection costs the client's core more than the server's, so wrk's core
is the limit with one or both servers (see `busy`). Then `rps` and `ratio_rps` describe wrk and server together, and
`ratio_cpu` compares the servers.

After each run of Waypost these must hold, or `exact` is false, the exit code is 1 and `failures` says why:

- links redirect to their targets: all of them before the rounds, some after each run;
- once `waypost_journal_pending_clicks` is 0, the clicks in the API's stats and `waypost_redirects_total` have grown
  by the same number;
- this number is what wrk completed, plus 0 to `connections` (`answered_more`): when wrk stops, each connection may
  have one request in flight that the edge answers and wrk does not count;
- every click was recorded, no request of wrk failed, and the edge was not restarted.

`core` is what answered plain visits: the compiled core or Python, by WAYPOST_VISITOR_CORE.

`seconds_to_commit` is the longest time from the end of wrk's run until all clicks were committed.
"""  # noqa: E501  # a table row cannot be wrapped

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import click
import msgspec
from rich.table import Table

from bench.kit import link_set
from bench.kit.link_set import SampleLink
from bench.kit.report import progress, show
from bench.load import browsers, wrk
from bench.load import nginx as peers
from bench.load.client import Client
from bench.load.engine_process import EngineProcess
from bench.load.exactness_check import ExactnessCheck, read_counts
from bench.load.machine import machine
from bench.load.nginx import Nginx
from bench.load.processes import Placement, cpu_s, on_cores, pin
from bench.suite.options import finish, suite_options
from bench.suite.result import Better, Figure, Key, stated

WARM_UP_S = 1
MIN_HEADS = 10_000
SPOT_CHECKS = 20
FULLY_BUSY = 0.9
SEED = 20_260_101
# Keys of the figures: key, chart, unit, direction.
_CHARTS: Final[tuple[tuple[str, str, str, Better], ...]] = (
    ("cpu_us_per_request", "CPU time for a request", "µs", "lower"),
    ("rps", "Requests a second", "/s", "higher"),
    ("p50_ms", "Latency in a closed loop, p50", "ms", "lower"),
    ("p99_ms", "Latency in a closed loop, p99", "ms", "lower"),
)


class RedirectsOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of one run."""

    seconds: int
    links: int
    connections: int
    rounds: int


class Mode(NamedTuple):
    name: str
    close: bool


KEEP_ALIVE = Mode("keep-alive", close=False)
ONE_REQUEST = Mode("one request per connection", close=True)


class WrkRun(NamedTuple):
    """Run of wrk, and the CPU time of the server meanwhile."""

    result: wrk.WrkResult
    cpu_s: float

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_s * 1e6 / max(1, self.result.requests)

    @property
    def busy(self) -> float:
        return self.cpu_s / self.result.seconds


class Redirects:
    """Run of the benchmark: both servers, the files with requests, and the checks so far."""

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
        """Create the links and check each one's target, which also loads it into the edge."""
        self.engine.fill(self.links)
        self.profile_ids = self.engine.profile_ids()
        for url in (self.engine.visitors_url, self.nginx.url):
            self._check_answers(url, self.links)

    def measure(self, mode: Mode) -> list[tuple[WrkRun, WrkRun]]:
        """Return (run of Waypost, run of nginx) for each round, after a warm-up."""
        engine_heads = self._heads(self.engine.visitors_url, mode)
        nginx_heads = self._heads(self.nginx.url, mode)
        self._run_engine(engine_heads, WARM_UP_S)
        self._run_nginx(nginx_heads, WARM_UP_S)
        rounds = []
        for i in range(self.plan.rounds):
            pair = (
                self._run_engine(engine_heads, self.plan.seconds),
                self._run_nginx(nginx_heads, self.plan.seconds),
            )
            rounds.append(pair)
            rates_text = "; nginx ".join(
                f"{run.result.rps:,.0f}/s, {run.cpu_us_per_request:.1f} µs CPU" for run in pair
            )
            progress(f"{mode.name}, round {i + 1} of {self.plan.rounds}: waypost {rates_text}")
        return rounds

    def _heads(self, url: str, mode: Mode) -> Path:
        """Write a file with whole cycles over all links. Returns its path."""
        count = len(self.links) * max(1, round(MIN_HEADS / len(self.links)))
        paths = [link.path for link in self.links]
        host = urlsplit(url).netloc
        heads = browsers.request_heads(paths, host, count=count, close=mode.close, seed=SEED)
        file = self.folder / f"{host.replace(':', '-')}-{mode.close:d}.heads"
        file.write_bytes(b"".join(heads))
        return file

    def _run_engine(self, heads: Path, seconds: int) -> WrkRun:
        self.engine.wait_committed()
        before = read_counts(self.engine, self.profile_ids)
        run = self._run(self.engine.visitors_url, self.edge, heads, seconds)
        waited_s = self.engine.wait_committed()
        check = ExactnessCheck(
            completed=run.result.requests,
            before=before,
            after=read_counts(self.engine, self.profile_ids),
            errors=run.result.errors,
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
        if run.result.errors:
            self.failures.append(f"requests to nginx failed: {run.result.errors}")
        self._spot_check(self.nginx.url)
        return run

    def _run(self, url: str, pid: int, heads: Path, seconds: int) -> WrkRun:
        before_s = cpu_s(pid)
        result = wrk.run(
            url,
            heads,
            seconds=seconds,
            connections=self.plan.connections,
            cores={self.placement.client},
        )
        return WrkRun(result, cpu_s(pid) - before_s)

    def _spot_check(self, url: str) -> None:
        self._check_answers(url, self.links[:: max(1, len(self.links) // SPOT_CHECKS)])

    def _check_answers(self, url: str, links: Sequence[SampleLink]) -> None:
        client = Client(url)
        try:
            for link in links:
                answer = client.location(link.path, browsers.USER_AGENT)
                if answer != (302, link.target):
                    self.failures.append(f"{url}{link.path} was answered {answer}")
                    return
        finally:
            client.close()


def medians(rounds: Sequence[tuple[WrkRun, WrkRun]]) -> dict[str, Any]:
    """Return the keys of the module's table, over rounds of (run of Waypost, run of nginx).

    `runs` has the values of the rounds by key.
    """
    runs: dict[str, list[float]] = {}
    for prefix, side in (("", 0), ("nginx_", 1)):
        sides = [pair[side] for pair in rounds]
        runs |= {
            f"{prefix}rps": [round(run.result.rps, 1) for run in sides],
            f"{prefix}cpu_us_per_request": [round(run.cpu_us_per_request, 3) for run in sides],
            f"{prefix}p50_ms": [run.result.p50_ms for run in sides],
            f"{prefix}p99_ms": [run.result.p99_ms for run in sides],
            f"{prefix}busy": [round(run.busy, 3) for run in sides],
        }
    runs["ratio_rps"] = [round(a.result.rps / b.result.rps, 4) for a, b in rounds]
    runs["ratio_cpu"] = [round(b.cpu_us_per_request / a.cpu_us_per_request, 4) for a, b in rounds]
    digits = {"rps": 1, "cpu_us_per_request": 2}
    result: dict[str, Any] = {
        key: _median(values, digits.get(key.removeprefix("nginx_"), 3))
        for key, values in runs.items()
    }
    return {**result, "runs": runs}


def _median(values: Sequence[float], digits: int) -> float:
    return round(statistics.median(values), digits)


def run(plan: RedirectsOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when a tool is missing or a server fails."""
    wrk.find()
    peers.find()
    placement = Placement.here()
    machine_facts = machine(placement)
    links = link_set.sample_links(plan.links)
    with (
        on_cores(placement.rest),
        tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder,
        EngineProcess() as engine,
        Nginx(links) as nginx,
    ):
        bench = Redirects(plan, placement, engine, nginx, Path(folder))
        progress(f"making {plan.links} links")
        bench.prepare()
        core = _core(engine)
        keep_alive = medians(bench.measure(KEEP_ALIVE))
        one_request = medians(bench.measure(ONE_REQUEST))
    return {
        "benchmark": "redirects",
        **keep_alive,
        "one_request_per_connection": one_request,
        **_check_results(bench),
        "core": core,
        "plan": plan._asdict(),
        "machine": machine_facts,
    }


def _core(engine: EngineProcess) -> str:
    """Return what answers plain visits."""
    samples = engine.console.metrics()["waypost_visitor_core_info"]
    return ", ".join(labels["core"] for labels, _ in samples)


def _check_results(bench: Redirects) -> dict[str, Any]:
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
    plan, machine_facts = result["plan"], result["machine"]
    grid = Table(
        title=f"Redirects ({result['core']}): {plan['links']} links, {plan['connections']} connections, "
        f"median of {plan['rounds']} rounds of {plan['seconds']} s",
        caption=f"{machine_facts['cpu']}, {machine_facts['cores']} cores; Python {machine_facts['python']}",
    )
    grid.add_column("connections")
    for name in ("server", "requests/s", "CPU µs", "p50 ms", "p99 ms", "busy"):
        grid.add_column(name, justify="left" if name == "server" else "right")
    for name, medians in (
        ("kept alive", result),
        ("one request", result["one_request_per_connection"]),
    ):
        for server, prefix in (("waypost", ""), ("nginx", "nginx_")):
            grid.add_row(name if not prefix else "", server, *_cells(medians, prefix))
        ratios = (f"{medians['ratio_rps']:.2f}", f"{medians['ratio_cpu']:.2f}")
        grid.add_row("", "ratio", *ratios, "", "", "", end_section=True)
    return grid


def _cells(values: dict[str, Any], prefix: str) -> list[str]:
    return [
        f"{values[prefix + 'rps']:,.0f}",
        f"{values[prefix + 'cpu_us_per_request']:.1f}",
        f"{values[prefix + 'p50_ms']:.2f}",
        f"{values[prefix + 'p99_ms']:.2f}",
        f"{values[prefix + 'busy']:.2f}",
    ]


def summary_lines(result: dict[str, Any]) -> list[str]:
    """Return lines about exactness and the limits of the measurement, to print below the table."""
    surplus = result["answered_more"]
    lines = [
        f"{result['completed']:,} requests completed, {result['redirects']:,} answered "
        f"({min(surplus)} to {max(surplus)} more per run), {result['clicks']:,} clicks in the stats, "
        f"all committed after {result['seconds_to_commit']:.1f} s at most: "
        + ("exact." if result["exact"] else "NOT EXACT.")
    ]
    lines += [f"FAILED: {failure}" for failure in result["failures"]]
    one_request = result["one_request_per_connection"]
    busy = [medians[key] for medians in (result, one_request) for key in ("busy", "nginx_busy")]
    if min(busy) < FULLY_BUSY:
        lines.append(
            "A server was not busy all the time, so wrk or another process was the limit: "
            "compare CPU, not requests/s."
        )
    return lines


def measurements(result: dict[str, Any]) -> list[Figure]:
    return [
        *side_by_side(result, "kept alive", "keep_alive/"),
        *side_by_side(result["one_request_per_connection"], "one request", "one_request/"),
        *stated(result, (Key("seconds_to_commit", "all clicks committed", "s", "lower"),)),
    ]


def side_by_side(values: dict[str, Any], title: str, prefix: str) -> list[Figure]:
    """Return the figures of Waypost and of nginx beside it, in rounds of one kind of connections."""
    rows = []
    for peer, series in (("", "waypost"), ("nginx_", "nginx")):
        for key, chart, unit, better in _CHARTS:
            name = f"{title}, {series}"
            row = Key(peer + key, name, unit, "neither" if peer else better, chart)
            rows += [
                msgspec.structs.replace(f, title=title, series=series)
                for f in stated(values, (row,))
            ]
    ratio = Key("ratio_cpu", f"{title}: CPU of nginx over CPU of Waypost", "", "higher")
    return [
        msgspec.structs.replace(figure, name=prefix + figure.name)
        for figure in (*rows, *stated(values, (ratio,)))
    ]


@click.command(help="Redirects per second and CPU per redirect, beside nginx on the same core.")
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
    help="runs of each server",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Latencies are of a closed loop under full load: they compare the servers of one run, and do not "
    "say how long a visitor waits. CPU time is the edge's alone; folding and Postgres come on top.",
    {"seconds": 1, "links": 20, "rounds": 2, "connections": 16},
)
def command(seconds: int, links: int, connections: int, rounds: int, as_json: bool) -> int:
    """Run the benchmark and print its result. Returns the exit code: 1 when a check failed."""
    result = run(RedirectsOptions(seconds, links, connections, rounds))
    show(table(result))
    for line in summary_lines(result):
        print(line)
    return finish(result, result["failures"], measurements, as_json=as_json)
