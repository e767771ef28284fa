"""Longest waits of visitors while dashboards are open, beside nginx: `python -m bench stalls`.

Visitors follow 1,000 links, and those of the dashboards' profiles, at a constant rate over 64 connections that are
kept. Latencies count from when a request was due, so a stall delays all that were due meanwhile. `--dashboards`
overviews of a whole `waypost up` are open, six of each person, and the visitors' clicks make their figures new. Rounds
of Waypost and of nginx, which writes an access log, alternate on one core, while the dashboards poll on; everything
else has the other cores, the load included.

| key | definition |
|---|---|
| `p50_ms`, `p99_ms`, `p999_ms` | medians of the rounds' latencies |
| `longest_ms` | the longest wait of all rounds |
| `rounds_with_stall` | rounds in which a request waited longer than 50 ms |
| `nginx_…` | these keys for nginx |
| `ratio_p999` | median of `p999_ms` over that of nginx: below 1, Waypost's visitors wait less |
| `runs` | the rounds' values by key |
| `polls` | answers to dashboards, by request and status |

Exit code 1 if a request was not answered by a redirect, if clicks were lost or counted twice, if `ratio_p999` is above 1.5, or if more
rounds of Waypost than of nginx had a stall; `failures` says which.
"""  # noqa: E501  # a table row cannot be wrapped

import statistics
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import click
import trio
from rich.table import Table

from bench.dashboards import OF_A_PERSON, SETTINGS, people, team_links
from bench.kit.link_set import sample_links
from bench.kit.overviews import OPENING_S, Overviews
from bench.kit.report import progress, show
from bench.load import browsers, fold_backlog
from bench.load.crashable_engine import CrashableEngine
from bench.load.processes import Placement, on_cores, pin
from bench.rounds import constant_rate
from bench.servers.nginx import Nginx
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

LINKS: Final = 1_000
CONNECTIONS: Final = 64
STALL_MS: Final = 50.0
RATIO_LIMIT: Final = 1.5
HEADS: Final = 10_000
SEED: Final = 20_261_201


class StallsOptions(NamedTuple):
    """Options of the command line. `seconds` is the length of one round."""

    seconds: int
    rate: int
    dashboards: int
    rounds: int


class Waits(NamedTuple):
    """Latencies of one round, in ms."""

    p50: float
    p99: float
    p999: float
    longest: float


class Stalls:
    """Run of the benchmark: both servers, and the rounds so far."""

    def __init__(self, plan: StallsOptions, engine: CrashableEngine, nginx: Nginx) -> None:
        self.plan = plan
        self.engine = engine
        self.nginx = nginx
        self.answered = 0  # by Waypost
        self.failures: list[str] = []
        self.waits: dict[str, list[Waits]] = {"": [], "nginx_": []}
        self._placement = Placement.here()
        self._program = constant_rate.build(engine.folder)
        self._heads = {url: self._heads_of(url) for url in (engine.visitors_url, nginx.url)}
        for pid in (*engine.role_pids("edge"), nginx.worker):
            pin(pid, {self._placement.server})

    def _heads_of(self, url: str) -> Path:
        """Write a file of requests of browsers to all links. Returns its path."""
        paths, host = [link.path for link in self.nginx.links], urlsplit(url).netloc
        heads = browsers.request_heads(paths, host, count=HEADS, close=False, seed=SEED)
        file = self.engine.folder / f"{host.replace(':', '-')}.heads"
        file.write_bytes(b"".join(heads))
        return file

    def warm_up(self) -> None:
        """Visit each link, so that all are in memory."""
        self.run_round(self.engine.visitors_url, -(-len(self.nginx.links) // self.plan.rate))

    async def measure(self, overviews: Overviews) -> None:
        """Run the rounds while the overviews are open."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(overviews.run)
            await trio.sleep(OPENING_S)
            for number in range(self.plan.rounds):
                for key, url in (("", self.engine.visitors_url), ("nginx_", self.nginx.url)):
                    waits = await trio.to_thread.run_sync(self.run_round, url, self.plan.seconds)
                    self.waits[key].append(waits)
                self.nginx.empty_log()
                ours, peer = self.waits[""][-1], self.waits["nginx_"][-1]
                progress(
                    f"round {number + 1} of {self.plan.rounds}: p99.9 {ours.p999:.2f} ms, longest "
                    f"{ours.longest:.1f}; nginx {peer.p999:.2f} ms, longest {peer.longest:.1f}"
                )
            nursery.cancel_scope.cancel()

    def run_round(self, url: str, seconds: int) -> Waits:
        """Send requests at the rate for some seconds. Returns their latencies."""
        result = constant_rate.run(
            self._program, url, self._heads[url], rate=self.plan.rate, seconds=seconds,
            connections=CONNECTIONS, cores={self._placement.client},
        )  # fmt: skip
        if result.errors or result.unsent:
            self.failures.append(f"{url}: errors {result.errors}, {result.unsent} not sent")
        if url == self.engine.visitors_url:
            self.answered += result.requests
        return Waits(result.p50_ms, result.p99_ms, result.p999_ms, result.max_ms)

    def check_counts(self, before: int) -> None:
        """Compare Waypost's answers with the clicks that were counted since there were `before`."""
        self.engine.settle()
        counted = fold_backlog.counted_clicks(self.engine.database_url) - before
        if counted != self.answered:
            self.failures.append(f"{self.answered} clicks were answered, {counted} counted")


def evaluate(waits: dict[str, list[Waits]]) -> tuple[dict[str, Any], list[str]]:
    """Return the keys of the module's table, and what is worse than wanted."""
    result: dict[str, Any] = {}
    runs: dict[str, list[float]] = {}
    for prefix, rounds in waits.items():
        for name in ("p50", "p99", "p999"):
            result[f"{prefix}{name}_ms"] = round(
                statistics.median(getattr(each, name) for each in rounds), 3
            )
        result[f"{prefix}longest_ms"] = round(max(each.longest for each in rounds), 2)
        result[f"{prefix}rounds_with_stall"] = sum(each.longest > STALL_MS for each in rounds)
        runs[f"{prefix}p999_ms"] = [round(each.p999, 3) for each in rounds]
        runs[f"{prefix}longest_ms"] = [round(each.longest, 3) for each in rounds]
    result["runs"] = runs
    result["ratio_p999"] = round(result["p999_ms"] / max(0.001, result["nginx_p999_ms"]), 3)
    failures = []
    if result["ratio_p999"] > RATIO_LIMIT:
        failures.append(f"p99.9 is {result['ratio_p999']} times that of nginx")
    if result["rounds_with_stall"] > result["nginx_rounds_with_stall"]:
        failures.append(
            f"{result['rounds_with_stall']} rounds had a wait of more than {STALL_MS:g} ms, of nginx "
            f"{result['nginx_rounds_with_stall']}"
        )
    return result, failures


def run(plan: StallsOptions) -> dict[str, Any]:
    """Run the benchmark and return its result. Raises BenchError when a server fails."""
    links = sample_links(LINKS)
    teammates = -(-plan.dashboards // OF_A_PERSON)
    with ExitStack() as stack:
        stack.enter_context(on_cores(Placement.here().rest))
        engine = stack.enter_context(CrashableEngine(settings=SETTINGS))
        nginx = stack.enter_context(Nginx([*links, *team_links(teammates)]))
        engine.fill(links)
        progress("making teams")
        team = people(engine, teammates)
        readers = [reader for reader in team for _ in range(OF_A_PERSON)][: plan.dashboards]
        engine.settle()
        before = fold_backlog.counted_clicks(engine.database_url)
        stalls = Stalls(plan, engine, nginx)
        stalls.warm_up()
        progress(f"opening {plan.dashboards} dashboards")
        overviews = Overviews(engine.console_url, readers)
        trio.run(partial(stalls.measure, overviews))
        stalls.check_counts(before)
    figures, worse = evaluate(stalls.waits)
    failures = stalls.failures + worse
    return {
        "benchmark": "stalls",
        **figures,
        "polls": {f"{name} {status}": n for (name, status), n in sorted(overviews.answers.items())},
        "exact": not stalls.failures,
        "failures": failures,
        "plan": plan._asdict(),
    }


def table(result: dict[str, Any]) -> Table:
    plan = result["plan"]
    grid = Table(
        title=f"Waits at {plan['rate']:,}/s beside {plan['dashboards']} dashboards: "
        f"{plan['rounds']} rounds of {plan['seconds']} s"
    )
    grid.add_column("")
    for name in ("p50 ms", "p99 ms", "p99.9 ms", "longest ms", "rounds with a stall"):
        grid.add_column(name, justify="right")
    for server, prefix in (("waypost", ""), ("nginx", "nginx_")):
        keys = ("p50_ms", "p99_ms", "p999_ms", "longest_ms", "rounds_with_stall")
        grid.add_row(server, *(str(result[prefix + key]) for key in keys))
    grid.add_row("ratio", "", "", f"{result['ratio_p999']:.2f}", "", "")
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    """Return the figures of a result, for the suite."""
    return stated(
        result,
        (
            Key("p999_ms", "p99.9", "ms", "lower", "Latency from when a request was due, p99.9"),
            Key("nginx_p999_ms", "p99.9, nginx", "ms", "neither",
                "Latency from when a request was due, p99.9"),
            Key("ratio_p999", "p99.9 over that of nginx", "", "lower"),
            Key("p99_ms", "p99", "ms", "lower"),
            Key("longest_ms", "longest wait", "ms", "lower", "Longest wait"),
            Key("nginx_longest_ms", "longest wait, nginx", "ms", "neither", "Longest wait"),
            Key("rounds_with_stall", "rounds with a wait of more than 50 ms", "", "lower"),
        ),
    )  # fmt: skip


@click.command(help="Longest waits of visitors while dashboards are open, beside nginx.")
@click.option("--seconds", type=click.IntRange(1, 600), default=3, show_default=True,
              help="length of one round")  # fmt: skip
@click.option("--rate", type=click.IntRange(10, 20_000), default=5_000, show_default=True,
              help="redirects a second")  # fmt: skip
@click.option("--dashboards", type=click.IntRange(0, 500), default=50, show_default=True,
              help="open overviews")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 100), default=10, show_default=True,
              help="of each server")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "On few cores the load shares its core with Postgres and the console, which delays it: nginx's waits show "
    "how much. A machine with other work stalls both servers.",
    {"seconds": 1, "rate": 1_000, "dashboards": 6, "rounds": 2},
)
def command(as_json: bool, **options: Any) -> int:
    result = run(StallsOptions(**options))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
