"""The cost of a link's rules at an edge: `python -m bench rules`.

A profile actor in this process answers `visits` visits of varied browsers in alternating rounds: to a plain
link, to one with `rules` rules of which the last one is met, and to one with a time only. Exit code 1 if the
rules add 15 µs or more; `failures` says so.

| key | definition |
|---|---|
| `plain_us`, `rules_us`, `timed_us` | CPU time of a visit in the actor; the least of all rounds |
| `added_us` | `rules_us` - `plain_us` |
| `added_cold_us` | the same in a first round, in which user agents and places are met for the first time |
"""

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.table import Table

from actors.visits.click_ids import ClickIds
from actors.visits.click_quotas import ClickQuotas
from actors.visits.entrances import Entrances
from actors.visits.forms.password_checks import PasswordChecks
from actors.visits.link_gate import GateParts, LinkGate
from actors.visits.page_renders import PageRenders
from actors.visits.profile import ProfileActor, profile_actor
from api.visits.pages.visit_responses import visit_responses
from bench.kit.report import show
from bench.load import browsers
from bench.suite.options import finish, suite_options
from bench.suite.result import Figure, Key, stated
from engine.clicks.click import VisitorClass
from engine.clicks.record_items import PLACE, item
from engine.clicks.user_agent import load
from engine.links.options import LinkOptions
from engine.links.rules import LinkRule, RuleConditions
from engine.visits.place import pack_place
from engine.visits.pseudonym import Pseudonymiser
from engine.visits.request import ClientInfo, Visit, VisitRequest
from engine.visits.snapshot import EdgeLink, Snapshot

SEED: Final = 1
AT_US: Final = 1_772_000_000_000_000
MAX_ADDED_US: Final = 15.0
_CONDITIONS: Final = (
    {"country": ("JP", "KR")}, {"device": ("tv",)}, {"language": ("fi",)}, {"browser": ("Opera",)},
    {"os": ("Tizen",)}, {"ip": ("192.0.2.0/24",)}, {"city": ("Paris",)}, {"source": ("TikTok",)},
    {"query": {"ref": ("x",)}}, {"country": ("DE",), "device": ("tablet",)},
)  # fmt: skip


def rules(count: int) -> tuple[LinkRule, ...]:
    """Return rules of which a visit meets the last one only."""
    unmet = [
        LinkRule(
            when=RuleConditions(**_CONDITIONS[n % len(_CONDITIONS)]), target=f"https://{n}.example/"
        )
        for n in range(count - 1)
    ]
    last = LinkRule(when=RuleConditions(country=("DE",)), target="https://last.example/")
    return (*unmet, last)


def measure(count: int, visits: int, rounds: int) -> dict[str, Any]:
    """Return the times by key."""
    load()
    begins = LinkOptions(active_from=datetime(2026, 1, 1, tzinfo=UTC))
    actors = {
        "plain": _actor(None), "rules": _actor(LinkOptions(rules=rules(count))), "timed": _actor(begins)
    }  # fmt: skip
    requests = _visits(visits)
    times = [
        {name: _cost(actor, requests) for name, actor in actors.items()} for _ in range(rounds)
    ]
    best = {f"{name}_us": round(min(each[name] for each in times), 3) for name in actors}
    return best | {
        "runs": {
            **{f"{name}_us": [each[name] for each in times] for name in actors},
            "added_us": [each["rules"] - each["plain"] for each in times],
        },
        "added_us": round(best["rules_us"] - best["plain_us"], 3),
        "added_cold_us": round(times[0]["rules"] - times[0]["plain"], 3),
    }


def _cost(actor: ProfileActor, visits: Sequence[tuple[VisitRequest, ClientInfo]]) -> float:
    """Return the CPU time of a visit as the server makes it, in µs."""
    (route,) = actor.routes.values()
    pseudonymiser = Pseudonymiser(bytes(32))
    visit, gate = actor.visit, route.gate
    started = time.process_time_ns()
    for request, client in visits:
        if gate is None or _is_open(gate, request):
            visit(route, Visit(request, client, VisitorClass.HUMAN, AT_US, pseudonymiser))
    return (time.process_time_ns() - started) / 1000 / len(visits)


def _is_open(gate: LinkGate, request: VisitRequest) -> bool:
    return gate.closed(request, AT_US, VisitorClass.HUMAN) is None


def _visits(count: int) -> list[tuple[VisitRequest, ClientInfo]]:
    dice = random.Random(SEED)  # noqa: S311
    place = item(PLACE, pack_place("", "DE", "BE", "Berlin"))
    agents = [_agent(dice) for _ in range(min(count, 2_000))]
    return [
        (
            VisitRequest(
                b"/a", b"", dice.choice(agents), b"https://example.com/", b"de-DE,de;q=0.9", False, True,
                host=b"go.example",
            ),
            ClientInfo(b"\x04" + n.to_bytes(4, "big"), place, address=n.to_bytes(4, "big")),
        )
        for n in range(count)
    ]  # fmt: skip


def _agent(dice: random.Random) -> bytes:
    return next(h[12:] for h in browsers.headers(dice) if h.startswith("User-Agent: ")).encode()


def _actor(options: LinkOptions | None) -> ProfileActor:
    link = EdgeLink(1, "a", "https://plain.example/", 302, False, True, False, options)
    snapshot = Snapshot(
        tenant_id=1, profile_id=2, handle="lab", title="", version=1, complete=True, links=(link,), page=(),
    )  # fmt: skip
    responses = visit_responses("http://links.example")
    actor = profile_actor(
        snapshot,
        responses,
        ClickIds(),
        Entrances(),
        GateParts(ClickQuotas(), PasswordChecks()),
        PageRenders(),
        _no_refresh,
    )
    actor.add(snapshot.links)
    return actor


async def _no_refresh(actor: ProfileActor, version: int) -> None:
    raise NotImplementedError


def measurements(result: dict[str, Any]) -> list[Figure]:
    chart = "CPU time of a visit in the profile actor"
    return stated(
        result,
        (
            Key("plain_us", "plain link", "µs", "lower", chart),
            Key("timed_us", "link with a time", "µs", "lower", chart),
            Key("rules_us", f"link with {result['rules']} rules", "µs", "lower", chart),
            Key("added_us", "added by the rules", "µs", "lower"),
            Key("added_cold_us", "added by the rules, first round", "µs", "lower"),
        ),
    )


@click.command
@click.option("--rules", "count", default=20, show_default=True, type=click.IntRange(1, 50))
@click.option("--visits", default=20_000, show_default=True, type=click.IntRange(1_000, 10**6))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--json", "as_json", is_flag=True, help="one JSON object as the last line")
@suite_options(
    "Only the actor, in one process: no socket, head, journal or answer. Rules that are met early cost less.",
    {"visits": 2_000, "rounds": 3},
)
def command(count: int, visits: int, rounds: int, as_json: bool) -> int:
    """Measure what a link's rules add to a visit."""
    result: dict[str, Any] = {"benchmark": "rules", "rules": count}
    result |= measure(count, visits, rounds)
    added = result["added_us"]
    result["failures"] = (
        []
        if added < MAX_ADDED_US
        else [f"{count} rules add {added} µs, not under {MAX_ADDED_US:g}"]
    )
    grid = Table(box=None, show_header=False, title="Rules")
    for name in ("plain_us", "timed_us", "rules_us", "added_us", "added_cold_us"):
        grid.add_row(name, f"{result[name]:.2f}")
    show(grid)
    return finish(result, result["failures"], measurements, as_json=as_json)
