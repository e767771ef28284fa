"""Events that servers report over the API: what is taken, what is refused, and who may."""

from typing import Any

import pytest

from api.visits.events import ACCESS_S
from engine.accounts.access import Caller
from engine.clicks.own_event import MARK
from engine.visits.page_variant import PageVariant
from tests.kit.consoles import Console

pytestmark = pytest.mark.usefixtures("autojump_clock")

VIEW = {"id": "a", "type": "view", "address": "203.0.113.9"}
EVENT = {"id": "d", "event": "signup", "address": "203.0.113.9"}
CLICK = {"id": "b", "type": "click", "slug": "Spring", "address": "::ffff:203.0.113.9"}


async def opened() -> tuple[Console, str]:
    console = Console()
    profile = await console.profile()
    await console.link(profile["id"], "spring")
    return console, f"/v1/profiles/{profile['id']}/events"


async def test_events_are_handed_to_an_edge_and_each_has_an_outcome() -> None:
    console, path = await opened()
    more = {
        "user_agent": "Mozilla/5.0 é", "language": "de", "url": "https://ada.example/?utm_source=ig",
        "referrer": "https://l.instagram.com/",
    }  # fmt: skip
    console.hits.unknown.add(b"/anna/none")
    gone = CLICK | {"id": "c", "slug": "none"}
    answer = await console.call("POST", path, {"events": [VIEW | more, CLICK, gone]})
    assert answer.status == 200
    assert answer.json == {
        "results": [
            {"id": "a", "outcome": "recorded"},
            {"id": "b", "outcome": "recorded"},
            {"id": "c", "outcome": "unknown"},
        ]
    }
    view, click = console.hits.recorded.values()
    assert (view.path, click.path) == (b"/@anna", b"/~anna/Spring")
    assert view.address == click.address == "203.0.113.9"
    assert view.user_agent == "Mozilla/5.0 é".encode()
    assert (view.url, view.referrer) == (more["url"].encode(), more["referrer"].encode())
    again = await console.call("POST", path, {"events": [VIEW]})
    assert again.json["results"] == [{"id": "a", "outcome": "duplicate"}]


async def test_own_events_have_names_and_properties() -> None:
    console, path = await opened()
    properties = {"plan": "pro", "seats": 3, "trial": True, "price": 9.5}
    of_link = EVENT | {"id": "e", "type": "event", "slug": "Spring"}
    answer = await console.call(
        "POST", path, {"events": [EVENT | {"properties": properties}, of_link]}
    )
    assert [result["outcome"] for result in answer.json["results"]] == ["recorded", "recorded"]
    signup, link = console.hits.recorded.values()
    assert (signup.path, link.path) == (b"/@anna", b"/~anna/Spring")
    text = MARK.join(("signup", "plan=pro", "price=9.5", "seats=3", "trial=true"))
    assert (signup.event, link.event) == (text.encode(), b"signup")


async def test_events_in_experiments_are_answered_with_variants_and_targets() -> None:
    console, path = await opened()
    variant = PageVariant(
        experiment_id="81", variant="bold", ref="81-1-1", link_id="7", block_id=None, title="Now",
        picture_url=None, position=0, style=None,
    )  # fmt: skip
    console.hits.variants, console.hits.target = (variant,), "https://a.example/?wp_click=x"
    part = {"experiments": True}
    shown = VIEW | part | {"id": "s", "shows": ["7", "hero-1"]}
    console.hits.unknown.add(b"/anna/none")
    gone = CLICK | part | {"id": "g", "slug": "none"}
    events = [VIEW | part, shown, CLICK | part, gone, EVENT, VIEW | {"id": "plain"}]
    answer = await console.call("POST", path, {"events": events})
    view, of_shown, click, unknown, event, plain = answer.json["results"]
    assert view == {
        "id": "a", "outcome": "recorded",
        "variants": [{
            "experiment_id": "81", "variant": "bold", "ref": "81-1-1", "link_id": "7", "block_id": None,
            "title": "Now", "picture_url": None, "position": 0, "style": None,
        }],
    }  # fmt: skip
    assert of_shown["variants"] == view["variants"]
    assert click == {
        "id": "b",
        "outcome": "recorded",
        "target": "https://a.example/?wp_click=x",
    }
    assert unknown == {"id": "g", "outcome": "unknown"}
    assert [each.keys() for each in (event, plain)] == [{"id", "outcome"}] * 2
    hits = list(console.hits.recorded.values())
    assert [hit.experiments for hit in hits] == [True, True, True, False, False]
    assert [hit.shows for hit in hits[:3]] == [None, {"7", "hero-1"}, None]
    console.hits.target = None
    again = await console.call("POST", path, {"events": [CLICK | part]})
    assert again.json["results"] == [{"id": "b", "outcome": "duplicate", "target": None}]


async def test_a_request_has_few_events_in_experiments() -> None:
    console, path = await opened()
    views = [VIEW | {"id": str(n), "experiments": n < 10} for n in range(100)]
    assert (await console.call("POST", path, {"events": views})).status == 200
    views[10]["experiments"] = True
    assert "events" in (await console.call("POST", path, {"events": views})).problem(422)


async def test_client_hints_are_read_as_those_of_a_visitor() -> None:
    console, path = await opened()
    hints = {
        "user_agent": " Mozilla/5.0 (X11; Linux x86_64) Chrome/141.0.0.0 Safari/537.36 ",
        "sec_ch_ua": '"Brave";v="141", "Chromium";v="141"',
        "sec_ch_ua_platform": '"Android"', "sec_ch_ua_mobile": "?1",
    }  # fmt: skip
    await console.call("POST", path, {"events": [VIEW | hints]})
    (hit,) = console.hits.recorded.values()
    assert hit.user_agent.endswith(b"Safari/537.36 Sec-CH-UA (Brave; Android; Mobile)")
    assert hit.user_agent.startswith(b"Mozilla")


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (EVENT | {"experiments": True}, "experiments"),
        (VIEW | {"experiments": "yes"}, "experiments"),
        (VIEW | {"shows": ["7"]}, "shows"),
        (CLICK | {"experiments": True, "shows": ["7"]}, "shows"),
        (VIEW | {"experiments": True, "shows": "7"}, "shows"),
        (VIEW | {"experiments": True, "shows": [7]}, "shows"),
        (VIEW | {"experiments": True, "shows": [""]}, "shows"),
        (VIEW | {"experiments": True, "shows": ["7"] * 501}, "shows"),
        (VIEW | {"sec_ch_ua": "x" * 256}, "sec_ch_ua"),
        (VIEW | {"sec_ch_ua_platform": "\n"}, "sec_ch_ua_platform"),
        (VIEW | {"variant": "bold"}, "variant"),
    ],
)
async def test_a_bad_event_in_an_experiment_names_its_field(
    event: dict[str, Any], field: str
) -> None:
    console, path = await opened()
    answer = await console.call("POST", path, {"events": [event]})
    assert answer.problem(422).keys() == {f"events[0].{field}"}
    assert console.hits.recorded == {}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"event": "x" * 41}, "event"),
        ({"type": "event", "event": ""}, "event"),
        ({"type": "event", "event": " "}, "event"),
        ({"event": "a\u202eb"}, "event"),
        ({"event": 7}, "event"),
        ({"type": "view"}, "event"),
        ({"type": "view", "event": "", "properties": {"a": "b"}}, "properties"),
        ({"properties": {f"p{n}": n for n in range(11)}}, "properties"),
        ({"properties": {"a b": "c"}}, "properties"),
        ({"properties": {"a" * 41: "c"}}, "properties"),
        ({"properties": {"plan": None}}, "properties"),
        ({"properties": ["plan"]}, "properties"),
        ({"properties": {"plan": "x" * 121}}, "properties.plan"),
        ({"properties": {"plan": "a\u0000b"}}, "properties.plan"),
        ({"slug": "a/b"}, "slug"),
    ],
)
async def test_a_bad_own_event_names_its_field(event: dict[str, Any], field: str) -> None:
    console, path = await opened()
    answer = await console.call("POST", path, {"events": [EVENT | event]})
    assert answer.problem(422).keys() == {f"events[0].{field}"}
    assert console.hits.recorded == {}


async def test_an_id_is_of_one_profile() -> None:
    console, path = await opened()
    other = await console.profile("berta")
    await console.call("POST", path, {"events": [VIEW]})
    answer = await console.call("POST", f"/v1/profiles/{other['id']}/events", {"events": [VIEW]})
    assert answer.json["results"][0]["outcome"] == "recorded"


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "a" * 65}, "id"),
        ({"id": 7}, "id"),
        ({"type": "sale"}, "type"),
        ({"slug": "spring"}, "slug"),
        ({"address": "example.org"}, "address"),
        ({"user_agent": "a\r\nb"}, "user_agent"),
        ({"user_agent": "a" * 1025}, "user_agent"),
        ({"language": "x" * 257}, "language"),
        ({"url": "https://a.example/" + "x" * 2048}, "url"),
        ({"referrer": "\u0000"}, "referrer"),
        ({"value": 1}, "value"),
    ],
)
async def test_a_bad_event_names_its_field_and_nothing_is_recorded(
    event: dict[str, Any], field: str
) -> None:
    console, path = await opened()
    answer = await console.call("POST", path, {"events": [VIEW, VIEW | {"id": "x"} | event]})
    assert answer.problem(422).keys() == {f"events[1].{field}"}
    assert console.hits.recorded == {}


async def test_a_click_needs_a_slug_and_an_event_its_fields() -> None:
    console, path = await opened()
    click = {name: value for name, value in CLICK.items() if name != "slug"}
    answer = await console.call("POST", path, {"events": [click, {}, "x"]})
    assert answer.problem(422).keys() == {
        "events[0].slug", "events[1].id", "events[1].type", "events[1].address", "events[2]",
    }  # fmt: skip


@pytest.mark.parametrize(
    "body", [{}, {"events": []}, {"events": [VIEW] * 101}, {"events": VIEW}, {"event": [VIEW]}]
)
async def test_a_body_has_1_to_100_events(body: dict[str, Any]) -> None:
    console, path = await opened()
    assert "events" in (await console.call("POST", path, body)).problem(422)


async def test_without_an_edge_all_is_sent_again() -> None:
    console, path = await opened()
    console.hits.away = True
    answer = await console.call("POST", path, {"events": [VIEW]})
    answer.problem(503)
    assert answer.headers["Retry-After"]


async def test_strangers_and_viewers_may_not_report() -> None:
    console, path = await opened()
    (await console.call("POST", path, {"events": [VIEW]}, key="two")).problem(404)
    console.keys.add("reader", Caller(1, 1, 3, ("read",)))
    (await console.call("POST", path, {"events": [VIEW]}, key="reader")).problem(403)
    assert console.hits.recorded == {}


async def test_access_is_looked_up_once_in_five_seconds() -> None:
    console, path = await opened()
    lookups = 0
    profile = console.profiles.profile

    async def counted(*args: Any) -> Any:
        nonlocal lookups
        lookups += 1
        return await profile(*args)

    console.profiles.profile = counted
    for _ in range(3):
        assert (await console.call("POST", path, {"events": [VIEW]})).status == 200
    assert lookups == 1
    console.clock_us += int(ACCESS_S * 1e6)
    assert (await console.call("POST", path, {"events": [VIEW]})).status == 200
    assert lookups == 2
