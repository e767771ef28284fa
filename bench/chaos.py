"""Exactly-once counting while processes are killed at any moment: `python -m bench chaos`.

A whole `waypost up`, with more workers processes beside it (`--workers`), serves a load of known requests. Every 0.3 to 1 s
a fault is injected; a seed decides which (bench/load/faults.py). Then the load stops, all clicks must be
committed, and an audit compares every request with the counts (bench/load/click_audit.py).

With `--cluster` the engine runs on two machines: a Redis Cluster of three masters and three replicas, a Postgres
with a synchronous standby, PgBouncer in between (bench/servers). Its faults are kills of masters, seeds, replicas,
the pooler, the primary and whole machines; `--cold-redis` starts it while all of Redis is down.

A lease lasts 1 s, so that a paused process wakes up as a stale owner. Segments of the journal are small, so
that they are deleted all the time.

| key | definition |
|---|---|
| `kills` | number of injected faults; `faults` counts them by kind |
| `requests` | requests sent, to each of `links` links in turn |
| `answered` | requests whose complete 302 was received |
| `unanswered` | requests whose connection ended, or that got no answer within 10 s; the engine may count these (`unanswered_counted`) |
| `refused` | requests answered with another status, such as 503 by an edge that has just started: must not be counted |
| `counted` | raw clicks in Postgres |
| `lost` | answered requests without a raw click |
| `duplicated` | surplus raw clicks of requests that have one already |
| `phantoms` | raw clicks without a request, or on another link than requested |
| `rollup_mismatches` | days of links, and profiles, whose counts or API totals differ from their raw clicks |
| `dimension_mismatches` | combinations of link or profile, day and dimension whose values do not sum to the number of raw clicks |
| `clicks_unrecorded`, `dead_lettered` | clicks that the engine reports as not recorded, or as dead letters |
| `stale_leases` | commits refused because another worker held the lease; counts of killed processes are missing |
| `gave_up` | how often a launcher ended by itself and was started again |
| `visitors_standstill_s` | longest time in which no visitor was answered |
| `counting_standstill_s` | longest time in which no click was committed |
| `drain_s` | seconds from the end of the load until all clicks were committed |
| `seconds` | length of the load |

Exit code 1 when one of `lost`, `duplicated`, `phantoms`, `…_mismatches`, `gave_up` is not 0.
"""  # noqa: E501  # a table row cannot be wrapped

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.kit import link_set
from bench.kit.link_set import SampleLink
from bench.kit.report import progress, show
from bench.kit.standstill import StandstillWatch
from bench.load.click_audit import AuditFindings, audit
from bench.load.crashable_engine import CrashableEngine
from bench.load.faults import WEIGHTS, Injector, schedule
from bench.load.load import Load
from bench.load.load import LoadPlan as LoadPlan
from bench.load.sabotage import SABOTAGES
from bench.servers.cluster_faults import CLUSTER_WEIGHTS, ClusterInjector
from bench.servers.clustered_engine import ClusteredEngine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

SETTINGS = {
    "WAYPOST_LEASE_TTL_MS": "1000",
    "WAYPOST_JOURNAL_SEGMENT_BYTES": str(2 * 1024 * 1024),
}
FAULT_INTERVAL_S = (0.3, 1.0)
WARM_UP_S = 1.0
ANSWERS_LIMIT_S = 60.0
CONNECTIONS = 64
TICK_S = 0.02
FAILURES = (
    "lost",
    "duplicated",
    "phantoms",
    "rollup_mismatches",
    "dimension_mismatches",
    "gave_up",
)


class ChaosOptions(NamedTuple):
    """Options of a run. `rate` is requests per second; `kinds` replaces the seeded schedule of faults. The load
    goes on until `min_answered` requests are answered, which a busy machine takes longer for."""

    kills: int
    seed: int
    rate: float
    links: int
    edges: int
    sabotage: str = ""
    kinds: tuple[str, ...] = ()
    between_s: tuple[float, float] = FAULT_INTERVAL_S
    min_answered: int = 0
    cluster: bool = False
    cold_redis: bool = False
    workers: int = 2


class Reporter:
    """Output of a run: each fault as a line, and a progress bar on a terminal."""

    def __init__(self, kills: int) -> None:
        self._bar = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f} faults  {task.fields[answered]:,} answered"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) if sys.stderr.isatty() else None  # fmt: skip
        self._task = self._bar.add_task("", total=kills, answered=0) if self._bar else None

    @contextmanager
    def display(self) -> Iterator["Reporter"]:
        if self._bar is None:
            yield self
        else:
            with self._bar:
                yield self

    def line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            progress(text)

    def advance(self, faults: int, answered: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=faults, answered=answered)


class Chaos:
    """Run of the benchmark on a started engine."""

    def __init__(
        self, plan: ChaosOptions, engine: CrashableEngine, links: list[SampleLink]
    ) -> None:
        self.plan = plan
        self.engine = engine
        self.links = links
        rng = random.Random(plan.seed)  # noqa: S311
        weights = CLUSTER_WEIGHTS if plan.cluster else WEIGHTS
        self.kinds = list(plan.kinds) or schedule(plan.kills, rng, weights)
        self._dice = rng
        self.injector: Injector | ClusterInjector = (
            ClusterInjector(engine, rng)
            if isinstance(engine, ClusteredEngine)
            else Injector(engine, rng)
        )
        self.seconds = 0.0
        self.standstills_s = 0.0, 0.0
        self._stale: dict[int, int] = {}

    def run(self) -> dict[str, Any]:
        self.engine.fill(self.links)
        url = urlsplit(self.engine.visitors_url)
        load = Load(
            self.engine.folder,
            LoadPlan(
                host=url.hostname or "",
                port=url.port or 0,
                paths=[link.path for link in self.links],
                more_ports=self.engine.more_ports,
                connections=CONNECTIONS,
                rate=self.plan.rate,
            ),
        )
        started = time.monotonic()
        with load, Reporter(len(self.kinds)).display() as reporter:
            try:
                # The engine answers, and has answered each link: from here on only faults delay it.
                load.wait_answered(len(self.links), ANSWERS_LIMIT_S)
                time.sleep(WARM_UP_S)
                self._inject_faults_watched(load, reporter)
            finally:
                self.injector.resume(all_of_them=True)
            time.sleep(WARM_UP_S)
            load.wait_answered(self.plan.min_answered, ANSWERS_LIMIT_S)
            load.stop()
        self.seconds = time.monotonic() - started
        settle_result = self.engine.settle()
        self._stale |= self.engine.stale_leases()
        return self._result(audit(self.engine, self.links, load.account), settle_result)

    def _inject_faults_watched(self, load: Load, reporter: Reporter) -> None:
        watch = StandstillWatch(lambda: load.account.answered, lambda: self.engine.database_url)
        with watch:
            self._inject_faults(load, reporter)
        self.standstills_s = watch.visitors.seconds, watch.counting.seconds

    def _inject_faults(self, load: Load, reporter: Reporter) -> None:
        for kind in self.kinds:
            until = time.monotonic() + self._dice.uniform(*self.plan.between_s)
            while time.monotonic() < until:
                self.injector.resume()
                self.engine.restart_ended()
                time.sleep(TICK_S)
            self._stale |= self.engine.stale_leases()
            fault = self.injector.inject(kind)
            reporter.line(str(fault) if fault else f"            {kind}: no process to hit")
            reporter.advance(len(self.injector.faults), load.account.answered)

    def _result(self, findings: AuditFindings, settle_result: Any) -> dict[str, Any]:
        faults = self.injector.faults
        metrics = settle_result.metrics
        return {
            "benchmark": "chaos",
            "kills": len(faults),
            "seed": self.plan.seed,
            **findings._asdict(),
            "faults": dict(sorted(Counter(fault.kind for fault in faults).items())),
            "gave_up": self.engine.gave_up,
            "stale_leases": sum(self._stale.values()),
            "clicks_unrecorded": int(metrics.get("waypost_clicks_unrecorded_total", 0)),
            "visitors_standstill_s": round(self.standstills_s[0], 2),
            "counting_standstill_s": round(self.standstills_s[1], 2),
            "drain_s": round(settle_result.seconds, 2),
            "seconds": round(self.seconds, 1),
            "plan": self._plan(),
        }

    def _plan(self) -> dict[str, Any]:
        return {
            key: getattr(self.plan, key)
            for key in ("rate", "links", "edges", "workers", "sabotage", "cluster")
        }


def run(plan: ChaosOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when the engine does not start or commit."""
    links = link_set.sample_links(plan.links)
    module = ("bench.load.sabotage", plan.sabotage) if plan.sabotage else ("api.command",)
    with _engine(plan, module) as engine:
        return Chaos(plan, engine, links).run()


def _engine(plan: ChaosOptions, module: tuple[str, ...]) -> CrashableEngine:
    if plan.cluster:
        return ClusteredEngine(SETTINGS, module=module, cold_redis=plan.cold_redis)
    return CrashableEngine(plan.edges, SETTINGS, module=module, workers=plan.workers)


def failures(result: dict[str, Any]) -> list[str]:
    return [f"{key}: {result[key]}" for key in FAILURES if result[key]]


def table(result: dict[str, Any]) -> Table:
    grid = Table(
        title=f"Chaos: {result['kills']} faults in {result['seconds']:g} s, seed {result['seed']}"
    )
    grid.add_column("requests")
    grid.add_column("", justify="right")
    for key in (
        "requests", "answered", "unanswered", "refused", "counted", "unanswered_counted", "lost",
        "duplicated", "phantoms", "rollup_mismatches", "dimension_mismatches", "dead_lettered",
        "clicks_unrecorded", "stale_leases", "gave_up",
    ):  # fmt: skip
        grid.add_row(key.replace("_", " "), f"{result[key]:,}")
    for key in ("visitors_standstill_s", "counting_standstill_s"):
        grid.add_row(key.removesuffix("_s").replace("_", " ") + ", s", f"{result[key]:.1f}")
    grid.add_row("seconds to commit all", f"{result['drain_s']:.1f}", end_section=True)
    for kind, count in result["faults"].items():
        grid.add_row(kind.replace("_", " "), str(count))
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    standstills = "Longest standstill under faults"
    return stated(
        result,
        (
            Key("lost", "answered requests without a click", "", "lower"),
            Key("duplicated", "surplus clicks", "", "lower"),
            Key("answered", "answered requests", "", "neither"),
            Key("kills", "injected faults", "", "neither"),
            Key("visitors_standstill_s", "no visitor was answered", "s", "lower", standstills),
            Key("counting_standstill_s", "no click was committed", "s", "lower", standstills),
            Key("drain_s", "all clicks committed after the load", "s", "lower"),
        ),
    )


@click.command(
    help="Exactly-once counting under kill -9, pauses and lost data; exit code 1 if broken."
)
@click.option("--kills", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--rate", type=click.FloatRange(0, 1e6), default=3000, show_default=True,
              help="requests per second; 0: as many as are answered")  # fmt: skip
@click.option("--links", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--edges", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True,
              help="workers processes, without --cluster")  # fmt: skip
@click.option("--cluster", is_flag=True,
              help="two machines, a Redis Cluster, a Postgres with a standby, PgBouncer")  # fmt: skip
@click.option("--cold-redis", is_flag=True, help="with --cluster: start while Redis is down")
@click.option("--sabotage", type=click.Choice(sorted(SABOTAGES)), default=None, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Faults of processes on one disk that keeps what it has synced: no broken disk, no lying "
    "one, no network between machines. Standstills depend on which faults the seed draws, so "
    "one run says little of their length.",
    {"kills": 5, "rate": 500},
)
def command(as_json: bool, sabotage: str | None, **options: Any) -> int:
    result = run(ChaosOptions(**options, sabotage=sabotage or ""))
    show(table(result))
    wrong = failures(result)
    print(
        "FAILED: " + ", ".join(wrong) if wrong else "Every answered click was counted exactly once."
    )
    return finish(result, wrong, measurements, as_json=as_json)
