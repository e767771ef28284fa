"""`/v1/profiles/{id}/goals`, and how many visitors reach them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.clicks.click import Click, ClickKind
from engine.clicks.own_event import event_items
from engine.stats.query import StatsQuery
from engine.stats.result import Stats
from storage.stats.memory_stats import answered
from tests.kit.consoles import NOW, Console
from tests.kit.shipped_batches import click

SIGNUP = {"name": "Sign-ups", "event": "signup"}


class Counted:
    """A console with two links whose statistics count `clicks` by hand."""

    def __init__(self) -> None:
        self.console = Console()
        self.clicks: list[Click] = []
        self.path = self.link = self.other_link = ""

    async def opened(self) -> "Counted":
        profile = await self.console.profile()
        self.path = f"/v1/profiles/{profile['id']}"
        self.link = (await self.console.link(profile["id"], "spring"))["id"]
        stranger = await self.console.profile("berta")
        self.other_link = (await self.console.link(stranger["id"], "spring"))["id"]

        async def stats(tenant_id: int, profile_id: int, query: StatsQuery) -> Stats:
            return answered(self.clicks, query, NOW)

        self.console.stats.stats = stats  # type: ignore[method-assign]
        return self

    def add(self, visitor: int, kind: ClickKind, at: datetime = NOW, event: bytes = b"") -> None:
        link = int(self.link) if kind is ClickKind.CLICK else 0
        added = click(link, round(at.timestamp() * 1e6), kind=kind)
        self.clicks.append(
            added._replace(visitor_id=visitor.to_bytes(8, "big"), items=event_items(event))
        )

    async def call(self, method: str, path: str, body: Any = None, **fields: str) -> Any:
        return await self.console.call(method, self.path + path, body, **fields)


async def counted() -> Counted:
    return await Counted().opened()


async def test_a_goal_is_made_read_changed_and_deleted() -> None:
    world = await counted()
    made = await world.call("POST", "/goals", SIGNUP | {"property": "plan=pro"})
    assert made.status == 201, made.body
    goal = made.json
    assert (goal["event"], goal["property"], goal["link"]) == ("signup", "plan=pro", "")
    one = f"/goals/{goal['id']}"
    assert (await world.call("GET", "/goals")).json["items"] == [goal]
    changed = await world.call("PATCH", one, {"property": ""}, If_Match='"1"')
    assert (changed.json["property"], changed.json["version"]) == ("", 2)
    of_link = {"event": "", "link": world.link}
    assert (await world.call("PATCH", one, of_link)).json["link"] == world.link
    assert (await world.call("DELETE", one)).status == 204
    (await world.call("GET", one)).problem(404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"event": ""}, "event"),
        ({"event": "x" * 41}, "event"),
        ({"event": " signup"}, "event"),
        ({"event": "a\u2028b"}, "event"),
        ({"property": "plan"}, "property"),
        ({"property": "a b=c"}, "property"),
        ({"property": "plan=" + "x" * 121}, "property"),
        ({"property": "plan= pro"}, "property"),
        ({"link": "1.5"}, "link"),
        ({"value": 1}, "value"),
    ],
)
async def test_a_bad_goal_names_its_field(change: dict[str, Any], field: str) -> None:
    world = await counted()
    assert field in (await world.call("POST", "/goals", SIGNUP | change)).problem(422)


async def test_a_goal_is_of_a_link_of_the_profile_or_of_an_event() -> None:
    world = await counted()
    for link in (world.other_link, "7", "9" * 19):
        draft = {"name": "x", "link": link}
        assert "link" in (await world.call("POST", "/goals", draft)).problem(422)
    both = SIGNUP | {"link": world.link}
    assert "event" in (await world.call("POST", "/goals", both)).problem(422)
    of_link = {"name": "x", "link": world.link, "property": "plan=pro"}
    assert "property" in (await world.call("POST", "/goals", of_link)).problem(422)


async def test_results_count_the_visitors_who_reach_each_goal() -> None:
    world = await counted()
    for draft in (
        SIGNUP,
        SIGNUP | {"property": "plan=pro"},
        {"name": "Spring", "link": world.link},
    ):
        assert (await world.call("POST", "/goals", draft)).status == 201
    earlier = datetime(2026, 4, 20, tzinfo=UTC)
    for visitor in (1, 2, 3, 4):
        world.add(visitor, ClickKind.VIEW)
    world.add(1, ClickKind.CLICK)
    world.add(1, ClickKind.CLICK)
    world.add(2, ClickKind.EVENT, event=b"signup\x1fplan=pro")
    world.add(3, ClickKind.EVENT, event=b"signup\x1fplan=free")
    world.add(3, ClickKind.EVENT, event=b"signup\x1fplan=free")
    world.add(9, ClickKind.EVENT, event=b"other")
    world.add(5, ClickKind.VIEW, earlier)
    world.add(5, ClickKind.EVENT, earlier, b"signup")
    period = f"from={NOW:%Y-%m-%d}&to={NOW:%Y-%m-%d}T23:45:00Z"
    answer = (
        await world.call("GET", f"/goal-results?{period}&compare=2026-04-20..2026-04-21")
    ).json
    assert (answer["visitors"], answer["previous"]["visitors"]) == (4, 1)
    assert answer["previous"]["compare"] == "period"
    signup, pro, spring = answer["goals"]
    assert (signup["reached"], signup["times"], signup["rate"]) == (2, 3, 0.5)
    assert (pro["reached"], pro["times"], pro["rate"]) == (1, 1, 0.25)
    assert (spring["reached"], spring["times"], spring["rate"]) == (1, 2, 0.25)
    assert signup["previous"] == {"reached": 1, "times": 1, "rate": 1.0}
    assert pro["previous"]["rate"] == spring["previous"]["rate"] == 0.0
    nobody = (await world.call("GET", f"/goal-results?{period}&filter[country]=IT")).json
    assert {goal["rate"] for goal in nobody["goals"]} == {None}
    assert "previous" not in nobody


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group=country", "group"),
        ("metrics=clicks", "metrics"),
        ("filter[event]=a", "filter[event]"),
        ("filter[link]!=5", "filter[link]!"),
        ("filter[variant]=1.1.1", "filter[variant]"),
        ("filter[country]=Germany", "filter[country]"),
        ("period=8x", "period"),
        ("from=2026-05-02&to=2026-05-01", "from"),
    ],
)
async def test_bad_parameters_of_results_are_named(query: str, field: str) -> None:
    world = await counted()
    await world.call("POST", "/goals", SIGNUP)
    assert field in (await world.call("GET", f"/goal-results?{query}")).problem(422)


async def test_a_profile_has_twenty_goals_and_strangers_see_none() -> None:
    world = await counted()
    for number in range(20):
        assert (await world.call("POST", "/goals", SIGNUP | {"name": str(number)})).status == 201
    (await world.call("POST", "/goals", SIGNUP)).problem(409)
    assert len((await world.call("GET", "/goal-results?period=7d")).json["goals"]) == 20
    for method, path in (("GET", "/goals"), ("GET", "/goal-results"), ("POST", "/goals")):
        answer = await world.console.call(method, world.path + path, SIGNUP, key="two")
        answer.problem(404)
