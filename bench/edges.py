"""What a further edge costs Postgres: connections and transactions, idle and busy: `python -m bench edges`.

An engine with one edge and one with `edges` are measured in the same way; the difference, divided by the edges
between them, is what an edge costs. The transactions of one edge's engine are those of workers and console too.

| key | definition |
|---|---|
| `idle_transactions_per_edge_s` | transactions a second that each further edge brings while no visitor comes |
| `busy_transactions_per_edge_s` | the same while each edge records `rate` clicks a second: the folds of its journal are among them |
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
from bench.kit.report import progress, show, write_json
from bench.load import fold_backlog
from bench.load.crashable_engine import CrashableEngine
from bench.load.load import Load, LoadPlan
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
    """Transactions a second of an engine, and its edges' connections at each look."""

    transactions_per_s: float
    connections: list[int]


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
    before, started = fold_backlog.transactions(engine.database_url), time.monotonic()
    connections: list[int] = []
    looks = 0
    while time.monotonic() < started + seconds:
        connections += _connections(engine)
        looks += 1
        time.sleep(LOOK_S)
    # What is asked here is a transaction of the engine's database, too.
    after = fold_backlog.transactions(engine.database_url) - 1
    return Phase((after - before) / (time.monotonic() - started), connections)


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
    more = many.edges - few.edges

    def results(name: str, less: Phase, phase: Phase) -> dict[str, float]:
        difference = phase.transactions_per_s - less.transactions_per_s
        return {
            f"{name}_transactions_per_edge_s": round(difference / more, 2),
            f"engine_{name}_transactions_per_s": round(phase.transactions_per_s, 1),
            f"{name}_connections": round(sum(phase.connections) / len(phase.connections), 2),
            f"{name}_max_connections": max(phase.connections),
        }

    return {
        "benchmark": "edges",
        **results("idle", few.idle, many.idle),
        **results("busy", few.busy, many.busy),
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


@click.command(help="Connections and transactions of a further edge, idle and busy.")
@click.option("--edges", type=click.IntRange(2, 64), default=4, show_default=True)
@click.option("--seconds", type=click.FloatRange(1, 600), default=20, show_default=True)
@click.option("--rate", type=click.FloatRange(1, 10_000), default=50, show_default=True,
              help="clicks a second of each edge")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(as_json: bool, **options: Any) -> int:
    result = run(EdgesOptions(**options))
    show(table(result))
    if result["uncounted"]:
        print(f"FAILED: {result['uncounted']} clicks were answered and are not counted")
    if as_json:
        write_json(result)
    return 1 if result["uncounted"] else 0
