"""An outage of Postgres under load: `python -m bench outage`.

All processes of Postgres are stopped (SIGSTOP) for `minutes`: connections stay open and nothing answers,
which is worse than a server that is gone. A load of known requests goes on at `rate`, open loop. Then
Postgres is resumed, the load goes on until the backlog is folded, and an audit compares every request with
the counts.

| key | definition |
|---|---|
| `rss_mb` | resident memory of each process before the outage (bench/load/memory.py) |
| `rss_growth_mb` | largest growth of each above `rss_mb`, until the backlog was folded |
| `outage_growth_mb` | growth from the middle of the outage to its end: memory that a longer outage would go on taking |
| `p50_ms`, `p99_ms`, `max_ms` | latency of redirects during the outage, from when a request was due |
| `pending_clicks`, `journal_mb` | clicks and MB that waited in the journal at the end of the outage |
| `drain_s` | seconds from Postgres' return until at most one second's worth of the load was pending, with the load going on |
| `lost`, `duplicated`, … | defined in `bench/chaos.py` |

Exit code 1 when a click was lost, counted twice or not recorded, or a request was not answered with a redirect.
"""  # noqa: E501  # a table row cannot be wrapped

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from bench.kit import link_set
from bench.kit.errors import BenchError
from bench.kit.report import progress, show
from bench.kit.request_account import REFUSED, UNANSWERED
from bench.load.click_audit import audit
from bench.load.crashable_engine import CrashableEngine, send
from bench.load.load import Load
from bench.load.load import LoadPlan as LoadPlan
from bench.load.memory import growth_mb, resident_mb
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

CONNECTIONS = 64
WARM_UP_S = 5.0
WARM_UP_LIMIT_S = 60.0
SAMPLE_S = 1.0
LOG_S = 60.0
DRAIN_LIMIT_S = 1800.0
FAILURES = ("lost", "duplicated", "phantoms", "rollup_mismatches", "dimension_mismatches",
         "clicks_unrecorded", "unanswered", "refused")  # fmt: skip


class OutageOptions(NamedTuple):
    """Options of the command line. `minutes` is the length of the outage, `rate` requests per second."""

    minutes: float
    rate: float
    links: int


class Outage:
    """Run of the benchmark. `samples` holds the memory of each process, one sample per second."""

    def __init__(self, plan: OutageOptions, engine: CrashableEngine) -> None:
        self.plan = plan
        self.engine = engine
        self.samples: list[dict[str, float]] = []

    def run(self) -> dict[str, Any]:
        engine, plan = self.engine, self.plan
        links = link_set.sample_links(plan.links)
        engine.fill(links)
        url = urlsplit(engine.visitors_url)
        paths = [link.path for link in links]
        load = Load(
            engine.folder,
            LoadPlan(host=url.hostname or "", port=url.port or 0, paths=paths,
                     connections=CONNECTIONS, rate=plan.rate, patient=True),
        )  # fmt: skip
        with load:
            # Every profile is in memory before Postgres is away: a cold one would be refused.
            load.wait_answered(2 * len(links), WARM_UP_LIMIT_S)
            time.sleep(min(WARM_UP_S, plan.minutes * 60))
            before = resident_mb(engine)
            begin = load.account.sent
            with postgres_stopped(engine):
                self._sample(plan.minutes * 60)
                end, metrics = load.account.sent, engine.metrics()
            during = list(self.samples)
            drain_s = self._wait_drained()
            load.stop()
        settle_result = engine.settle()
        findings = audit(engine, links, load.account)
        latencies = sorted(
            entry
            for entry in load.account.sent_entries()[begin:end]
            if UNANSWERED < entry < REFUSED
        )
        return {
            "benchmark": "outage",
            **findings._asdict(),
            "clicks_unrecorded": int(
                settle_result.metrics.get("waypost_clicks_unrecorded_total", 0)
            ),
            "pending_clicks": int(metrics["waypost_journal_pending_clicks"]),
            "journal_mb": round(metrics["waypost_journal_bytes"] / 1e6, 1),
            "drain_s": round(drain_s, 1),
            "p50_ms": percentile_ms(latencies, 0.5),
            "p99_ms": percentile_ms(latencies, 0.99),
            "max_ms": percentile_ms(latencies, 1.0),
            "rss_mb": before,
            "rss_growth_mb": growth_mb(before, self.samples),
            "outage_growth_mb": growth_mb(during[len(during) // 2], during[-1:]),
            "plan": plan._asdict(),
        }

    def _sample(self, seconds: float) -> None:
        started = time.monotonic()
        log_at = started + LOG_S
        while (now := time.monotonic()) < started + seconds:
            self.samples.append(resident_mb(self.engine))
            if now >= log_at:
                log_at += LOG_S
                progress(f"{now - started:.0f} s away: {self.samples[-1]}")
            time.sleep(SAMPLE_S)

    def _wait_drained(self) -> float:
        started = time.monotonic()
        while time.monotonic() < started + DRAIN_LIMIT_S:
            self.samples.append(resident_mb(self.engine))
            pending = self.engine.metrics().get("waypost_journal_pending_clicks", float("inf"))
            if pending <= self.plan.rate:
                return time.monotonic() - started
            time.sleep(0.2)
        raise BenchError(f"the backlog was not folded within {DRAIN_LIMIT_S:g} s")


@contextmanager
def postgres_stopped(engine: CrashableEngine) -> Iterator[None]:
    pids = engine.postgres_processes()
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)


def percentile_ms(latencies_us: list[int], share: float) -> float:
    """Return the percentile at `share` (0 to 1) of a sorted list, in ms; NaN for an empty list."""
    if not latencies_us:
        return float("nan")
    return latencies_us[min(len(latencies_us) - 1, int(len(latencies_us) * share))] / 1000


def failures(result: dict[str, Any]) -> list[str]:
    return [f"{key}: {result[key]}" for key in FAILURES if result[key]]


def table(result: dict[str, Any]) -> Table:
    plan = result["plan"]
    grid = Table(
        title=f"Postgres away for {plan['minutes']:g} minutes at {plan['rate']:,.0f} clicks/s",
        show_header=False,
    )
    grid.add_column()
    grid.add_column(justify="right")
    for key in ("requests", "answered", "counted", "lost", "duplicated", "clicks_unrecorded",
                "pending_clicks"):  # fmt: skip
        grid.add_row(key.replace("_", " "), f"{result[key]:,}")
    for key, unit in (("p50_ms", "ms"), ("p99_ms", "ms"), ("max_ms", "ms"), ("journal_mb", "MB"),
                      ("drain_s", "s")):  # fmt: skip
        name = key.removesuffix(f"_{unit.lower()}")
        grid.add_row(name, f"{result[key]:,.2f} {unit}")
    grid.add_section()
    for name, mb in result["rss_mb"].items():
        grid.add_row(f"memory of {name}", f"{mb:,.0f} + {result['rss_growth_mb'][name]:,.0f} MB")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    latency, growth = "Latency of redirects during the outage", "Growth of memory"
    memory = [
        Figure(
            name=f"rss_growth_mb/{name}",
            title=name,
            unit="MB",
            value=grown,
            better="lower",
            chart=growth,
        )
        for name, grown in result["rss_growth_mb"].items()
    ]
    return memory + stated(
        result,
        (
            Key("p50_ms", "p50", "ms", "lower", latency),
            Key("p99_ms", "p99", "ms", "lower", latency),
            Key("max_ms", "largest", "ms", "lower", latency),
            Key("journal_mb", "journal at the end of the outage", "MB", "neither"),
            Key("pending_clicks", "clicks that waited at the end of the outage", "", "neither"),
            Key("drain_s", "backlog folded after the outage", "s", "lower"),
        ),
    )


@click.command(help="Outage of Postgres under load: memory, latency of redirects, exact recovery.")
@click.option("--minutes", type=click.FloatRange(0.05, 600), default=10, show_default=True)
@click.option("--rate", type=click.FloatRange(1, 100_000), default=5000, show_default=True)
@click.option("--links", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Every profile is in memory before Postgres stops: visitors of others are refused during an "
    "outage, and are not among the load. Postgres returns with all that it had.",
    {"minutes": 0.05, "rate": 500},
)
def command(minutes: float, rate: float, links: int, as_json: bool) -> int:
    with CrashableEngine() as engine:
        result = Outage(OutageOptions(minutes, rate, links), engine).run()
    show(table(result))
    failed_checks = failures(result)
    passed = "Every answered click was counted exactly once."
    print("FAILED: " + ", ".join(failed_checks) if failed_checks else passed)
    return finish(result, failed_checks, measurements, as_json=as_json)
