"""Every answered click is counted exactly once, whatever is killed and whenever: `python -m bench chaos`.

A whole `waypost up`, with a second process of workers beside it, is under a load of known requests while
faults come to it every 0.3 to 1 s, as a seed decides (bench/load/faults.py). Then the load stops, all must be
committed, and an audit holds every request against what was counted (bench/kit/click_audit.py).

The lease is 1 s, so that a process that is paused wakes up as a stale owner; the segments of the journal
are small, so that they are deleted all the time.

| key | definition |
|---|---|
| `kills` | faults injected; `faults` counts them by kind |
| `requests` | sent; each of `links` in turn |
| `answered` | the whole 302 was received |
| `unanswered` | the connection died, or 10 s passed, before: may have been counted, or not (`unanswered_counted`) |
| `refused` | answered with something else, such as 503 by an edge that just started: must not be counted |
| `counted` | raw clicks |
| `lost` | answered, and not among the raw clicks |
| `duplicated` | raw clicks that stand there once more |
| `phantoms` | raw clicks that no request explains, or of another link than it asked for |
| `rollup_mismatches` | links and profiles whose rollups, or totals in the API, are not the count of their raw clicks |
| `dimension_mismatches` | links and profiles, days and dimensions whose values together are not the count of raw clicks |
| `clicks_unrecorded`, `dead_lettered` | what the engine itself says it could not record, or fold |
| `stale_leases` | commits refused because the lease had gone to somebody else, as far as the process lived to tell |
| `gave_up` | how often `waypost up` ended by itself and had to be started again |
| `drain_s` | from the end of the load until all was committed |
| `seconds` | of load |

Exit code 1 when anything of `lost`, `duplicated`, `phantoms`, `…_mismatches`, `gave_up` is not 0.
"""  # noqa: E501  # the table is read as it stands

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
from bench.kit.click_audit import AuditFindings, audit
from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.kit.report import progress, show, write_json
from bench.load.crashable_engine import CrashableEngine
from bench.load.faults import Injector, schedule
from bench.load.load import Load
from bench.load.load import LoadPlan as LoadPlan
from bench.load.sabotage import SABOTAGES

SETTINGS = {
    "WAYPOST_LEASE_TTL_MS": "1000",
    "WAYPOST_JOURNAL_SEGMENT_BYTES": str(2 * 1024 * 1024),
}
BETWEEN_S = (0.3, 1.0)
WARM_UP_S = 1.0
WARM_UP_LIMIT_S = 20.0
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
    kills: int
    seed: int
    rate: float
    links: int
    edges: int
    sabotage: str = ""
    kinds: tuple[str, ...] = ()
    between_s: tuple[float, float] = BETWEEN_S


class Reporter:
    """Each fault as a line; on a terminal, also how far it is."""

    def __init__(self, kills: int) -> None:
        self._bar = Progress(
            TextColumn("{task.completed:.0f}/{task.total:.0f} faults  {task.fields[answered]:,} answered"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) if sys.stderr.isatty() else None  # fmt: skip
        self._task = self._bar.add_task("", total=kills, answered=0) if self._bar else None

    @contextmanager
    def shown(self) -> Iterator["Reporter"]:
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

    def at(self, faults: int, answered: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=faults, answered=answered)


class Chaos:
    """One run."""

    def __init__(self, plan: ChaosOptions, engine: CrashableEngine, made: list[SampleLink]) -> None:
        self.plan = plan
        self.engine = engine
        self.links = made
        dice = random.Random(plan.seed)  # noqa: S311
        self.kinds = list(plan.kinds) or schedule(plan.kills, dice)
        self._dice = dice
        self.injector = Injector(engine, dice)
        self.seconds = 0.0
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
                connections=CONNECTIONS,
                rate=self.plan.rate,
            ),
        )
        started = time.monotonic()
        with load, Reporter(len(self.kinds)).shown() as reporter:
            try:
                _warm_up(load)
                self._break(load, reporter)
            finally:
                self.injector.resume(all_of_them=True)
            time.sleep(WARM_UP_S)
            load.stop()
        self.seconds = time.monotonic() - started
        settled = self.engine.settle()
        self._stale |= self.engine.stale_leases()
        return self._result(audit(self.engine, self.links, load.account), settled)

    def _break(self, load: Load, reporter: Reporter) -> None:
        for kind in self.kinds:
            until = time.monotonic() + self._dice.uniform(*self.plan.between_s)
            while time.monotonic() < until:
                self.injector.resume()
                self.engine.watch()
                time.sleep(TICK_S)
            self._stale |= self.engine.stale_leases()
            fault = self.injector.inject(kind)
            reporter.line(str(fault) if fault else f"            {kind} found nobody to hit")
            reporter.at(len(self.injector.faults), load.account.answered)

    def _result(self, found: AuditFindings, settled: Any) -> dict[str, Any]:
        faults = self.injector.faults
        metrics = settled.metrics
        return {
            "benchmark": "chaos",
            "kills": len(faults),
            "seed": self.plan.seed,
            **found._asdict(),
            "faults": dict(sorted(Counter(fault.kind for fault in faults).items())),
            "gave_up": self.engine.gave_up,
            "stale_leases": sum(self._stale.values()),
            "clicks_unrecorded": int(metrics.get("waypost_clicks_unrecorded_total", 0)),
            "drain_s": round(settled.seconds, 2),
            "seconds": round(self.seconds, 1),
            "plan": self._plan(),
        }

    def _plan(self) -> dict[str, Any]:
        return {key: getattr(self.plan, key) for key in ("rate", "links", "edges", "sabotage")}


def _warm_up(load: Load) -> None:
    """Until answers come."""
    until = time.monotonic() + WARM_UP_LIMIT_S
    while not load.account.answered:
        if time.monotonic() > until:
            raise BenchError("no request was answered")
        time.sleep(TICK_S)
    time.sleep(WARM_UP_S)


def run(plan: ChaosOptions) -> dict[str, Any]:
    """Raises BenchError when the engine does not start, or does not commit what it has."""
    made = link_set.make(plan.links)
    module = ("bench.load.sabotage", plan.sabotage) if plan.sabotage else ("api.command",)
    with CrashableEngine(plan.edges, SETTINGS, module=module, spare_workers=True) as engine:
        return Chaos(plan, engine, made).run()


def failures(result: dict[str, Any]) -> list[str]:
    return [f"{key}: {result[key]}" for key in FAILURES if result[key]]


def table(result: dict[str, Any]) -> Table:
    shown = Table(
        title=f"Chaos: {result['kills']} faults in {result['seconds']:g} s, seed {result['seed']}"
    )
    shown.add_column("requests")
    shown.add_column("", justify="right")
    for key in (
        "requests", "answered", "unanswered", "refused", "counted", "unanswered_counted", "lost",
        "duplicated", "phantoms", "rollup_mismatches", "dimension_mismatches", "dead_lettered", "clicks_unrecorded",
        "stale_leases", "gave_up",
    ):  # fmt: skip
        shown.add_row(key.replace("_", " "), f"{result[key]:,}")
    shown.add_row("seconds to commit all", f"{result['drain_s']:.1f}", end_section=True)
    for kind, count in result["faults"].items():
        shown.add_row(kind.replace("_", " "), str(count))
    return shown


@click.command(help="Exactly once under kill -9, pauses and lost data; exit code 1 if not.")
@click.option("--kills", type=click.IntRange(1, 100_000), default=200, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--rate", type=click.FloatRange(0, 1e6), default=3000, show_default=True,
              help="requests per second; 0: as many as are answered")  # fmt: skip
@click.option("--links", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--edges", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--sabotage", type=click.Choice(sorted(SABOTAGES)), default=None, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(
    kills: int, seed: int, rate: float, links: int, edges: int, sabotage: str | None, as_json: bool
) -> int:
    result = run(ChaosOptions(kills, seed, rate, links, edges, sabotage or ""))
    show(table(result))
    wrong = failures(result)
    print("FAILED: " + ", ".join(wrong) if wrong else "Exactly once.")
    if as_json:
        write_json(result)
    return 1 if wrong else 0
