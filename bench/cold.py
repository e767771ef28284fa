"""First visits of cold profiles beside warm redirects, and edges that restart under both: `python -m bench cold`.

A profile is cold when no edge has it in memory: its first visitor waits for Postgres. Its visitors are new, too, so each comes on
a connection of its own, and waits for that as well. Two loads run beside each other at constant rates: `warm_rate` redirects of
links in memory over 64 connections that are kept, and `cold_rate` new visitors. Latencies count from when a request was
due, so a stall delays all that were due meanwhile.

First both go to links in memory, then the new visitors to cold profiles of `links_per_profile` links: the difference is what cold
profiles cost. Then each edge in turn gets SIGTERM, and later each is killed with SIGKILL, `restarts` times, under both loads.
With one edge it has one core, and everything else the others.

| key | definition |
|---|---|
| `warm_alone`, `new_alone` | kept connections and new visitors while all links are in memory |
| `warm`, `cold` | the same while each new visitor asks for another cold profile |
| `edge_cpu_us_per_cold`, `postgres_cpu_us_per_cold` | CPU time of these processes that a first visit takes more than a new visitor's of a link in memory |
| `lookups_per_query` | paths that one query to Postgres looked up, on average |
| `drained`, `killed` | the restarts by SIGTERM and by SIGKILL: both loads together |
| `failed_connections` | connections that were refused, reset or never made. A launcher keeps the listening sockets, so 0 is wanted |
| `lost_first` | requests on a new connection without a response. At SIGKILL an edge loses those that it has accepted and not answered |
| `lost_later` | requests on a kept connection without a response: a browser repeats them by itself |
| `other_answers` | responses that are not redirects |
| `longest_wait_ms` | the longest wait for a response |
| `uncounted` | answered clicks that the statistics lack when none is pending; beyond the answered ones at most those that were lost may be counted |

Exit code 1 if clicks were lost or counted twice, or if anything was refused or answered otherwise; after SIGKILL only requests that were
in flight may be lost.
"""  # noqa: E501  # a table row cannot be wrapped

import os
import signal
import time
from contextlib import ExitStack
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import click
from rich.table import Table

from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink, sample_links
from bench.kit.report import progress, show
from bench.load import fold_backlog
from bench.load.crashable_engine import CrashableEngine
from bench.load.load import Load, LoadPlan
from bench.load.processes import Placement, cpu_s_of, on_cores, pin
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

WARM_LINKS = 1_000
WARM_CONNECTIONS = 64
NEW_CONNECTIONS = 512  # new visitors at once: half a second's, at 1,000 a second
END_LIMIT_S = 60.0
RESTART_LIMIT_S = 60.0
BETWEEN_RESTARTS_S = 2.0
POLL_S = 0.02


class ColdOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of each of the first two phases."""

    seconds: int
    cold_rate: int
    warm_rate: int
    links_per_profile: int
    edges: int
    restarts: int


class ColdPhase(NamedTuple):
    """Both loads of a phase, the CPU seconds of edges and Postgres meanwhile, and the engine's metrics."""

    warm: Load
    new: Load
    edge_cpu_s: float
    postgres_cpu_s: float
    metrics: dict[str, float]

    @property
    def loads(self) -> tuple[Load, Load]:
        return self.warm, self.new


class Cold:
    """Run of the benchmark on one engine."""

    def __init__(self, plan: ColdOptions, placement: Placement, engine: CrashableEngine) -> None:
        self.plan = plan
        self.placement = placement
        self.engine = engine
        self.failures: list[str] = []
        self._warm = sample_links(WARM_LINKS)
        self._cold = cold_links(plan.cold_rate * plan.seconds, plan.links_per_profile)
        self._phases = 0
        self._loads: list[Load] = []

    def prepare(self) -> None:
        progress(f"making {len(self._cold) // self.plan.links_per_profile} cold profiles")
        self.engine.fill([*self._warm, *self._cold])
        self._pin_edge()
        with self._load("warm-up", paths_of(self._warm), self.plan.warm_rate, once=True) as load:
            load.wait_ended(END_LIMIT_S)
        if load.account.answered != WARM_LINKS:
            raise BenchError(f"{load.account.answered} of {WARM_LINKS} links were answered")

    def _pin_edge(self) -> None:
        if self.plan.edges == 1:
            for pid in self.engine.role_pids("edge"):
                pin(pid, {self.placement.server})

    def _load(
        self, name: str, paths: list[str], rate: int, *, fresh: bool = False, once: bool = False
    ) -> Load:
        url = urlsplit(self.engine.visitors_url)
        plan = LoadPlan(
            host=url.hostname or "",
            port=url.port or 0,
            paths=paths,
            connections=NEW_CONNECTIONS if fresh else WARM_CONNECTIONS,
            rate=rate,
            patient=True,
            tagged=False,
            fresh=fresh,
            once=once,
        )
        load = Load(self.engine.folder, plan, name)
        self._loads.append(load)
        return load

    # ---- at constant rates ------------------------------------------------------------------------

    def measure_first_visits(self) -> dict[str, Any]:
        """Run both loads on links in memory, then with cold profiles."""
        warm_paths, cold_paths = (
            paths_of(self._warm),
            first_paths(self._cold, self.plan.links_per_profile),
        )
        progress(f"{self.plan.seconds} s of links in memory")
        alone = self._phase(warm_paths * -(-len(cold_paths) // len(warm_paths)))
        progress(f"{self.plan.seconds} s of {self.plan.cold_rate} cold profiles a second")
        cold = self._phase(cold_paths)
        visits = max(1, cold.new.account.answered)
        queries = cold.metrics["queries"] - alone.metrics["queries"]
        self._require_answers("with cold profiles", alone.loads + cold.loads)
        return {
            "warm_alone": latencies(alone.warm),
            "new_alone": latencies(alone.new),
            "warm": latencies(cold.warm),
            "cold": latencies(cold.new),
            "edge_cpu_us_per_cold": round((cold.edge_cpu_s - alone.edge_cpu_s) * 1e6 / visits, 1),
            "postgres_cpu_us_per_cold": round(
                (cold.postgres_cpu_s - alone.postgres_cpu_s) * 1e6 / visits, 1
            ),
            "lookups_per_query": round(
                (cold.metrics["lookups"] - alone.metrics["lookups"]) / max(1, queries), 1
            ),
        }

    def _phase(self, new_paths: list[str]) -> ColdPhase:
        """Send the new visitors once to each path at `cold_rate`, beside the warm load."""
        self._phases += 1
        new_paths = new_paths[: self.plan.cold_rate * self.plan.seconds]
        warm = self._load(f"warm-{self._phases}", paths_of(self._warm), self.plan.warm_rate)
        new = self._load(
            f"new-{self._phases}", new_paths, self.plan.cold_rate, fresh=True, once=True
        )
        with on_cores({self.placement.client}), warm:
            warm.wait_answered(WARM_LINKS, END_LIMIT_S)
            edges, postgres = self._cpu()
            with new:
                new.wait_ended(self.plan.seconds + END_LIMIT_S)
            edges_after, postgres_after = self._cpu()
            warm.stop()
        metrics = self.engine.metrics()
        return ColdPhase(
            warm, new, edges_after - edges, postgres_after - postgres,
            {name: metrics[f"waypost_path_{name}_total"] for name in ("queries", "lookups")},
        )  # fmt: skip

    def _cpu(self) -> tuple[float, float]:
        engine = self.engine
        return cpu_s_of(engine.role_pids("edge")), cpu_s_of(engine.postgres_processes())

    def _require_answers(self, when: str, loads: tuple[Load, ...]) -> None:
        for load in loads:
            account = load.account
            if account.answered != account.sent:
                self.failures.append(
                    f"{when}: {account.answered} of {account.sent} requests were redirected"
                )

    # ---- restarts ---------------------------------------------------------------------------------

    def measure_restarts(self, number: signal.Signals) -> dict[str, Any]:
        """Restart each edge `restarts` times under both loads."""
        cold_paths = first_paths(self._cold, self.plan.links_per_profile)
        self._phases += 1
        warm = self._load(f"warm-{self._phases}", paths_of(self._warm), self.plan.warm_rate)
        new = self._load(f"new-{self._phases}", cold_paths, self.plan.cold_rate, fresh=True)
        downs_s: list[float] = []
        with on_cores({self.placement.client}), warm, new:
            warm.wait_answered(WARM_LINKS, END_LIMIT_S)
            for round_ in range(self.plan.restarts * self.plan.edges):
                progress(f"{number.name} {round_ + 1}")
                downs_s.append(self._restart_one(round_ % self.plan.edges, number))
                time.sleep(BETWEEN_RESTARTS_S)
            warm.stop()
            new.stop()
        result = what_clients_saw((warm, new)) | {
            "restarts": len(downs_s),
            "seconds_to_restart": [round(down_s, 2) for down_s in downs_s],
        }
        self._require_no_refusal(number, result)
        return result

    def _restart_one(self, index: int, number: signal.Signals) -> float:
        """Signal an edge. Returns the seconds until another process of its role is ready. Raises BenchError."""
        before = sorted(self.engine.role_pids("edge"))
        started = time.monotonic()
        os.kill(before[index % len(before)], number)
        while time.monotonic() < started + RESTART_LIMIT_S:
            pids = set(self.engine.role_pids("edge"))
            self._pin_edge()  # a successor starts while its predecessor serves
            replaced = len(pids - set(before)) == 1 and len(pids) == self.plan.edges
            if replaced and pids == set(self.engine.pids("edge")):
                return time.monotonic() - started
            time.sleep(POLL_S)
        raise BenchError(f"no edge was ready {RESTART_LIMIT_S:g} s after {number.name}")

    def _require_no_refusal(self, number: signal.Signals, result: dict[str, Any]) -> None:
        kinds = ["failed_connections", "other_answers"]
        if number == signal.SIGTERM:
            kinds += ["lost_first", "lost_later"]
        self.failures += [
            f"{number.name}: {kind} is {result[kind]}" for kind in kinds if result[kind]
        ]

    # ---- exactness --------------------------------------------------------------------------------

    def check_counts(self) -> dict[str, Any]:
        """Compare the answers of all loads with the counted clicks."""
        self.engine.settle()
        counted = fold_backlog.counted_clicks(self.engine.database_url)
        accounts = [load.account for load in self._loads]
        answered = sum(account.answered for account in accounts)
        lost = sum(account.lost_first + account.lost_later for account in accounts)
        if not answered <= counted <= answered + lost:
            self.failures.append(f"{answered} clicks were answered, {counted} counted, {lost} lost")
        return {"answered": answered, "uncounted": max(0, answered - counted)}


def cold_links(profiles: int, per_profile: int) -> list[SampleLink]:
    """Return the links of so many profiles that no other benchmark's link is of."""
    return [
        SampleLink(
            handle=f"newcomer{profile:06}",
            slug=f"link-{number}",
            target=f"https://shop.example.com/item/{profile:06}-{number}?utm_source=bio",
            title=f"Link {number}",
        )
        for profile in range(profiles)
        for number in range(per_profile)
    ]


def paths_of(links: list[SampleLink]) -> list[str]:
    return [link.path for link in links]


def first_paths(links: list[SampleLink], per_profile: int) -> list[str]:
    """Return the path of one link of each profile: the first, the second and so on in turn."""
    profiles = range(len(links) // per_profile)
    return [links[profile * per_profile + profile % per_profile].path for profile in profiles]


def latencies(load: Load) -> dict[str, float]:
    account = load.account
    percentiles = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
    return {key: round(account.percentile_ms(percent), 2) for key, percent in percentiles.items()}


def what_clients_saw(loads: tuple[Load, ...]) -> dict[str, Any]:
    """Return what visitors of a restarting engine see, summed over loads."""
    accounts = [load.account for load in loads]
    return {
        "answered": sum(account.answered for account in accounts),
        "failed_connections": sum(account.failed_connections for account in accounts),
        "lost_first": sum(account.lost_first for account in accounts),
        "lost_later": sum(account.lost_later for account in accounts),
        "other_answers": sum(account.refused for account in accounts),
        "longest_wait_ms": round(max(account.percentile_ms(100) for account in accounts), 1),
    }


def run(plan: ColdOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when the engine fails."""
    placement = Placement.here()
    with ExitStack() as stack:
        if plan.edges == 1:
            stack.enter_context(on_cores(placement.rest))
        engine = stack.enter_context(CrashableEngine(plan.edges))
        cold = Cold(plan, placement, engine)
        cold.prepare()
        result = cold.measure_first_visits()
        result["drained"] = cold.measure_restarts(signal.SIGTERM)
        result["killed"] = cold.measure_restarts(signal.SIGKILL)
        result |= cold.check_counts()
    return {
        "benchmark": "cold",
        **result,
        "exact": not cold.failures,
        "failures": cold.failures,
        "plan": plan._asdict(),
    }


_LOADS: Final = (
    ("warm_alone", "kept connections, all in memory"),
    ("new_alone", "new visitors, all in memory"),
    ("warm", "kept connections beside cold profiles"),
    ("cold", "first visits of cold profiles"),
)


def table(result: dict[str, Any]) -> Table:
    plan = result["plan"]
    grid = Table(
        title=f"{plan['cold_rate']:,} cold profiles/s beside {plan['warm_rate']:,} warm redirects/s"
    )
    grid.add_column("")
    for name in ("p50", "p99", "p99.9", "longest"):
        grid.add_column(f"{name}, ms", justify="right")
    for key, label in _LOADS:
        grid.add_row(label, *(f"{value:,.1f}" for value in result[key].values()))
    grid.add_section()
    for key in ("edge_cpu_us_per_cold", "postgres_cpu_us_per_cold", "lookups_per_query"):
        grid.add_row(key.replace("_us_", " µs ").replace("_", " "), f"{result[key]:,.1f}")
    for key, label in (("drained", "SIGTERM"), ("killed", "SIGKILL")):
        seen = result[key]
        grid.add_section()
        grid.add_row(f"{label}: edges restarted", f"{seen['restarts']}")
        for kind in ("failed_connections", "other_answers", "lost_first", "lost_later"):
            grid.add_row(f"{label}: {kind.replace('_', ' ')}", f"{seen[kind]:,}")
        grid.add_row(f"{label}: longest wait", *[""] * 3, f"{seen['longest_wait_ms']:,.0f}")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    latencies = [
        figure
        for load, title in _LOADS
        for figure in stated(
            result[load],
            (
                Key("p50_ms", f"p50, {title}", "ms", "lower"),
                Key("p99_ms", title, "ms", "lower", "Latency from when a request was due, p99"),
                Key("p999_ms", f"p99.9, {title}", "ms", "lower"),
                Key("max_ms", f"longest, {title}", "ms", "lower"),
            ),
            prefix=f"{load}/",
        )
    ]
    restarts = [
        figure
        for signal_name in ("drained", "killed")
        for figure in stated(
            result[signal_name],
            (
                Key("failed_connections", f"{signal_name}: failed connections", "", "lower"),
                Key("longest_wait_ms", f"{signal_name}: longest wait", "ms", "lower"),
            ),
            prefix=f"{signal_name}/",
        )
    ]
    cpu = "CPU time that a first visit takes more"
    return [
        *latencies,
        *restarts,
        *stated(
            result,
            (
                Key("edge_cpu_us_per_cold", "edge", "µs", "lower", cpu),
                Key("postgres_cpu_us_per_cold", "Postgres", "µs", "lower", cpu),
                Key("lookups_per_query", "paths that one query looks up", "", "neither"),
            ),
        ),
    ]


@click.command(help="First visits of cold profiles beside warm redirects, and restarts of edges.")
@click.option("--seconds", type=click.IntRange(1, 60), default=10, show_default=True,
              help="length of each phase at constant rates")  # fmt: skip
@click.option("--cold-rate", type=click.IntRange(10, 5_000), default=1_000, show_default=True,
              help="cold profiles a second, each with a new visitor")  # fmt: skip
@click.option("--warm-rate", type=click.IntRange(10, 10_000), default=5_000, show_default=True,
              help="redirects a second of links in memory")  # fmt: skip
@click.option("--links-per-profile", type=click.IntRange(1, 200), default=5, show_default=True)
@click.option("--edges", type=click.IntRange(1, 16), default=1, show_default=True)
@click.option("--restarts", type=click.IntRange(0, 20), default=2, show_default=True,
              help="of each edge, by SIGTERM, and as many by SIGKILL")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Postgres is on this machine and has the profiles in its memory: a network or a cold disk comes "
    "on top. One run has one stall or none, so p99.9 and the longest wait differ between runs.",
    {"seconds": 2, "cold_rate": 200, "warm_rate": 1_000, "restarts": 1},
)
def command(as_json: bool, **options: Any) -> int:
    result = run(ColdOptions(**options))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
