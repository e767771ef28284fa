"""Open overviews of a quiet engine: `python -m bench dashboards`.

As many browsers as `--overviews` have the overview of a whole `waypost up` open, six of each person: a
stream of live clicks, the figures every 10 s and what needs the team every two minutes, with the entity tags of
the answers before. Nobody clicks meanwhile, so nothing is new.

| key | definition |
|---|---|
| `console_cores` | CPU seconds of the console for each second |
| `postgres_cores` | CPU seconds of Postgres for each second |
| `poll_cpu_ms` | CPU time of the console for each answer, its part of the streams included |
| `answers` | answers by request and status |
| `refusals` | details of the answers of 400 and above, and how often each came |
| `streams` | streams that are open at the end |

Exit code 1 if the console takes half a core or more, if a poll was answered otherwise than by 304 or 200 (a
quarter of an hour that begins makes all figures new), or if fewer than 9 of 10 were 304; `failures` says which.
"""

import time
import zlib
from functools import partial
from typing import Any, Final, NamedTuple

import click
import httpx
import trio
from rich.table import Table

from bench.kit.link_set import SampleLink
from bench.kit.overviews import OPENING_S, STATS_S, Overviews, Reader
from bench.kit.report import progress, show
from bench.load.crashable_engine import CrashableEngine
from bench.load.processes import Placement, cpu_s, cpu_s_of
from bench.suite.machine import machine
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated

CORES_LIMIT: Final = 0.5
NEW_LIMIT: Final = 0.1  # of the polls may have something new
OF_A_PERSON: Final = 6
OF_A_PROFILE: Final = 8  # people besides its owner
LINKS: Final = 20
PASSWORD: Final = "a long sentence is best"  # noqa: S105  # of an engine that ends with this process
# So that each browser has an address of its own, as it has in life.
SETTINGS: Final = {"WAYPOST_TRUSTED_HOPS": "1", "WAYPOST_CHECK_LINKS": "off"}


class DashboardsOptions(NamedTuple):
    overviews: int
    seconds: float


def people(engine: CrashableEngine, count: int) -> list[Reader]:
    """Make `count` people in teams, each team with a profile of a tenant of its own."""
    readers: list[Reader] = []
    key = {"Authorization": f"Bearer {engine.api_key}"}
    with httpx.Client(base_url=engine.console_url, timeout=30) as client:
        first = made(client, "/v1/profiles", {"handle": "meeting"}, key)
        while len(readers) < count:
            # Whoever founds a team has come by an invitation to the first profile.
            founder = joined(client, first["id"], key, f"founder{len(readers)}@example.com")
            member = founder.fields()
            profile = made(client, "/v1/profiles", {"handle": f"team{len(readers)}"}, member)
            path = f"/v1/profiles/{profile['id']}"
            for number in range(LINKS):
                link = {"slug": f"link-{number}", "target": f"https://example.com/{number}"}
                made(client, f"{path}/links", link, member)
                httpx.get(f"{engine.visitors_url}/{profile['handle']}/link-{number}")
            for _ in range(min(OF_A_PROFILE, count - len(readers))):
                email = f"p{len(readers)}@example.com"
                readers.append(joined(client, profile["id"], member, email))
            client.delete(f"/v1/profiles/{first['id']}/members/{founder.user_id}", headers=key)
    return readers


def team_links(count: int) -> list[SampleLink]:
    """Return the links of the profiles that people() makes for `count` people."""
    return [
        SampleLink(f"team{first}", f"link-{number}", f"https://example.com/{number}", "")
        for first in range(0, count, OF_A_PROFILE)
        for number in range(LINKS)
    ]


def made(client: httpx.Client, path: str, body: dict[str, Any], fields: dict[str, str]) -> Any:
    """Send a POST without the client's cookies. Returns its answer."""
    client.cookies.clear()
    return client.post(path, json=body, headers=fields).raise_for_status().json()


def joined(client: httpx.Client, profile_id: str, member: dict[str, str], email: str) -> Reader:
    """Let a member invite somebody to a profile, who joins. Returns their session."""
    path = f"/v1/profiles/{profile_id}/invitations"
    token = made(client, path, {"email": email, "role": "admin"}, member)["token"]
    # Accounts are made by passwords, whose tries are limited by address.
    number = zlib.crc32(email.encode())
    address = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
    body = {"token": token, "password": PASSWORD}
    answer = made(client, "/v1/invitations/accept", body, address)
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    client.cookies.clear()
    return Reader(cookie, answer["csrf_token"], profile_id, answer["user"]["id"])


async def measured(
    engine: CrashableEngine, readers: list[Reader], seconds: float
) -> dict[str, Any]:
    """Return the figures of overviews that have all been open for an interval of polls."""
    overviews = Overviews(engine.console_url, readers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(overviews.run)
        await trio.sleep(OPENING_S + STATS_S)
        (console,) = engine.role_pids("api")
        overviews.answers.clear()
        overviews.refusals.clear()
        before, postgres_before = cpu_s(console), cpu_s_of(engine.postgres_processes())
        started = time.monotonic()
        await trio.sleep(seconds)
        took = time.monotonic() - started
        console_s = cpu_s(console) - before
        postgres_s = cpu_s_of(engine.postgres_processes()) - postgres_before
        counts, streams = sorted(overviews.answers.items()), overviews.streams
        nursery.cancel_scope.cancel()
    answers = {f"{name} {status}": count for (name, status), count in counts}
    return {
        "console_cores": round(console_s / took, 3),
        "postgres_cores": round(postgres_s / took, 3),
        "poll_cpu_ms": round(1000 * console_s / max(1, sum(answers.values())), 2),
        "answers": answers,
        "refusals": dict(overviews.refusals),
        "streams": streams,
    }


def run(plan: DashboardsOptions) -> dict[str, Any]:
    with CrashableEngine(settings=SETTINGS) as engine:
        progress("making teams")
        team = people(engine, -(-plan.overviews // OF_A_PERSON))
        readers = [reader for reader in team for _ in range(OF_A_PERSON)][: plan.overviews]
        engine.settle()
        progress(f"opening {plan.overviews} overviews")
        measurement = trio.run(partial(measured, engine, readers, plan.seconds))
    return evaluate(plan, measurement)


def evaluate(plan: DashboardsOptions, measurement: dict[str, Any]) -> dict[str, Any]:
    failures = []
    if measurement["console_cores"] >= CORES_LIMIT:
        failures.append(f"the console takes {measurement['console_cores']} of a core")
    polls = {
        key: count for key, count in measurement["answers"].items() if not key.startswith("live")
    }
    refused = {key: count for key, count in polls.items() if key[-3:] not in ("200", "304")}
    if refused:
        failures.append(f"polls were not answered: {refused}, {measurement['refusals']}")
    new = sum(count for key, count in polls.items() if key.endswith("200"))
    if new > NEW_LIMIT * max(1, sum(polls.values())):
        failures.append(f"{new} polls had something new")
    if measurement["streams"] < plan.overviews:
        failures.append(f"only {measurement['streams']} streams are open")
    return {
        "benchmark": "dashboards", **plan._asdict(), **measurement, "failures": failures,
        "machine": machine_here(),
    }  # fmt: skip


def machine_here() -> dict[str, Any]:
    return machine(Placement.here())


def table(result: dict[str, Any]) -> Table:
    grid = Table(title=f"{result['overviews']} open overviews of a quiet engine", show_header=False)
    for name in ("console_cores", "postgres_cores", "poll_cpu_ms", "streams"):
        grid.add_row(name, str(result[name]))
    for name, count in result["answers"].items():
        grid.add_row(name, str(count))
    return grid


def measurements(result: dict[str, Any]) -> list[Figure]:
    cores = "Cores for the open overviews"
    return stated(
        result,
        (
            Key("console_cores", "console", "cores", "lower", cores),
            Key("postgres_cores", "Postgres", "cores", "lower", cores),
            Key("poll_cpu_ms", "console's CPU time for an answer", "ms", "lower"),
        ),
    )


@click.command(help="Overviews of the dashboard that are open on a quiet engine.")
@click.option("--overviews", type=click.IntRange(1, 500), default=500, show_default=True)
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60.0, show_default=True,
              help="time that is measured, once all are open")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Nobody clicks meanwhile, so no poll has anything new and no stream has anything to tell. "
    "The time that browsers take to draw is not in it.",
    {"overviews": 20, "seconds": 5.0},
)
def command(*, overviews: int, seconds: float, as_json: bool) -> int:
    result = run(DashboardsOptions(overviews, seconds))
    show(table(result))
    for failure in result["failures"]:
        print(f"FAILED: {failure}")
    return finish(result, result["failures"], measurements, as_json=as_json)
