"""Costs of a whole `waypost up` under wrk: what its edge takes for a click, and its console for a question.

Of the workers, CPU for a click is measured too, without what they take while nothing comes. It is held out: the
model predicts it from costs of single folds, and how many clicks a fold had.
"""

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from bench.kit import traffic
from bench.kit.errors import BenchError
from bench.kit.report import progress
from bench.kit.stats_questions import questions
from bench.load import browsers, fold_backlog, wrk
from bench.load.crashable_engine import CrashableEngine
from bench.load.processes import Placement, cpu_s, cpu_s_of, on_cores, pin

CONNECTIONS: Final = 64
IDLE_S: Final = 3.0
WARM_UP_S: Final = 2
TRIES: Final = 40
ASKED: Final = ("a month by day in Rome", "top links of a year", "sources of a year in Rome",
                "a week by hour in Rome")  # fmt: skip
# Fewer than bench/kit/traffic.py has, as importing them takes longer than the run.
LINKS: Final[Mapping[str, int]] = MappingProxyType({"single": 40_000})
QUICK_LINKS: Final = 2_000


class EngineRun(NamedTuple):
    """Costs of one kind of traffic in a whole engine: CPU µs and bytes of log for a click, and shares of a core
    that idle processes take."""

    traffic: str
    clicks: int
    clicks_per_fold: float
    edge_us: float
    workers_us: float
    postgres_us: float
    redis_us: float
    wal_bytes: float
    idle_edge: float
    idle_workers: float
    idle_postgres: float


class QuestionCost(NamedTuple):
    """CPU of console and Postgres for one question of a dashboard, in ms."""

    console_ms: float
    postgres_ms: float


def measure(kind: str, seconds: int, *, quick: bool) -> tuple[EngineRun, QuestionCost]:
    """Run one engine. Raises BenchError when wrk is missing, the engine fails, or it counts no click."""
    links = traffic.links_of(
        kind, min(QUICK_LINKS, traffic.TRAFFIC[kind].links) if quick else LINKS.get(kind)
    )
    placement = Placement.here()
    with ExitStack() as stack:
        stack.enter_context(on_cores(placement.rest))
        engine = stack.enter_context(CrashableEngine())
        progress(f"{kind} traffic in a whole engine: {len(links)} links")
        engine.fill(links)
        (edge,) = engine.role_pids("edge")
        pin(edge, {placement.server})
        if kind != "single":  # whose first visits are what is measured
            _load(engine, kind, links, min(WARM_UP_S, seconds), placement)
        engine.wait_committed()
        idle = _cpu(engine, edge)
        time.sleep(IDLE_S)
        before = _cpu(engine, edge)
        wal = fold_backlog.wal_bytes(engine.database_url)
        metrics, started = engine.metrics(), time.monotonic()
        _load(engine, kind, links, seconds, placement)
        engine.wait_committed()
        after, took_s = _cpu(engine, edge), time.monotonic() - started
        metrics_after = engine.metrics()
        clicks = round(_grown(metrics, metrics_after, "waypost_folded_clicks_total"))
        if not clicks:
            raise BenchError("the engine counted no click")
        idle_share = {name: (before[name] - idle[name]) / IDLE_S for name in before}
        per_click = {
            name: max(0.0, after[name] - before[name] - idle_share[name] * took_s) * 1e6 / clicks
            for name in after
        }
        run = EngineRun(
            kind, clicks, clicks / max(1.0, _grown(metrics, metrics_after, "waypost_folds_total")),
            per_click["edge"], per_click["workers"], per_click["postgres"], per_click["redis"],
            (fold_backlog.wal_bytes(engine.database_url) - wal) / clicks,
            idle_share["edge"], idle_share["workers"], idle_share["postgres"],
        )  # fmt: skip
        return run, _question_cost(engine)


def _load(
    engine: CrashableEngine, kind: str, links: list[Any], seconds: int, placement: Placement
) -> None:
    url = engine.visitors_url
    paths = list(traffic.paths_of(kind, links, seed=3))
    heads = browsers.request_heads(
        paths, urlsplit(url).netloc, count=len(paths), close=False, seed=3
    )
    with tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder:
        file = Path(folder) / "heads"
        file.write_bytes(b"".join(heads))
        wrk.run(url, file, seconds=seconds, connections=CONNECTIONS, cores={placement.client})


def _cpu(engine: CrashableEngine, edge: int) -> dict[str, float]:
    return {
        "edge": cpu_s(edge),
        "workers": cpu_s_of(engine.role_pids("workers")),
        "postgres": cpu_s_of(engine.postgres_processes()),
        "redis": cpu_s_of(engine.valkey()),
    }


def _grown(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


def _question_cost(engine: CrashableEngine) -> QuestionCost:
    """Ask some of a dashboard's questions about the first profile. Returns their mean cost."""
    profile = engine.profile_ids()[0]
    (console,) = engine.role_pids("api")
    before, postgres = cpu_s(console), cpu_s_of(engine.postgres_processes())
    asked = [q for q in questions(datetime.now(UTC).date()) if q.name in ASKED]
    for _ in range(TRIES):
        for question in asked:
            parameters = "&".join(f"{name}={value}" for name, value in question.parameters.items())
            engine.console.get(f"/v1/profiles/{profile}/stats?{parameters}")
    count = TRIES * len(asked)
    return QuestionCost(
        (cpu_s(console) - before) * 1000 / count,
        (cpu_s_of(engine.postgres_processes()) - postgres) * 1000 / count,
    )
