"""A dashboard's questions on a year of history: `python -m bench stats`.

A whole `waypost up` has a year of history, with today's counts, written straight into the tables: first with a
hundredth of `clicks`, then with all. One caller asks over HTTP about one profile, one question after the other.

| `--history` | profiles and links | the profile that is asked |
|---|---|---|
| `old` | one of 200 links | all of its days are hot: counted in tables (click_history.py) |
| `wide` | 10,000, of 100,000 links in all | packed clicks of days that are just not hot (packed_history.py) |
| `one` | one of 100,000 links | as `old`, with rows for each of its links |

| key | definition |
|---|---|
| `p50_ms`, `p95_ms` | latency of the API, by question |
| `min_ms` | smallest latency: the one that other work on the machine distorts least |
| `console_cpu_ms`, `postgres_cpu_ms` | CPU time of the console and of Postgres for one question |
| `ratio` | `p50_ms` on all clicks divided by `p50_ms` on a hundredth |
| `page` | a dashboard's page in one call: ten questions, the active visitors and ten latest clicks |
| `dashboards` | the page for `--dashboards` callers at once, each one call after the other; without a target |
| `crossings` | questions that cross two dimensions, counted from packed clicks |
| `poll_cpu_ms` | the console's CPU time for a poll answered 304: `--pollers` poll each second, with 100 keys |

Exit code 1 if a question's p95 is not below 50 ms, the page's not below 80 ms, a crossing's not below 300 ms,
a ratio not below 2, or a poll not below .6 ms; `failures` says which.
"""

import os
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import asyncpg
import click
import uvloop
from rich.table import Table

from bench.kit import click_history, packed_history
from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.kit.neighbour import BusyNeighbour
from bench.kit.report import progress, show
from bench.kit.stats_questions import Question, crossings, page, questions
from bench.load import wrk
from bench.load.client import Client
from bench.load.crashable_engine import CrashableEngine
from bench.load.processes import Placement, cpu_s, cpu_s_of
from bench.suite.machine import machine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

HANDLE: Final = "history"
NEIGHBOUR: Final = SampleLink("neighbour", "busy", "https://www.example.org/busy", "")
P95_LIMIT_MS: Final = 50.0
RATIO_LIMIT: Final = 2.0
POLL_LIMIT_MS: Final = 0.6
PAGE_LIMIT_MS: Final = 80.0
CROSSING_LIMIT_MS: Final = 300.0
HUNDREDTH: Final = 100
CROSSED_TRIES: Final = 20  # each takes many times as long
DASHBOARD_TRIES: Final = 20  # of each dashboard
POLLERS_KEYS: Final = 100  # as many as a user may have
POLL_PAUSE_MS: Final = 1000
POLL_SECONDS: Final = 15
SETTINGS: Final = {"WAYPOST_TRUSTED_HOPS": "1"}  # pollers have addresses of their own


Writer = Callable[["asyncpg.Connection[Any]", int, int, datetime], Coroutine[Any, Any, None]]


class History(NamedTuple):
    """A year of clicks: whose links, and what writes them. The profile that is asked is HANDLE."""

    profiles: int
    links: int  # of each profile
    write: Writer

    def sample_links(self) -> list[SampleLink]:
        handles = [HANDLE, *(f"{HANDLE}-{n:05}" for n in range(1, self.profiles))]
        return [
            SampleLink(handle, f"link-{n:05}", f"https://www.example.org/{n}", "")
            for handle in handles
            for n in range(self.links)
        ]

    def __str__(self) -> str:
        profiles = "one profile" if self.profiles == 1 else f"{self.profiles:,} profiles"
        return f"{profiles} with {self.profiles * self.links:,} links"


HISTORIES: Final = {
    "old": History(1, 200, click_history.write),
    "wide": History(10_000, 10, packed_history.write),
    "one": History(1, 100_000, click_history.write),
}


class StatsOptions(NamedTuple):
    """Options of the command line. `tries` is the number of requests for each question."""

    clicks: int
    tries: int
    raw: int = 0
    dashboards: int = 0
    history: str = "old"
    pollers: int = 10
    poll_seconds: int = 2


class StatsQuestions:
    """Questions about the profile of one engine, and their measurement."""

    def __init__(self, engine: CrashableEngine, history: History) -> None:
        self.engine = engine
        self._history = history
        self._poll_keys: list[str] = []
        engine.fill([*history.sample_links(), NEIGHBOUR])
        address = urlencode({"url": f"{engine.visitors_url}/{HANDLE}/link-00000"})
        link = engine.console.get(f"/v1/links/lookup?{address}")
        self.profile_id, self.link_id = link["profile_id"], link["id"]
        (self.console,) = engine.role_pids("api")

    def write(self, clicks: int, writer: Writer | None = None) -> float:
        """Write `clicks` clicks of history, or with a `writer` of its own. Returns the seconds that it took."""
        writer = writer or self._history.write
        started = time.monotonic()

        async def written() -> None:
            connection = await asyncpg.connect(
                self.engine.database_url,
                server_settings={"timezone": "UTC", "search_path": "waypost"},
            )
            try:
                await writer(connection, int(self.profile_id), clicks, datetime.now(UTC))
            finally:
                await connection.close()

        uvloop.run(written())
        return time.monotonic() - started

    def path(self, question: Question) -> str:
        parameters = {
            name: self.link_id if value == "LINK" else value
            for name, value in question.parameters.items()
        }
        return f"/v1/profiles/{self.profile_id}/stats?{urlencode(parameters)}"

    def measure(self, question: Question, tries: int) -> dict[str, Any]:
        path = self.path(question)
        rows = len(self.engine.console.get(path)["rows"])
        if not rows:
            raise BenchError(f"{question.name}: the answer has no rows")
        return self._measured(question.name, rows, lambda: self.engine.console.get(path), tries)

    def measure_page(self, tries: int) -> dict[str, Any]:
        """Measure the questions of a dashboard's page in one call."""
        answers = self._page(self.engine.console)["answers"]
        if not all(answer["rows"] for answer in answers):
            raise BenchError("a dashboard's page: an answer has no rows")
        rows = sum(len(answer["rows"]) for answer in answers)
        return self._measured(
            "a dashboard's page", rows, lambda: self._page(self.engine.console), tries
        )

    def measure_dashboards(self, dashboards: int, tries: int) -> dict[str, Any]:
        """Measure the page while so many dashboards ask for it at once. `rows` are of all of them."""
        clients = [Client(self.engine.console_url, self.engine.api_key) for _ in range(dashboards)]
        rows = sum(
            len(answer["rows"]) for client in clients for answer in self._page(client)["answers"]
        )

        def all_timings() -> list[float]:
            with ThreadPoolExecutor(dashboards) as pool:
                runs = [
                    pool.submit(timings_ms, partial(self._page, client), tries)
                    for client in clients
                ]
                return sorted(timing for run in runs for timing in run.result())

        measured = self._timed(f"a page, {dashboards} dashboards at once", rows, all_timings)
        for client in clients:
            client.close()
        return measured

    def _page(self, client: Client) -> Any:
        return client.post(f"/v1/profiles/{self.profile_id}/stats/batch", page())

    def _measured(
        self, name: str, rows: int, call: Callable[[], Any], tries: int
    ) -> dict[str, Any]:
        return self._timed(name, rows, partial(timings_ms, call, tries))

    def _timed(self, name: str, rows: int, time_calls: Callable[[], list[float]]) -> dict[str, Any]:
        """Return the figures of calls, whose durations in ms `time_calls` returns, ascending."""
        console, postgres = self._cpu_s()
        timings = time_calls()
        tries = len(timings)
        console_after, postgres_after = self._cpu_s()
        return {
            "name": name,
            "rows": rows,
            "console_cpu_ms": round((console_after - console) * 1000 / tries, 2),
            "postgres_cpu_ms": round((postgres_after - postgres) * 1000 / tries, 2),
            "min_ms": round(timings[0], 2),
            "p50_ms": percentile(timings, 0.5),
            "p95_ms": percentile(timings, 0.95),
        }

    def _cpu_s(self) -> tuple[float, float]:
        """Return the CPU seconds so far of (console, Postgres)."""
        return cpu_s(self.console), cpu_s_of(self.engine.postgres_processes())

    def measure_poll_cpu_ms(self, question: Question, pollers: int, seconds: int) -> float:
        """Return the console's CPU time for one poll that is answered 304, in ms, beside a neighbour."""
        path = self.path(question)
        _, etag = self.engine.console.poll(path)
        heads = self.engine.folder / "polls"
        host = urlsplit(self.engine.console_url).netloc
        heads.write_text(
            "".join(
                poll_head(path, host, key, etag, f"192.0.2.{number}")
                for number, key in enumerate(self._keys())
            )
        )
        for key in self._keys():  # dashboards do not begin all at once
            client = Client(self.engine.console_url, key)
            client.poll(path, etag)
            client.close()
        before = cpu_s(self.console)
        with BusyNeighbour(self.engine.visitors_url, NEIGHBOUR.path) as neighbour:
            result = wrk.run(
                self.engine.console_url, heads, seconds=seconds, connections=pollers,
                cores=range(os.cpu_count() or 1), pause_ms=POLL_PAUSE_MS, status=304,
            )  # fmt: skip
        if result.errors:
            raise BenchError(f"polls were not answered 304: {result.errors}")
        if not neighbour.visits:
            raise BenchError("the neighbour had no visits")
        return round((cpu_s(self.console) - before) * 1000 / result.requests, 3)

    def _keys(self) -> list[str]:
        """Return the owner's API keys, as many as an account may have. The first call makes them."""
        if not self._poll_keys:
            spare = POLLERS_KEYS - len(self.engine.console.get("/v1/keys")["items"])
            body = {"label": "poller", "scopes": ["read"]}
            made = (self.engine.console.post("/v1/keys", body) for _ in range(spare))
            self._poll_keys = [self.engine.api_key, *(key["key"] for key in made)]
        return self._poll_keys


def poll_head(path: str, host: str, key: str, etag: str, client: str) -> str:
    """Return the head of a poll, as wrk sends it in the place of a proxy."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"X-Forwarded-For: {client}\r\nIf-None-Match: {etag}\r\n\r\n"
    )


def timings_ms(call: Callable[[], Any], tries: int) -> list[float]:
    """Return the duration of each call in ms, ascending."""
    timings = []
    for _ in range(tries):
        started = time.perf_counter()
        call()
        timings.append((time.perf_counter() - started) * 1000)
    return sorted(timings)


def percentile(ascending: list[float], part: float) -> float:
    return round(ascending[min(len(ascending) - 1, int(len(ascending) * part))], 2)


def run(plan: StatsOptions) -> dict[str, Any]:
    sizes = (max(1, plan.clicks // HUNDREDTH), plan.clicks)
    all_questions = questions(datetime.now(UTC).date())
    history = HISTORIES[plan.history]
    results: dict[int, dict[str, Any]] = {}
    with CrashableEngine(settings=SETTINGS) as engine:
        progress(f"making {history}")
        bench = StatsQuestions(engine, history)
        for clicks in sizes:
            progress(f"writing {clicks} clicks")
            seconds = bench.write(clicks)
            progress(f"asking, after {seconds:.0f} s of writing")
            results[clicks] = {
                "write_s": round(seconds, 1),
                "questions": [bench.measure(question, plan.tries) for question in all_questions],
                "page": bench.measure_page(plan.tries),
                "poll_cpu_ms": bench.measure_poll_cpu_ms(
                    all_questions[1], plan.pollers, plan.poll_seconds
                ),
            }
            if plan.dashboards:
                results[clicks]["dashboards"] = bench.measure_dashboards(
                    plan.dashboards, min(plan.tries, DASHBOARD_TRIES)
                )
        crossed_results: list[dict[str, Any]] = []
        failed_names: list[str] = []
        if plan.raw:
            progress(f"writing {plan.raw} raw clicks")
            clicks_per_day = plan.clicks / click_history.DAYS
            bench.write(plan.raw, partial(click_history.write_raw, clicks_per_day=clicks_per_day))
            now = datetime.now(UTC)
            tries = min(plan.tries, CROSSED_TRIES)
            for crossing in crossings(now, clicks_per_day, plan.raw):
                try:
                    crossed_results.append(bench.measure(crossing, tries))
                except BenchError as error:  # Keep the results so far: they took minutes.
                    progress(f"{crossing.name}: {error}")
                    failed_names.append(crossing.name)
    result = evaluate(plan, results)
    result["failures"] += [f"{name}: not answered" for name in failed_names]
    result["failures"] += [
        f"{crossing['name']}: p95 is {crossing['p95_ms']} ms"
        for crossing in crossed_results
        if crossing["p95_ms"] >= CROSSING_LIMIT_MS
    ]
    return result | {"raw_clicks": plan.raw, "crossings": crossed_results}


def evaluate(plan: StatsOptions, results: dict[int, dict[str, Any]]) -> dict[str, Any]:
    small, large = (results[clicks] for clicks in sorted(results))
    failures = []
    for before, after in zip(small["questions"], large["questions"], strict=True):
        after["ratio"] = round(after["p50_ms"] / before["p50_ms"], 2)
        if after["p95_ms"] >= P95_LIMIT_MS:
            failures.append(f"{after['name']}: p95 is {after['p95_ms']} ms")
        if after["ratio"] >= RATIO_LIMIT:
            failures.append(f"{after['name']}: {after['ratio']} times the p50 on a hundredth")
    page_ms = large["page"]["p95_ms"]
    if page_ms >= PAGE_LIMIT_MS:
        failures.append(f"a dashboard's page: p95 is {page_ms} ms")
    polls = [size["poll_cpu_ms"] for size in (small, large)]
    failures += [f"a poll takes {ms} ms of CPU" for ms in polls if ms >= POLL_LIMIT_MS]
    return {
        "benchmark": "stats",
        "clicks": plan.clicks,
        "history": plan.history,
        "poll_cpu_ms": large["poll_cpu_ms"],
        "p95_ms_max": max(row["p95_ms"] for row in large["questions"]),
        "ratio_max": max(row["ratio"] for row in large["questions"]),
        "sizes": {str(clicks): size for clicks, size in sorted(results.items())},
        "failures": failures,
        "machine": machine_here(),
    }


def machine_here() -> dict[str, Any]:
    return machine(Placement.here())


def table(result: dict[str, Any]) -> Table:
    machine_facts = result["machine"]
    grid = Table(
        title=f"Statistics of {result['clicks']:,} clicks of a year, "
        f"{HISTORIES[result['history']]}",
        caption=f"a poll answered 304: {result['poll_cpu_ms']} ms of CPU; {machine_facts['cpu']}, "
        f"{machine_facts['cores']} cores",
    )
    for title in ("question", "rows", "p50 ms", "p95 ms", "ratio", "console ms", "Postgres ms"):
        grid.add_column(title, justify="left" if title == "question" else "right")
    large = result["sizes"][str(result["clicks"])]
    for row in large["questions"]:
        grid.add_row(
            row["name"], str(row["rows"]), f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}",
            f"{row['ratio']:.2f}", f"{row['console_cpu_ms']:.1f}", f"{row['postgres_cpu_ms']:.1f}",
        )  # fmt: skip
    pages = [large[name] for name in ("page", "dashboards") if name in large]
    for row in (*pages, *result["crossings"]):
        grid.add_row(
            row["name"], str(row["rows"]), f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}", "",
            f"{row['console_cpu_ms']:.1f}", f"{row['postgres_cpu_ms']:.1f}",
        )  # fmt: skip
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    large = result["sizes"][str(result["clicks"])]
    groups = (
        ("Latency of questions, p95", large["questions"]),
        (
            "Latency of pages, p95",
            [large[name] for name in ("page", "dashboards") if name in large],
        ),
        ("Latency of crossed questions, p95", result["crossings"]),
    )
    answers = [
        figure
        for chart, rows in groups
        for row in rows
        for figure in stated(
            row,
            (
                Key("p95_ms", row["name"], "ms", "lower", chart),
                Key("p50_ms", f"{row['name']}, p50", "ms", "lower"),
                Key("postgres_cpu_ms", f"{row['name']}, Postgres' CPU time", "ms", "lower"),
                Key("console_cpu_ms", f"{row['name']}, console's CPU time", "ms", "lower"),
            ),
            prefix=f"{row['name']}/",
        )
    ]
    poll = Key("poll_cpu_ms", "console's CPU time for a poll answered 304", "ms", "lower")
    return answers + stated(result, (poll,))


@click.command(help="A dashboard's questions on a year of history, and polls answered 304.")
@click.option("--clicks", type=click.IntRange(10_000, 1_000_000_000), default=100_000_000,
              show_default=True, help="clicks of the year, written as counts")  # fmt: skip
@click.option("--raw", type=click.IntRange(0, 100_000_000), default=10_000_000, show_default=True,
              help="raw clicks, for questions that cross dimensions; 0: no such questions")  # fmt: skip
@click.option("--tries", type=click.IntRange(2, 10_000), default=100, show_default=True,
              help="requests for each question")  # fmt: skip
@click.option("--dashboards", type=click.IntRange(0, 64), default=8, show_default=True,
              help="callers that ask for a page at once; 0: none")  # fmt: skip
@click.option("--pollers", type=click.IntRange(1, 5000), default=500, show_default=True,
              help="connections that poll each second")  # fmt: skip
@click.option("--history", type=click.Choice(list(HISTORIES)), default="old", show_default=True,
              help="whose clicks they are")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "One caller asks at a time, of a database that fits into memory and whose history was "
    "written as counts, in order. What many profiles ask at once, or a cold cache, is not in "
    "it.",
    {"clicks": 1_000_000, "raw": 0, "tries": 3, "dashboards": 2, "pollers": 50},
)
def command(
    *, clicks: int, raw: int, tries: int, dashboards: int, pollers: int, history: str, as_json: bool
) -> int:
    plan = StatsOptions(clicks, tries, raw, dashboards, history, pollers, POLL_SECONDS)
    result = run(plan)
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
