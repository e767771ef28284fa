"""Views of a page per second and their CPU time, beside nginx: `python -m bench page`.

Waypost runs as a whole `waypost up`: every view is judged, journaled, shipped, folded and committed during the
measurement. nginx sends the same bytes, which it got from Waypost, from a file that it keeps open, and writes
a buffered access log. The page has twelve blocks of links; both send it with brotli, as wrk's browsers take it.
Edge and nginx use one core in alternating rounds, one at a time; placement is that of `bench redirects`.

| key | definition |
|---|---|
| `keep-alive` | by server (`waypost`, `nginx`), what bench/rounds/side_by_side.py defines: `cpu_us_per_request`, `ratio_cpu`, … |
| `html_bytes`, `sent_bytes` | size of the page, and as it is sent |

`waypost_pages_total` must have grown by what wrk completed, plus 0 to `connections`: when wrk stops, each
connection may have one request in flight. Otherwise `exact` is false, and the exit code is 1.
"""  # noqa: E501  # a table row cannot be wrapped

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
from rich.table import Table

from bench.kit import link_set
from bench.kit.report import show
from bench.load import browsers, wrk
from bench.load.client import Client
from bench.load.engine_process import EngineProcess
from bench.load.processes import Placement, on_cores
from bench.rounds.published_page import BLOCKS, publish
from bench.rounds.side_by_side import (
    KEEP_ALIVE,
    WAYPOST,
    MeasuredServer,
    Peer,
    RunPlan,
    ServerRun,
    SideBySide,
    add_rows,
    measured_values,
    medians,
    side_by_side_table,
)
from bench.servers import nginx as peers
from bench.servers.nginx import Nginx
from bench.suite.machine import machine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

HEADS: Final = 10_000
SEED: Final = 20_260_103


class PageOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of one run."""

    seconds: int
    connections: int
    rounds: int


class PageEngine:
    """Waypost as one of the servers."""

    name: Final = WAYPOST

    def __init__(self, engine: EngineProcess, connections: int) -> None:
        self._engine = engine
        self._connections = connections
        self._before = 0.0
        self.url = engine.visitors_url
        self.pid = engine.pids("edge")[0]

    def before_run(self) -> None:
        self._before = self._engine.metrics()["waypost_pages_total"]

    def after_run(self, run: ServerRun) -> list[str]:
        """Check that every view was counted."""
        self._engine.wait_committed()
        views = self._engine.metrics()["waypost_pages_total"] - self._before
        completed, failures = run.result.requests, []
        if run.result.errors:
            failures.append(f"requests to Waypost failed: {run.result.errors}")
        if not completed <= views <= completed + self._connections:
            failures.append(f"{views:,.0f} views were counted of {completed:,} answered")
        return failures


def publish_page(engine: EngineProcess) -> str:
    """Publish a page of twelve links. Returns its path."""
    links = link_set.sample_links(BLOCKS)
    engine.fill(links)
    (profile_id,) = engine.profile_ids()
    publish(engine.console, profile_id)
    return f"/@{links[0].handle}"


def request_heads(path: str, host: str) -> bytes:
    heads = browsers.request_heads([path], host, count=HEADS, close=False, seed=SEED)
    return b"".join(heads)


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
        path = publish_page(engine)
        visitor = Client(engine.visitors_url)
        headers = {"User-Agent": browsers.USER_AGENT}
        html = visitor.body(path, headers)
        body = visitor.body(path, headers | {"Accept-Encoding": "br"})
        visitor.close()
        with Nginx([], body) as nginx:
            peer = Peer("nginx", nginx.url, nginx.worker, nginx.empty_log)
            servers: list[MeasuredServer] = [PageEngine(engine, plan.connections), peer]
            run_plan = RunPlan(plan.seconds, plan.connections, plan.rounds)
            bench = SideBySide(servers, placement, run_plan, Path(folder))
            runs = bench.measure("page", KEEP_ALIVE, partial(request_heads, path))
    return {
        "benchmark": "page",
        "keep-alive": medians(runs),
        "html_bytes": len(html),
        "sent_bytes": len(body),
        "exact": not bench.failures,
        "failures": bench.failures[:10],
        "plan": plan._asdict(),
        "machine": machine_facts,
    }


def table(result: dict[str, Any]) -> Table:
    plan, machine_facts = result["plan"], result["machine"]
    grid = side_by_side_table(
        f"Views of a page of {result['html_bytes']:,} bytes, {result['sent_bytes']:,} sent, "
        f"{plan['connections']} connections, {plan['rounds']} rounds of {plan['seconds']} s",
        f"{machine_facts['cpu']}, {machine_facts['cores']} cores; Python {machine_facts['python']}",
    )
    add_rows(grid, result["keep-alive"], "keep alive")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    sizes = (
        Key("html_bytes", "page of twelve links", "bytes", "lower", "Size of the page"),
        Key("sent_bytes", "as it is sent, with brotli", "bytes", "lower", "Size of the page"),
    )
    return measured_values(result["keep-alive"], KEEP_ALIVE, "keep alive", "keep-alive/") + stated(
        result, sizes
    )


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
