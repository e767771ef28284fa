"""What a dashboard asks, on a year of history: `python -m bench stats`.

A whole `waypost up` with one profile of 200 links, whose history is written straight into the tables
(bench/kit/click_history.py, which says what is left out), today's live counts included: first of a hundredth of
`clicks`, then of all. One caller asks over HTTP, one question after the other.

| key | definition |
|---|---|
| `p50_ms`, `p95_ms` | through the API, by question, as the caller waits |
| `min_ms` | the fastest: what a machine that does something else besides says least wrongly |
| `console_cpu_ms`, `postgres_cpu_ms` | CPU time of the console's process, and of Postgres', for one question |
| `ratio` | the median of the API on all clicks by that on a hundredth |
| `crossings` | questions that cross two dimensions, counted from raw clicks; no target holds for them |
| `poll_cpu_ms` | CPU time of the console's process for one poll that is answered 304 |

Exit code 1 if a question's p95 is not below 50 ms, a ratio not below 2, or a poll not below 2 ms; `failures`
says which.
"""  # the table is read as it stands

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import asyncpg
import click
import uvloop
from rich.table import Table

from bench.kit import click_history
from bench.kit.errors import BenchError
from bench.kit.link_set import SampleLink
from bench.kit.machine import machine
from bench.kit.report import progress, show, write_json
from bench.load.crashable_engine import CrashableEngine
from bench.load.processes import Placement, cpu_s

LINKS: Final = 200
P95_LIMIT_MS: Final = 50.0
RATIO_LIMIT: Final = 2.0
POLL_LIMIT_MS: Final = 2.0
HUNDREDTH: Final = 100
CROSSED_TRIES: Final = 20  # each takes many times as long


class Question(NamedTuple):
    name: str
    parameters: dict[str, str]


def questions(today: date) -> list[Question]:
    year = {"from": str(today - timedelta(days=364)), "to": str(today + timedelta(days=1))}
    month = {"from": str(today - timedelta(days=29)), "to": str(today + timedelta(days=1))}
    week = {"from": str(today - timedelta(days=6)), "to": str(today + timedelta(days=1))}
    rome = {"tz": "Europe/Rome"}
    return [
        Question("totals of a year", year | {"group": "trigger"}),
        Question("a year by day", year),
        Question("a year by day in Rome", year | rome),
        Question("a month by day in Rome", month | rome),
        Question("a week by hour in Rome", week | rome | {"interval": "hour"}),
        Question("a year by month in Kathmandu", year | {"tz": "Asia/Kathmandu", "interval": "month"}),
        Question("top links of a year", year | {"group": "link", "limit": "10"}),
        Question("top countries of a year in Rome", year | rome | {"group": "country", "limit": "10"}),
        Question("top cities of a month in Rome", month | rome | {"group": "city", "limit": "10"}),
        Question("top referrers of a year in Rome", year | rome | {"group": "referrer", "limit": "10"}),
        Question("devices of a month in Rome", month | rome | {"group": "device"}),
        Question("sources of a year in Rome", year | rome | {"group": "source"}),
        Question("a month by day in Rome, of a country", month | rome | {"filter[country]": "AB"}),
        Question("a month by day in Rome and source", month | rome | {"group": "time,source"}),
        Question("a year by week in Rome and source",
                 year | rome | {"group": "time,source", "interval": "week"}),
        Question("a month by day in Rome, and the one before", month | rome | {"compare": "previous"}),
        Question("referrers that contain a text, of a month",
                 month | {"group": "referrer", "filter[referrer]~": "er 1", "limit": "10"}),
        Question("countries of one link, of a month in Rome",
                 month | rome | {"group": "country", "link": "LINK", "limit": "10"}),
    ]  # fmt: skip


def crossings(now: datetime, a_day: float, raw: int) -> list[Question]:
    """Questions that raw clicks answer, in periods that have about so many of them; the last days of the
    history have more than its mean, and there is a bound."""
    found = []
    for clicks in (10_000, 50_000, 100_000):
        if clicks < raw:
            start = now - timedelta(days=clicks / a_day)
            period = {"from": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "metrics": "clicks,visitors"}
            crossed = period | {"group": "country,device"}
            filtered = period | {"group": "browser", "filter[country]": "AA"}
            found.append(Question(f"countries and devices of {clicks} clicks", crossed))
            found.append(Question(f"browsers in a country, of {clicks} clicks", filtered))
    return found


class StatsOptions(NamedTuple):
    """`tries` of each question."""

    clicks: int
    tries: int
    raw: int = 0


class StatsQuestions:
    """One engine and its profile."""

    def __init__(self, engine: CrashableEngine) -> None:
        self.engine = engine
        engine.fill(
            [
                SampleLink("history", f"link-{n:03}", f"https://www.example.org/{n}", "")
                for n in range(LINKS)
            ]
        )
        (self.profile_id,) = engine.profile_ids()
        listed = engine.console.get(f"/v1/profiles/{self.profile_id}/links?limit=1")
        self.link_id = listed["items"][0]["id"]
        (self.console,) = engine.living("api")

    def write(self, clicks: int, writer: Callable[..., Any] = click_history.write) -> float:
        """Write the history, or raw clicks; the seconds that it took."""
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

    def ask(self, question: Question, tries: int) -> dict[str, Any]:
        path = self.path(question)
        answer = self.engine.console.get(path)
        if not answer["rows"]:
            raise BenchError(f"{question.name}: there is nothing to be counted")
        console, postgres = self._cpu_s()
        found = timed(lambda: self.engine.console.get(path), tries)
        console_after, postgres_after = self._cpu_s()
        return {
            "name": question.name,
            "rows": len(answer["rows"]),
            "console_cpu_ms": round((console_after - console) * 1000 / tries, 2),
            "postgres_cpu_ms": round((postgres_after - postgres) * 1000 / tries, 2),
            "min_ms": round(found[0], 2),
            "p50_ms": percentile(found, 0.5),
            "p95_ms": percentile(found, 0.95),
        }

    def _cpu_s(self) -> tuple[float, float]:
        """CPU seconds so far of the console, and of Postgres."""
        return cpu_s(self.console), sum(map(cpu_s, self.engine.postgres_processes()))

    def poll(self, question: Question, polls: int) -> float:
        """CPU of the console for one poll that finds nothing new, in ms."""
        path = self.path(question)
        _, tag = self.engine.console.tagged(path)
        before = cpu_s(self.console)
        for _ in range(polls):
            status, _ = self.engine.console.tagged(path, tag)
            if status != 304:
                raise BenchError(f"a poll was answered {status}")
        return round((cpu_s(self.console) - before) * 1000 / polls, 3)


def timed(call: Callable[[], Any], tries: int) -> list[float]:
    """How long each call takes, in ms, ascending."""
    found = []
    for _ in range(tries):
        started = time.perf_counter()
        call()
        found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


def percentile(ascending: list[float], part: float) -> float:
    return round(ascending[min(len(ascending) - 1, int(len(ascending) * part))], 2)


def run(plan: StatsOptions) -> dict[str, Any]:
    sizes = (max(1, plan.clicks // HUNDREDTH), plan.clicks)
    asked = questions(datetime.now(UTC).date())
    found: dict[int, dict[str, Any]] = {}
    with CrashableEngine() as engine:
        asking = StatsQuestions(engine)
        for clicks in sizes:
            progress(f"writing {clicks} clicks")
            seconds = asking.write(clicks)
            progress(f"asking, after {seconds:.0f} s of writing")
            found[clicks] = {
                "write_s": round(seconds, 1),
                "questions": [asking.ask(question, plan.tries) for question in asked],
                "poll_cpu_ms": asking.poll(asked[1], 20 * plan.tries),
            }
        crossed: list[dict[str, Any]] = []
        refused: list[str] = []
        if plan.raw:
            progress(f"writing {plan.raw} raw clicks")
            a_day = plan.clicks / click_history.DAYS
            asking.write(plan.raw, partial(click_history.write_raw, a_day=a_day))
            now = datetime.now(UTC)
            tries = min(plan.tries, CROSSED_TRIES)
            for one in crossings(now, a_day, plan.raw):
                try:
                    crossed.append(asking.ask(one, tries))
                except BenchError as error:  # the rest has taken minutes to find out
                    progress(f"{one.name}: {error}")
                    refused.append(one.name)
    result = judged(plan, found)
    result["failures"] += [f"{name}: was not answered" for name in refused]
    return result | {"raw_clicks": plan.raw, "crossings": crossed}


def judged(plan: StatsOptions, found: dict[int, dict[str, Any]]) -> dict[str, Any]:
    small, large = (found[clicks] for clicks in sorted(found))
    failures = []
    for before, after in zip(small["questions"], large["questions"], strict=True):
        after["ratio"] = round(after["p50_ms"] / before["p50_ms"], 2)
        if after["p95_ms"] >= P95_LIMIT_MS:
            failures.append(f"{after['name']}: p95 is {after['p95_ms']} ms")
        if after["ratio"] >= RATIO_LIMIT:
            failures.append(f"{after['name']}: {after['ratio']} times that of a hundredth")
    polls = [one["poll_cpu_ms"] for one in (small, large)]
    failures += [f"a poll takes {ms} ms of CPU" for ms in polls if ms >= POLL_LIMIT_MS]
    return {
        "benchmark": "stats",
        "clicks": plan.clicks,
        "poll_cpu_ms": large["poll_cpu_ms"],
        "p95_ms_max": max(one["p95_ms"] for one in large["questions"]),
        "ratio_max": max(one["ratio"] for one in large["questions"]),
        "sizes": {str(clicks): one for clicks, one in sorted(found.items())},
        "failures": failures,
        "machine": about(),
    }


def about() -> dict[str, Any]:
    return machine(Placement.here())


def table(result: dict[str, Any]) -> Table:
    on = result["machine"]
    shown = Table(
        title=f"Statistics of {result['clicks']:,} clicks of a year, {LINKS} links",
        caption=f"a poll with nothing new: {result['poll_cpu_ms']} ms of CPU; {on['cpu']}, "
        f"{on['cores']} cores",
    )
    for title in ("question", "rows", "p50 ms", "p95 ms", "ratio", "console ms", "Postgres ms"):
        shown.add_column(title, justify="left" if title == "question" else "right")
    for one in result["sizes"][str(result["clicks"])]["questions"]:
        shown.add_row(
            one["name"], str(one["rows"]), f"{one['p50_ms']:.1f}", f"{one['p95_ms']:.1f}",
            f"{one['ratio']:.2f}", f"{one['console_cpu_ms']:.1f}", f"{one['postgres_cpu_ms']:.1f}",
        )  # fmt: skip
    for one in result["crossings"]:
        shown.add_row(
            one["name"], str(one["rows"]), f"{one['p50_ms']:.1f}", f"{one['p95_ms']:.1f}", "",
            f"{one['console_cpu_ms']:.1f}", f"{one['postgres_cpu_ms']:.1f}",
        )  # fmt: skip
    return shown


@click.command(help="What a dashboard asks, on a year of history; polls that find nothing new.")
@click.option("--clicks", type=click.IntRange(10_000, 1_000_000_000), default=100_000_000,
              show_default=True, help="clicks of the year, as sums")  # fmt: skip
@click.option("--raw", type=click.IntRange(0, 100_000_000), default=10_000_000, show_default=True,
              help="raw clicks, of which crossings are counted")  # fmt: skip
@click.option("--tries", type=click.IntRange(2, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
def command(clicks: int, raw: int, tries: int, as_json: bool) -> int:
    result = run(StatsOptions(clicks, tries, raw))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    if as_json:
        write_json(result)
    return 1 if result["failures"] else 0
