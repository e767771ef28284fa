"""Clicks per second from the socket to committed counts, freshness and folding: `python -m bench pipeline`.

`--traffic` says how the clicks are spread over links and profiles (bench/kit/traffic.py). A whole `waypost up` is placed as in bench/redirects.py: the edge on one core, wrk on another, and other processes on
the remaining cores. With two cores these share wrk's, so Postgres and the aggregator take time from wrk.

| key | definition |
|---|---|
| `sustained_clicks_per_s` | wrk sends without pause for `seconds` over 64 connections (`single`: 256). Recorded clicks, divided by the time from wrk's first request until all of them are committed: a rate without a growing backlog |
| `first_visit_p99_ms` | with `single` and `cold`, where each link is visited once: latency of wrk's requests, in its closed loop |
| `requests_per_s`, `seconds_to_commit` | requests per second that wrk completed meanwhile; time from wrk's end until all clicks were committed |
| `edge_cpu_us_per_click`, `workers_cpu_us_per_click`, `postgres_cpu_us_per_click` | CPU time of these processes per recorded click |
| `freshness_p50_ms`, `freshness_p99_ms` | at 5,000 clicks/s, time from the response to a probe's click, of a profile that no other visitor has, until the stats API counts it in the total (polled every 4 ms) |
| `dimension_freshness_p50_ms`, `dimension_freshness_p99_ms` | the same time until it is counted under its campaign |
| `redirect_p99_ms` | latency of the 5,000 clicks/s: open loop, from when a request was due |
| `wal_bytes_per_click` | bytes of write-ahead log that Postgres wrote per recorded click at full load |
| `fold_clicks_per_s` | `workers` processes folding `backlog` clicks of as many dead edges' journals, from the first commit to the last; no process is pinned |
| `fold_workers_cpu_us_per_click`, `fold_postgres_cpu_us_per_click` | CPU time of these processes for a click of the backlog: what a second or fourth workers process adds to it, the cores of the machine do not hide |
| `fold_lock_waits` | backends that waited for a lock meanwhile, on average, by the kind of lock |
| `journal_bytes_per_click` | bytes of frames per click, with the headers of browsers |
| `rss_mb` | resident memory of each process before the backlog |

`exact`: completed requests of wrk and of the load, the engine's redirects and the clicks in the stats agree
(bench/load/exactness_check.py), and the counts grew by exactly the backlog. Exit code 1 if not; `failures` says why.
"""  # noqa: E501  # a table row cannot be wrapped

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from bench.kit import traffic
from bench.kit.report import progress, show
from bench.load import browsers, fold_backlog, wrk
from bench.load.crashable_engine import CrashableEngine
from bench.load.exactness_check import EngineCounts, ExactnessCheck, read_counts
from bench.load.freshness_probe import PROBE, FreshnessProbe
from bench.load.load import Load
from bench.load.load import LoadPlan as LoadPlan
from bench.load.memory import resident_mb
from bench.load.processes import Placement, cpu_s, cpu_s_of, on_cores, pin
from bench.suite.machine import machine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
from engine.clicks.journal_format import HEADER_BYTES, frames

CONNECTIONS = 64
FRESHNESS_RATE = 5000
WARM_UP_S = 2
ASKED_PROFILES = 1_000
SEGMENT_READ_BYTES = 8 * 1024 * 1024


class PipelineOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of the full load, and of the load for freshness."""

    seconds: int
    traffic: str
    links: int | None
    backlog: int
    workers: int = 1


class Pipeline:
    """Run of the benchmark on one engine."""

    def __init__(
        self, plan: PipelineOptions, placement: Placement, engine: CrashableEngine
    ) -> None:
        self.plan = plan
        self.placement = placement
        self.engine = engine
        self.links = traffic.links_of(plan.traffic, plan.links)
        self.traffic = traffic.TRAFFIC[plan.traffic]
        self.failures: list[str] = []

    def _paths(self) -> list[str]:
        return list(traffic.paths_of(self.plan.traffic, self.links, seed=3))

    def prepare(self) -> None:
        self.engine.fill([PROBE])
        (self.probe_profile,) = self.engine.profile_ids()
        self.engine.fill(self.links)
        profiles = {link.handle for link in self.links}
        # Asking the API for the sum of each profile would take longer than the run.
        self.profile_ids = self.engine.profile_ids() if len(profiles) <= ASKED_PROFILES else None
        (self.edge,) = self.engine.role_pids("edge")
        pin(self.edge, {self.placement.server})
        paths = [PROBE.path] if self.traffic.once else self._paths()
        self._wrk(min(WARM_UP_S, self.plan.seconds), paths)

    # ---- at full load ---------------------------------------------------------------------------

    def measure_sustained(self) -> dict[str, Any]:
        self.engine.wait_committed()
        before, cpu_before = self._counts(), self._cpu()
        wal_before = fold_backlog.wal_bytes(self.engine.database_url)
        result = self._wrk(self.plan.seconds, self._paths(), once=self.traffic.once)
        waited_s = self.engine.wait_committed()
        seconds = result.seconds + waited_s
        cpu_after = self._cpu()
        check = ExactnessCheck(
            completed=result.requests,
            before=before,
            after=self._counts(),
            errors=result.errors,
            connections=self.traffic.connections,
            seconds_to_commit=waited_s,
        )
        self.failures += check.failures()
        return {
            "sustained_clicks_per_s": round(check.recorded / seconds, 1),
            "requests_per_s": round(result.rps, 1),
            "first_visit_p99_ms": result.p99_ms if self.traffic.once else None,
            "seconds_to_commit": round(waited_s, 2),
            "wal_bytes_per_click": round(
                (fold_backlog.wal_bytes(self.engine.database_url) - wal_before)
                / max(1, check.recorded)
            ),
            **{
                f"{name}_cpu_us_per_click": round(
                    (cpu_after[name] - cpu_before[name]) * 1e6 / max(1, check.recorded), 2
                )
                for name in cpu_after
            },
        }

    def _wrk(self, seconds: int, paths: list[str], *, once: bool = False) -> wrk.WrkResult:
        with tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder:
            url = self.engine.visitors_url
            heads = browsers.request_heads(
                paths, urlsplit(url).netloc, count=len(paths), close=False, seed=3
            )
            file = Path(folder) / "heads"
            file.write_bytes(b"".join(heads))
            return wrk.run(
                url,
                file,
                seconds=seconds,
                connections=self.traffic.connections,
                cores={self.placement.client},
                once=once,
            )

    def _counts(self) -> EngineCounts:
        if self.profile_ids is not None:
            return read_counts(self.engine, self.profile_ids)
        counts = read_counts(self.engine, ())
        return counts._replace(clicks=fold_backlog.counted_clicks(self.engine.database_url))

    def _cpu(self) -> dict[str, float]:
        """Return the CPU seconds so far, by role."""
        engine = self.engine
        return {
            "edge": cpu_s(self.edge),
            "workers": cpu_s_of(engine.role_pids("workers")),
            "postgres": cpu_s_of(engine.postgres_processes()),
        }

    # ---- at a steady pace -----------------------------------------------------------------------

    def measure_freshness(self) -> dict[str, Any]:
        url = urlsplit(self.engine.visitors_url)
        paths = self._paths()
        plan = LoadPlan(
            host=url.hostname or "", port=url.port or 0, paths=paths, connections=CONNECTIONS,
            rate=FRESHNESS_RATE, patient=True, tagged=False,
        )  # fmt: skip
        before = self._counts()
        with on_cores({self.placement.client}):
            load = Load(self.engine.folder, plan)
            with load:
                time.sleep(min(WARM_UP_S, self.plan.seconds))
                probe = FreshnessProbe(self.engine, self.probe_profile)
                probe.run(self.plan.seconds)
                click_bytes = bytes_per_click(self.engine.data / "journals")
                load.stop()
        self.engine.wait_committed()
        counted_clicks = self._counts().clicks - before.clicks
        answered = load.account.answered + len(probe.delays_ms)
        if counted_clicks != answered or load.account.sent != load.account.answered:
            self.failures.append(
                f"{answered} of {load.account.sent} answered, {counted_clicks} clicks"
            )
        return {
            "freshness_p50_ms": percentile(probe.delays_ms, 0.5),
            "freshness_p99_ms": percentile(probe.delays_ms, 0.99),
            "dimension_freshness_p50_ms": percentile(probe.dimension_delays_ms, 0.5),
            "dimension_freshness_p99_ms": percentile(probe.dimension_delays_ms, 0.99),
            "probes": len(probe.delays_ms),
            "redirect_p99_ms": round(load.account.percentile_ms(99), 3),
            "journal_bytes_per_click": round(click_bytes, 1),
        }

    # ---- a backlog ------------------------------------------------------------------------------

    def measure_folding(self) -> dict[str, Any]:
        fold = fold_backlog.measure(self.engine, self.plan.backlog, self.plan.workers)
        if not fold.exact:
            self.failures.append("the counts did not grow by the clicks of the backlog")
        return {
            "fold_clicks_per_s": round(fold.clicks_per_s, 1),
            "fold_seconds": round(fold.seconds, 2),
            "fold_workers_cpu_us_per_click": round(fold.workers_cpu_us, 2),
            "fold_postgres_cpu_us_per_click": round(fold.postgres_cpu_us, 2),
            "fold_lock_waits": fold.lock_waits,
        }


def percentile(delays_ms: list[float], share: float) -> float:
    """Return the delay that `share` of them do not exceed, or the nearest one above."""
    ordered = sorted(delays_ms)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)


def bytes_per_click(folder: Path) -> float:
    """Return the mean size of a click in the frames of all journals below `folder`; NaN without frames."""
    size = clicks = 0
    for path in folder.glob("*/*.segment"):
        with path.open("rb") as file:
            data = file.read(SEGMENT_READ_BYTES)
        for frame in frames(data, HEADER_BYTES):
            size += frame.end - frame.start
            clicks += frame.clicks
    return size / clicks if clicks else float("nan")


def run(plan: PipelineOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when a tool is missing or the engine fails."""
    wrk.find()
    placement = Placement.here()
    machine_facts = machine(placement)
    with ExitStack() as stack:
        pinning = stack.enter_context(ExitStack())
        pinning.enter_context(on_cores(placement.rest))
        engine = stack.enter_context(CrashableEngine(workers=plan.workers))
        pipeline = Pipeline(plan, placement, engine)
        progress(f"making {len(pipeline.links)} links")
        pipeline.prepare()
        progress(f"full load for {plan.seconds} s")
        result = pipeline.measure_sustained()
        progress(f"{FRESHNESS_RATE} clicks/s with probes")
        result |= pipeline.measure_freshness()
        rss = resident_mb(engine)
        pinning.close()
        progress(f"a backlog of {plan.backlog} clicks")
        result |= pipeline.measure_folding()
    return {
        "benchmark": "pipeline",
        **result,
        "rss_mb": rss,
        "exact": not pipeline.failures,
        "failures": pipeline.failures,
        "plan": plan._asdict(),
        "machine": machine_facts,
    }


def table(result: dict[str, Any]) -> Table:
    plan, machine_facts = result["plan"], result["machine"]
    grid = Table(
        title=f"From socket to counts: {plan['traffic']} traffic, {plan['seconds']} s",
        caption=f"{machine_facts['cpu']}, {machine_facts['cores']} cores; Python {machine_facts['python']}",
        show_header=False,
    )
    grid.add_column()
    grid.add_column(justify="right")
    if result["first_visit_p99_ms"] is not None:
        grid.add_row("first visit p99", f"{result['first_visit_p99_ms']:,.1f} ms")
    for key in ("sustained_clicks_per_s", "requests_per_s", "fold_clicks_per_s"):
        grid.add_row(key.replace("_per_s", "/s").replace("_", " "), f"{result[key]:,.0f}")
    for key, unit in (
        ("seconds_to_commit", "s"), ("edge_cpu_us_per_click", "µs"), ("workers_cpu_us_per_click", "µs"),
        ("postgres_cpu_us_per_click", "µs"), ("fold_workers_cpu_us_per_click", "µs"),
        ("fold_postgres_cpu_us_per_click", "µs"), ("freshness_p50_ms", "ms"), ("freshness_p99_ms", "ms"),
        ("dimension_freshness_p99_ms", "ms"), ("redirect_p99_ms", "ms"), ("journal_bytes_per_click", "bytes"),
    ):  # fmt: skip
        name = key.removesuffix("_ms").replace("_cpu_us_per_click", " CPU per click")
        grid.add_row(name.replace("_", " "), f"{result[key]:,.1f} {unit}")
    grid.add_section()
    for name, mb in result["rss_mb"].items():
        grid.add_row(f"memory of {name}", f"{mb:,.0f} MB")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    cpu, fresh = "CPU time for a click", "From a visit until it is counted, at 5,000 clicks/s"
    rates = "Clicks a second"
    memory = [
        Figure(
            name=f"rss_mb/{name}",
            title=name,
            unit="MB",
            value=mb,
            better="lower",
            chart="Resident memory",
        )
        for name, mb in result["rss_mb"].items()
    ]
    keys = (
        Key("sustained_clicks_per_s", "from the socket to counts", "/s", "higher", rates),
        Key("fold_clicks_per_s", "folded from a backlog", "/s", "higher", rates),
        Key("seconds_to_commit", "all committed after the load", "s", "lower"),
        Key("first_visit_p99_ms", "p99 of first visits in a closed loop", "ms", "lower"),
        Key("edge_cpu_us_per_click", "edge", "µs", "lower", cpu),
        Key("workers_cpu_us_per_click", "workers", "µs", "lower", cpu),
        Key("postgres_cpu_us_per_click", "Postgres", "µs", "lower", cpu),
        Key("fold_workers_cpu_us_per_click", "workers, backlog", "µs", "lower", cpu),
        Key("fold_postgres_cpu_us_per_click", "Postgres, backlog", "µs", "lower", cpu),
        Key("freshness_p50_ms", "total, p50", "ms", "lower", fresh),
        Key("freshness_p99_ms", "total, p99", "ms", "lower", fresh),
        Key("dimension_freshness_p50_ms", "campaign, p50", "ms", "lower", fresh),
        Key("dimension_freshness_p99_ms", "campaign, p99", "ms", "lower", fresh),
        Key("redirect_p99_ms", "p99 of redirects at 5,000 clicks/s", "ms", "lower"),
        Key("wal_bytes_per_click", "write-ahead log of a click", "bytes", "lower"),
        Key("journal_bytes_per_click", "journal of a click", "bytes", "lower"),
    )
    return stated(result, keys) + memory


@click.command(
    help="Clicks per second from socket to committed counts; freshness, folding, memory."
)
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True)
@click.option("--traffic", type=click.Choice(sorted(traffic.TRAFFIC)), default="flat",
              show_default=True, help="how clicks are spread over links")  # fmt: skip
@click.option(
    "--links", type=click.IntRange(1, 100_000), help="links, instead of the traffic's own number"
)
@click.option("--backlog", type=click.IntRange(10_000, 100_000_000), default=1_000_000,
              show_default=True, help="clicks that one aggregator has to fold")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 4), default=1, show_default=True,
              help="workers processes that share the backlog's journals")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "The load shares the machine: with two cores it takes time from Postgres and the workers, "
    "so rates are lower than of an engine alone. Each number is of one load, so only repeated "
    "runs show its spread.",
    {"seconds": 2, "links": 200, "backlog": 20_000},
)
def command(as_json: bool, **options: Any) -> int:
    result = run(PipelineOptions(**options))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
