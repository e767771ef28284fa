"""Views of a page per second and their CPU time, beside nginx: `python -m bench page`.

Waypost runs as a whole `waypost up`: every view is judged, journaled, shipped, folded and committed during the
measurement. nginx sends the same bytes, which it got from Waypost, from a file that it keeps open, and writes
a buffered access log. The page has twelve blocks of links; both send it with brotli, as wrk's browsers take it.
Edge and nginx use one core in alternating rounds, one at a time. Placement and keys of the results are those of
`bench redirects` (`cpu_us_per_request`, `ratio_cpu`, …), for connections that are kept alive.

`waypost_pages_total` must have grown by what wrk completed, plus 0 to `connections`: when wrk stops, each
connection may have one request in flight. Otherwise `exact` is false, and the exit code is 1.
"""

import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from bench.kit import link_set
from bench.kit.report import progress, show
from bench.load import browsers, wrk
from bench.load import nginx as peers
from bench.load.client import Client
from bench.load.engine_process import EngineProcess
from bench.load.machine import machine
from bench.load.nginx import Nginx
from bench.load.processes import Placement, cpu_s, on_cores, pin
from bench.redirects import WARM_UP_S, WrkRun, medians, side_by_side
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

BLOCKS: Final = 12
HEADS: Final = 10_000
SEED: Final = 20_260_103


class PageOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of one run."""

    seconds: int
    connections: int
    rounds: int


class PageViews:
    """Run of the benchmark: both servers, and what failed so far."""

    def __init__(
        self,
        plan: PageOptions,
        placement: Placement,
        engine: EngineProcess,
        nginx: Nginx,
        path: str,
    ) -> None:
        self._plan = plan
        self._placement = placement
        self._engine = engine
        self._nginx = nginx
        self._path = path
        self._edge = engine.pids("edge")[0]
        self.failures: list[str] = []
        for pid in (self._edge, nginx.worker):
            pin(pid, {placement.server})

    def measure(self, folder: Path) -> list[tuple[WrkRun, WrkRun]]:
        """Return (run of Waypost, run of nginx) for each round, after a warm-up."""
        engine_heads = self._heads(folder, self._engine.visitors_url)
        nginx_heads = self._heads(folder, self._nginx.url)
        self._run_engine(engine_heads, WARM_UP_S)
        self._run_nginx(nginx_heads, WARM_UP_S)
        rounds = []
        for number in range(self._plan.rounds):
            seconds = self._plan.seconds
            pair = self._run_engine(engine_heads, seconds), self._run_nginx(nginx_heads, seconds)
            rounds.append(pair)
            rates = "; nginx ".join(
                f"{run.result.rps:,.0f}/s, {run.cpu_us_per_request:.1f} µs CPU" for run in pair
            )
            progress(f"round {number + 1} of {self._plan.rounds}: waypost {rates}")
        return rounds

    def _heads(self, folder: Path, url: str) -> Path:
        host = urlsplit(url).netloc
        heads = browsers.request_heads([self._path], host, count=HEADS, close=False, seed=SEED)
        file = folder / f"{host.replace(':', '-')}.heads"
        file.write_bytes(b"".join(heads))
        return file

    def _run_engine(self, heads: Path, seconds: int) -> WrkRun:
        before = self._engine.metrics()["waypost_pages_total"]
        run = self._run(self._engine.visitors_url, self._edge, heads, seconds)
        self._engine.wait_committed()
        views = self._engine.metrics()["waypost_pages_total"] - before
        completed = run.result.requests
        if run.result.errors:
            self.failures.append(f"requests to Waypost failed: {run.result.errors}")
        if not completed <= views <= completed + self._plan.connections:
            self.failures.append(f"{views:,.0f} views were counted of {completed:,} answered")
        return run

    def _run_nginx(self, heads: Path, seconds: int) -> WrkRun:
        run = self._run(self._nginx.url, self._nginx.worker, heads, seconds)
        self._nginx.empty_log()
        if run.result.errors:
            self.failures.append(f"requests to nginx failed: {run.result.errors}")
        return run

    def _run(self, url: str, pid: int, heads: Path, seconds: int) -> WrkRun:
        before_s = cpu_s(pid)
        result = wrk.run(
            url,
            heads,
            seconds=seconds,
            connections=self._plan.connections,
            cores={self._placement.client},
        )
        return WrkRun(result, cpu_s(pid) - before_s)


def publish(engine: EngineProcess) -> str:
    """Publish a page of twelve links. Returns its path."""
    links = link_set.sample_links(BLOCKS)
    engine.fill(links)
    (profile_id,) = engine.profile_ids()
    path = f"/v1/profiles/{profile_id}"
    stored = engine.console.get(f"{path}/links?limit=100")["items"]
    blocks = [{"kind": "link", "link_id": link["id"], "line": "A line"} for link in stored]
    page = {"name": "Ada Lovelace", "bio": "Notes on engines", "blocks": blocks}
    engine.console.put(f"{path}/page/draft", page)
    engine.console.post(f"{path}/page/publish", {})
    return f"/@{links[0].handle}"


def run(plan: PageOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when a tool is missing or a server fails."""
    wrk.find()
    peers.find()
    placement = Placement.here()
    machine_facts = machine(placement)
    with (
        on_cores(placement.rest),
        tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder,
        EngineProcess() as engine,
    ):
        path = publish(engine)
        visitor = Client(engine.visitors_url)
        headers = {"User-Agent": browsers.USER_AGENT}
        html = visitor.body(path, headers)
        body = visitor.body(path, headers | {"Accept-Encoding": "br"})
        visitor.close()
        with Nginx([], body) as nginx:
            bench = PageViews(plan, placement, engine, nginx, path)
            result = medians(bench.measure(Path(folder)))
    return {
        "benchmark": "page",
        **result,
        "html_bytes": len(html),
        "sent_bytes": len(body),
        "exact": not bench.failures,
        "failures": bench.failures[:10],
        "plan": plan._asdict(),
        "machine": machine_facts,
    }


def table(result: dict[str, Any]) -> Table:
    plan, machine_facts = result["plan"], result["machine"]
    grid = Table(
        title=f"Views of a page of {result['html_bytes']:,} bytes, {result['sent_bytes']:,} sent, "
        f"{plan['connections']} connections, median of {plan['rounds']} rounds of {plan['seconds']} s",
        caption=f"{machine_facts['cpu']}, {machine_facts['cores']} cores; Python {machine_facts['python']}",
    )
    for name in ("server", "views/s", "CPU µs", "p50 ms", "p99 ms", "busy"):
        grid.add_column(name, justify="left" if name == "server" else "right")
    for server, prefix in (("waypost", ""), ("nginx", "nginx_")):
        grid.add_row(
            server,
            f"{result[prefix + 'rps']:,.0f}",
            f"{result[prefix + 'cpu_us_per_request']:.1f}",
            f"{result[prefix + 'p50_ms']:.2f}",
            f"{result[prefix + 'p99_ms']:.2f}",
            f"{result[prefix + 'busy']:.2f}",
        )
    grid.add_row("ratio", f"{result['ratio_rps']:.2f}", f"{result['ratio_cpu']:.2f}", "", "", "")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    sizes = (
        Key("html_bytes", "page of twelve links", "bytes", "lower", "Size of the page"),
        Key("sent_bytes", "as it is sent, with brotli", "bytes", "lower", "Size of the page"),
    )
    return side_by_side(result, "kept alive", "keep_alive/") + stated(result, sizes)


@click.command(help="Views of a page per second and CPU per view, beside nginx on the same core.")
@click.option(
    "--seconds", type=click.IntRange(1, 600), default=8, show_default=True, help="length of one run"
)
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
    "nginx sends one file and counts nothing; its log is a line of text. Latencies are of a closed "
    "loop under full load, and do not say how long a visitor waits.",
    {"seconds": 1, "rounds": 2, "connections": 16},
)
def command(seconds: int, connections: int, rounds: int, as_json: bool) -> int:
    """Run the benchmark and print its result. Returns the exit code: 1 when a check failed."""
    result = run(PageOptions(seconds, connections, rounds))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
