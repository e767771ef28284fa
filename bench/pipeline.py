"""From the socket to committed rollups: `python -m bench pipeline`.

A whole `waypost up`, placed as bench/redirects.py places it: the edge on one core, wrk on another, all
the rest on what is left (with two cores: wrk's, so that Postgres and the aggregator take from it).

| key | definition |
|---|---|
| `sustained_clicks_per_s` | wrk flat out for `seconds` over 64 connections; clicks recorded, divided by the time from its first request until all of them are committed: a rate that could go on for ever |
| `requests_per_s`, `seconds_to_commit` | what wrk had answered per second meanwhile; how long after wrk's end all was committed |
| `edge_cpu_us_per_click`, `workers_cpu_us_per_click`, `postgres_cpu_us_per_click` | CPU time that these took for it |
| `freshness_p50_ms`, `freshness_p99_ms` | at 5,000 clicks/s of browsers' requests, from the answer to a probe's click until the stats API tells it (asked every 4 ms) |
| `redirect_p99_ms` | of the load meanwhile: open loop, from when a request was due |
| `fold_clicks_per_s` | one aggregator on a backlog of `backlog` clicks in a dead edge's journal, from the first commit to the last; nothing pinned |
| `journal_bytes_per_click` | of frames, with browsers' headers |
| `rss_mb` | of each process at the end |

`exact`: what wrk and the load had answered, the engine's redirects and the clicks in the stats agree
(bench/load/exactness_check.py), and the rollups grew by exactly the backlog. Exit code 1 if not; `failures` says what.
"""  # noqa: E501  # the table is read as it stands

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from bench.kit import fold_backlog, link_set
from bench.kit.freshness_probe import PROBE, FreshnessProbe
from bench.kit.machine import machine
from bench.kit.memory import resident_mb
from bench.kit.report import progress, show, write_json
from bench.load import browsers, wrk
from bench.load.crashable_engine import CrashableEngine
from bench.load.exactness_check import ExactnessCheck, counted
from bench.load.load import Load
from bench.load.load import LoadPlan as LoadPlan
from bench.load.processes import Placement, cpu_s, on_cores, pin
from engine.clicks.journal_format import HEADER_BYTES, frames

CONNECTIONS = 64
FRESH_RATE = 5000
WARM_UP_S = 2
HEADS = 10_000
SEGMENT_READ_BYTES = 8 * 1024 * 1024


class PipelineOptions(NamedTuple):
    """`seconds` is the length of the run at full load, and of the one for freshness."""

    seconds: int
    links: int
    backlog: int


class Pipeline:
    """One measurement on one engine."""

    def __init__(
        self, plan: PipelineOptions, placement: Placement, engine: CrashableEngine
    ) -> None:
        self.plan = plan
        self.placement = placement
        self.engine = engine
        self.links = link_set.make(plan.links)
        self.failures: list[str] = []

    def prepare(self) -> None:
        self.engine.fill([PROBE])
        (self.probe_profile,) = self.engine.profile_ids()
        self.engine.fill(self.links)
        self.profile_ids = self.engine.profile_ids()
        (self.edge,) = self.engine.living("edge")
        pin(self.edge, {self.placement.server})
        self._wrk(min(WARM_UP_S, self.plan.seconds))

    # ---- at full load ---------------------------------------------------------------------------

    def sustained(self) -> dict[str, Any]:
        self.engine.wait_committed()
        before, cpu_before = counted(self.engine, self.profile_ids), self._cpu()
        started = time.monotonic()
        figures = self._wrk(self.plan.seconds)
        waited_s = self.engine.wait_committed()
        seconds = time.monotonic() - started
        cpu_after = self._cpu()
        check = ExactnessCheck(
            completed=figures.requests,
            before=before,
            after=counted(self.engine, self.profile_ids),
            errors=figures.errors,
            connections=CONNECTIONS,
            seconds_to_commit=waited_s,
        )
        self.failures += check.failures()
        return {
            "sustained_clicks_per_s": round(check.recorded / seconds, 1),
            "requests_per_s": round(figures.rps, 1),
            "seconds_to_commit": round(waited_s, 2),
            **{
                f"{name}_cpu_us_per_click": round(
                    (cpu_after[name] - cpu_before[name]) * 1e6 / max(1, check.recorded), 2
                )
                for name in cpu_after
            },
        }

    def _wrk(self, seconds: int) -> wrk.WrkResult:
        with tempfile.TemporaryDirectory(prefix="waypost-bench-heads-") as folder:
            url = self.engine.visitors_url
            paths = [link.path for link in self.links]
            heads = browsers.request_heads(
                paths, urlsplit(url).netloc, count=whole_cycles(paths), close=False, seed=3
            )
            file = Path(folder) / "heads"
            file.write_bytes(b"".join(heads))
            return wrk.run(
                url, file, seconds=seconds, connections=CONNECTIONS, cores={self.placement.client}
            )

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far."""
        engine = self.engine
        return {
            "edge": cpu_s(self.edge),
            "workers": sum(map(cpu_s, engine.living("workers"))),
            "postgres": sum(map(cpu_s, engine.postgres_processes())),
        }

    # ---- at a steady pace -----------------------------------------------------------------------

    def fresh(self) -> dict[str, Any]:
        url = urlsplit(self.engine.visitors_url)
        paths = [link.path for link in self.links]
        plan = LoadPlan(
            host=url.hostname or "", port=url.port or 0, paths=paths, connections=CONNECTIONS,
            rate=FRESH_RATE, patient=True, tagged=False,
        )  # fmt: skip
        before = counted(self.engine, self.profile_ids)
        with on_cores({self.placement.client}):
            load = Load(self.engine.folder, plan)
            with load:
                time.sleep(min(WARM_UP_S, self.plan.seconds))
                probe = FreshnessProbe(self.engine, self.probe_profile)
                probe.run(self.plan.seconds)
                size = bytes_per_click(self.engine.data / "journals")
                load.stop()
        self.engine.wait_committed()
        clicks = counted(self.engine, self.profile_ids).clicks - before.clicks
        answered = load.account.answered + len(probe.seen_ms)
        if clicks != answered or load.account.sent != load.account.answered:
            self.failures.append(f"{answered} of {load.account.sent} answered, {clicks} clicks")
        seen = sorted(probe.seen_ms)
        return {
            "freshness_p50_ms": round(seen[len(seen) // 2], 1),
            "freshness_p99_ms": round(seen[min(len(seen) - 1, int(len(seen) * 0.99))], 1),
            "probes": len(seen),
            "redirect_p99_ms": round(load.account.percentile_ms(99), 3),
            "journal_bytes_per_click": round(size, 1),
        }

    # ---- a backlog ------------------------------------------------------------------------------

    def folded(self) -> dict[str, Any]:
        fold = fold_backlog.measure(self.engine, self.plan.backlog)
        if not fold.exact:
            self.failures.append("the rollups did not grow by the clicks of the backlog")
        return {
            "fold_clicks_per_s": round(fold.clicks_per_s, 1),
            "fold_seconds": round(fold.seconds, 2),
        }


def whole_cycles(paths: Sequence[str]) -> int:
    return len(paths) * max(1, HEADS // len(paths))


def bytes_per_click(folder: Path) -> float:
    """Of the frames that stand in the journals below `folder` now; NaN when there are none."""
    size = clicks = 0
    for path in folder.glob("*/*.segment"):
        with path.open("rb") as file:
            data = file.read(SEGMENT_READ_BYTES)
        for frame in frames(data, HEADER_BYTES):
            size += frame.end - frame.start
            clicks += frame.clicks
    return size / clicks if clicks else float("nan")


def run(plan: PipelineOptions) -> dict[str, Any]:
    """Measure; the JSON object. Raises BenchError when something needed is missing or fails."""
    wrk.find()
    placement = Placement.here()
    about = machine(placement)
    with ExitStack() as stack:
        everywhere = stack.enter_context(ExitStack())
        everywhere.enter_context(on_cores(placement.rest))
        engine = stack.enter_context(CrashableEngine())
        pipeline = Pipeline(plan, placement, engine)
        progress(f"making {plan.links} links")
        pipeline.prepare()
        progress(f"full load for {plan.seconds} s")
        found = pipeline.sustained()
        progress(f"{FRESH_RATE} clicks/s with probes")
        found |= pipeline.fresh()
        rss = resident_mb(engine)
        everywhere.close()
        progress(f"a backlog of {plan.backlog} clicks")
        found |= pipeline.folded()
    return {
        "benchmark": "pipeline",
        **found,
        "rss_mb": rss,
        "exact": not pipeline.failures,
        "failures": pipeline.failures,
        "plan": plan._asdict(),
        "machine": about,
    }


def table(result: dict[str, Any]) -> Table:
    plan, about = result["plan"], result["machine"]
    shown = Table(
        title=f"From socket to rollups: {plan['links']} links, {plan['seconds']} s",
        caption=f"{about['cpu']}, {about['cores']} cores; Python {about['python']}",
        show_header=False,
    )
    shown.add_column()
    shown.add_column(justify="right")
    for key in ("sustained_clicks_per_s", "requests_per_s", "fold_clicks_per_s"):
        shown.add_row(key.replace("_per_s", "/s").replace("_", " "), f"{result[key]:,.0f}")
    for key, unit in (
        ("seconds_to_commit", "s"), ("edge_cpu_us_per_click", "µs"), ("workers_cpu_us_per_click", "µs"),
        ("postgres_cpu_us_per_click", "µs"), ("freshness_p50_ms", "ms"), ("freshness_p99_ms", "ms"),
        ("redirect_p99_ms", "ms"), ("journal_bytes_per_click", "bytes"),
    ):  # fmt: skip
        name = key.removesuffix("_ms").replace("_cpu_us_per_click", " CPU per click")
        shown.add_row(name.replace("_", " "), f"{result[key]:,.1f} {unit}")
    shown.add_section()
    for name, mb in result["rss_mb"].items():
        shown.add_row(f"memory of {name}", f"{mb:,.0f} MB")
    return shown


@click.command(help="Clicks a second from socket to committed rollups, freshness, folding, memory.")
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True)
@click.option("--links", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--backlog", "clicks", type=click.IntRange(10_000, 100_000_000), default=1_000_000,
              show_default=True, help="clicks that one aggregator has to fold")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(seconds: int, links: int, clicks: int, as_json: bool) -> int:
    result = run(PipelineOptions(seconds, links, clicks))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    if as_json:
        write_json(result)
    return 0 if result["exact"] else 1
