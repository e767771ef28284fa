"""Connections and transactions of a further edge, idle and busy: `python -m bench edges`.

Idle engines with one edge and with `edges` are measured in the same way; the difference, divided by the edges
between them, is what an idle edge costs. A busy one costs more by the difference between the busy and the idle
engine, divided by the journals that recorded clicks: the kernel shares connections unevenly.

| key | definition |
|---|---|
| `idle_transactions_per_edge_s` | transactions a second that each further edge brings while no visitor comes |
| `busy_transactions_per_edge_s` | the same of an edge that records clicks, of `rate` a second for each edge: the folds of its journal are among them |
| `busy_journals` | journals that recorded clicks |
| `idle_connections`, `busy_connections` | connections of each edge, on average over the edges and the time |
| `idle_max_connections`, `busy_max_connections` | the most that one edge had at a look |
| `engine_idle_transactions_per_s`, `engine_busy_transactions_per_s` | transactions a second of the whole engine with `edges` edges |
| `uncounted` | answered clicks that the statistics lack when no click is pending |

Connections that have been idle for 20 s are closed, so the first look comes later than that. Exit code 1 when
`uncounted` is not 0.
"""  # noqa: E501  # a table row cannot be wrapped

import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import trio
from rich.table import Table

from bench.kit import link_set
from bench.kit.report import progress, show
from bench.load import fold_backlog
from bench.load.crashable_engine import CrashableEngine
from bench.load.load import Load, LoadPlan
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
from storage.operations import status
from storage.postgres.database import IDLE_S

LINKS = 200
LOOK_S = 0.5
ANSWERS_LIMIT_S = 60.0
CONNECTIONS_AN_EDGE = 8


class EdgesOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of each phase, `rate` clicks a second of an edge."""

    edges: int
    seconds: float
    rate: float


class Phase(NamedTuple):
    """Transactions a second of an engine, its edges' connections at each look, and journals that grew."""

    transactions_per_s: float
    connections: list[int]
    journals: int


class Measured(NamedTuple):
    """The phases of an engine with so many edges."""

    edges: int
    idle: Phase
    busy: Phase
    uncounted: int


def measure(edges: int, plan: EdgesOptions) -> Measured:
    """Start an engine, and measure it idle and busy. Raises BenchError."""
    links = link_set.sample_links(LINKS)
    with CrashableEngine(edges) as engine:
        engine.fill(links)
        counted = fold_backlog.counted_clicks(engine.database_url)
        url = urlsplit(engine.visitors_url)
        load = Load(
            engine.folder,
            LoadPlan(
                host=url.hostname or "",
                port=url.port or 0,
                paths=[link.path for link in links],
                connections=CONNECTIONS_AN_EDGE * edges,
                rate=plan.rate * edges,
                patient=True,
            ),
        )
        progress(f"{edges} edges: idle")
        time.sleep(IDLE_S + 1)
        idle = _phase(engine, plan.seconds)
        progress(f"{edges} edges: {plan.rate * edges:g} clicks/s")
        with load:
            load.wait_answered(len(links), ANSWERS_LIMIT_S)
            busy = _phase(engine, plan.seconds)
            load.stop()
        engine.settle()
        counted = fold_backlog.counted_clicks(engine.database_url) - counted
        return Measured(edges, idle, busy, load.account.answered - counted)


def _phase(engine: CrashableEngine, seconds: float) -> Phase:
    folded = fold_backlog.watermarks(engine.database_url)
    before, started = fold_backlog.transactions(engine.database_url), time.monotonic()
    connections: list[int] = []
    while time.monotonic() < started + seconds:
        connections += _connections(engine)
        time.sleep(LOOK_S)
    # What is asked here is a transaction of the engine's database, too.
    after = fold_backlog.transactions(engine.database_url) - 1
    per_second = (after - before) / (time.monotonic() - started)
    now_folded = fold_backlog.watermarks(engine.database_url)
    journals = sum(folded.get(journal, 0) < last for journal, last in now_folded.items())
    return Phase(per_second, connections, journals)


def _connections(engine: CrashableEngine) -> list[int]:
    """Return how many connections to Postgres each edge has."""
    return [
        sum(
            int(sample.value)
            for sample in process.metrics.samples
            if sample.name == "waypost_database_connections"
        )
        for process in trio.run(status.fetch_statuses, engine.layout.run)
        if process.metrics.role == "edge"
    ]


def run(plan: EdgesOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when the engine fails."""
    few, many = measure(1, plan), measure(plan.edges, plan)
    more_when_idle = many.idle.transactions_per_s - few.idle.transactions_per_s
    idle_s = more_when_idle / (many.edges - few.edges)
    more_when_busy = many.busy.transactions_per_s - many.idle.transactions_per_s
    busy_s = idle_s + more_when_busy / max(1, many.busy.journals)

    def results(name: str, transactions_s: float, phase: Phase) -> dict[str, float]:
        return {
            f"{name}_transactions_per_edge_s": round(transactions_s, 2),
            f"engine_{name}_transactions_per_s": round(phase.transactions_per_s, 1),
            f"{name}_connections": round(sum(phase.connections) / len(phase.connections), 2),
            f"{name}_max_connections": max(phase.connections),
        }

    return {
        "benchmark": "edges",
        **results("idle", idle_s, many.idle),
        **results("busy", busy_s, many.busy),
        "busy_journals": many.busy.journals,
        "uncounted": few.uncounted + many.uncounted,
        "plan": plan._asdict(),
    }


def table(result: dict[str, Any]) -> Table:
    grid = Table(title=f"What an edge costs Postgres: {result['plan']['edges']} edges")
    grid.add_column("")
    for name in ("idle", "busy"):
        grid.add_column(name, justify="right")
    for key in (
        "{}_transactions_per_edge_s", "{}_connections", "{}_max_connections", "engine_{}_transactions_per_s",
    ):  # fmt: skip
        label = (
            key.replace("{}_", "").replace("_per_edge_s", "/s of an edge").replace("_per_s", "/s")
        )
        grid.add_row(
            label.replace("_", " "), *(f"{result[key.format(name)]:g}" for name in ("idle", "busy"))
        )
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    transactions, connections = "Transactions a second of an edge", "Connections of an edge"
    return stated(
        result,
        (
            Key("idle_transactions_per_edge_s", "idle", "/s", "lower", transactions),
            Key("busy_transactions_per_edge_s", "busy", "/s", "lower", transactions),
            Key("idle_connections", "idle, mean", "", "lower", connections),
            Key("idle_max_connections", "idle, most", "", "lower", connections),
            Key("busy_connections", "busy, mean", "", "lower", connections),
            Key("busy_max_connections", "busy, most", "", "lower", connections),
            Key("engine_idle_transactions_per_s", "whole engine, idle", "/s", "lower"),
            Key("engine_busy_transactions_per_s", "whole engine, busy", "/s", "lower"),
        ),
    )


@click.command(help="Connections and transactions of a further edge, idle and busy.")
@click.option("--edges", type=click.IntRange(2, 64), default=4, show_default=True)
@click.option("--seconds", type=click.FloatRange(1, 600), default=20, show_default=True)
@click.option("--rate", type=click.FloatRange(1, 10_000), default=50, show_default=True,
              help="clicks a second of each edge")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Edges of one machine. The cost of a busy edge grows with its folds, not with its clicks, "
    "so it says nothing of other rates.",
    {"edges": 2, "seconds": 2.0},
)
def command(as_json: bool, **options: Any) -> int:
    result = run(EdgesOptions(**options))
    show(table(result))
    if result["uncounted"]:
        print(f"FAILED: {result['uncounted']} clicks were answered and are not counted")
    failures = [f"{result['uncounted']} answered clicks are not counted"] * bool(
        result["uncounted"]
    )
    return finish(result, failures, measurements, as_json=as_json)
