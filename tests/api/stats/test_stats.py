"""`GET /v1/profiles/{id}/stats`: the query that the reader gets, and the response."""

from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from trio.testing import MockClock

from api.stats.stats import SEEN_S
from engine.clicks.dimension import Dimension
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.query import Filter
from engine.stats.result import LinkName, MetricValues, Stats, StatsRow
from engine.visits.classifier import RULES_VERSION
from tests.kit.consoles import NOW, Console

ROME = ZoneInfo("Europe/Rome")


async def path_of(console: Console) -> str:
    return f"/v1/profiles/{(await console.profile())['id']}/stats"


async def test_defaults() -> None:
    console = Console()
    response = await console.call("GET", await path_of(console))
    assert response.json == {
        "from": "2026-02-14T00:00:00Z",
        "to": "2026-03-16T00:00:00Z",
        "tz": "UTC",
        "interval": "day",
        "as_of": None,
        "rule": RULES_VERSION,
        "sampling": "none",
        "totals": {"clicks": 0, "visitors": None, "views": 0, "click_rate": None, "bots": 0},
        "rows": [],
    }


async def test_rows_carry_the_offset_of_the_zone() -> None:
    console = Console()
    console.stats.answer = Stats(
        rows=(
            StatsRow(datetime(2026, 3, 28, tzinfo=ROME), 3, 1, 2, 2),
            StatsRow(datetime(2026, 3, 30, tzinfo=ROME), 4, 0, 0, 4),
        ),
        totals=MetricValues(7, 1, 2, 6),
        as_of=datetime(2026, 3, 15, 10, 6, 59, tzinfo=UTC),
    )
    parameters = "from=2026-03-28&to=2026-03-31&tz=Europe/Rome&link=77"
    response = await console.call("GET", f"{await path_of(console)}?{parameters}")
    assert response.json == {
        "from": "2026-03-28T00:00:00+01:00",
        "to": "2026-03-31T00:00:00+02:00",
        "tz": "Europe/Rome",
        "interval": "day",
        "as_of": "2026-03-15T10:06:59Z",
        "rule": RULES_VERSION,
        "sampling": "none",
        "totals": {"clicks": 7, "visitors": 6, "views": 1, "click_rate": 7.0, "bots": 2},
        "rows": [
            {
                "time": "2026-03-28T00:00:00+01:00",
                "clicks": 3,
                "visitors": 2,
                "views": 1,
                "click_rate": 3.0,
                "bots": 2,
            },
            {
                "time": "2026-03-30T00:00:00+02:00",
                "clicks": 4,
                "visitors": 4,
                "views": 0,
                "click_rate": None,
                "bots": 0,
            },
        ],
    }
    query = console.stats.query
    assert query is not None
    assert (query.tz, query.interval) == ("Europe/Rome", "day")
    assert query.filters == (Filter(Dimension.LINK, "=", ("77",)),)
    assert (query.start, query.end) == (
        datetime(2026, 3, 27, 23, tzinfo=UTC),
        datetime(2026, 3, 30, 22, tzinfo=UTC),
    )


async def test_each_operator_has_a_sign_and_a_word() -> None:
    console, filters = Console(), []
    path = await path_of(console)
    for query in (
        "filter[country]=DE&filter[city]!=Rome&filter[city]!=Bari&filter[os]~=x",
        "filter[country]=DE&filter[city][not]=Rome&filter[city][not]=Bari&filter[os][contains]=x",
    ):
        assert (await console.call("GET", f"{path}?{query}")).status == 200
        assert console.stats.query is not None
        filters.append(console.stats.query.filters)
    assert filters[0] == filters[1]
    assert [f.operator for f in filters[0]] == ["=", "!=", "!=", "~="]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("filter[country]=de", ("DE",)),
        ("filter[country]=DE,it,DE", ("DE", "IT")),
        ("filter[country]=DE&filter[country]=IT", ("DE", "IT")),
        ("filter[country]=", ("",)),
        ("filter[country]=,(other)", ("", "(other)")),
        ("filter[city]=Munich, DE,Milan, IT", ("Munich, DE", "Milan, IT")),
        ("filter[utm_campaign]=a\\,b,c\\\\", ("a,b", "c\\")),
        ("filter[referrer]=https://www.Instagram.com/x", ("instagram.com",)),
        ("filter[device]=Phone", ("phone",)),
        ("filter[continent]=eu", ("EU",)),
        ("link=5,0", ("5", "0")),
    ],
)
async def test_values_of_a_filter_are_those_that_counts_have(
    query: str, values: tuple[str, ...]
) -> None:
    console = Console()
    response = await console.call("GET", f"{await path_of(console)}?{quote(query, safe='=&[]')}")
    assert response.status == 200, response.body
    assert console.stats.query is not None
    assert [filter_.values for filter_ in console.stats.query.filters] == [values]


async def test_the_whole_time_begins_with_the_first_counts() -> None:
    console = Console()
    console.stats.day = date(2025, 11, 7)
    response = await console.call("GET", f"{await path_of(console)}?period=all&tz=Europe/Rome")
    assert (response.json["from"], response.json["to"], response.json["interval"]) == (
        "2025-11-07T00:00:00+01:00",
        "2026-03-16T00:00:00+01:00",
        "month",
    )


async def test_a_comparison_is_told_with_its_alignment() -> None:
    console = Console()
    earlier = Stats(rows=(), as_of=None, totals=MetricValues(3))
    console.stats.answer = Stats(rows=(), as_of=None, totals=MetricValues(4), compared=earlier)
    path = f"{await path_of(console)}?period=day&compare=previous&metrics=clicks"
    assert (await console.call("GET", path)).json["previous"] == {
        "compare": "previous",
        "alignment": "until_now",
        "from": "2026-03-14T00:00:00Z",
        "to": "2026-03-14T10:15:00Z",
        "totals": {"clicks": 3},
        "rows": [],
    }


async def test_links_come_with_names_and_groups_with_a_cursor() -> None:
    console = Console()
    console.stats.answer = Stats(
        rows=(StatsRow(None, 3, 0, values=("77",)), StatsRow(None, 2, 0, values=("78",))),
        as_of=None,
        next=GroupCursor("clicks", True, ("78",), 2),
        links={"77": LinkName("ada", "notes", "Notes")},
    )
    path = f"{await path_of(console)}?group=link&metrics=clicks&limit=2"
    response = await console.call("GET", path)
    assert response.json["rows"] == [
        {"link": "77", "handle": "ada", "slug": "notes", "title": "Notes", "clicks": 3},
        {"link": "78", "handle": None, "slug": None, "title": None, "clicks": 2},
    ]
    following = await console.call("GET", f"{path}&cursor={response.json['next_cursor']}")
    assert following.status == 200
    assert console.stats.query is not None
    assert console.stats.query.after == console.stats.answer.next
    other = await console.call("GET", f"{path}&order=value&cursor={response.json['next_cursor']}")
    assert other.problem(422).keys() == {"cursor"}


async def test_a_new_title_has_another_tag_where_links_are_named() -> None:
    console = Console()
    stats_path = await path_of(console)
    path = f"{stats_path}?group=link"
    tag = (await console.call("GET", path)).headers["ETag"]
    assert (await console.call("GET", path, If_None_Match=tag)).status == 304
    await console.call("PATCH", stats_path.removesuffix("/stats"), {"title": "New"})
    assert (await console.call("GET", path, If_None_Match=tag)).status == 200


async def test_several_profiles_are_answered_at_once() -> None:
    console = Console()
    ids = [(await console.profile(handle))["id"] for handle in ("ada", "bob")]
    console.stats.answer = Stats(rows=(), as_of=NOW, totals=MetricValues(3))
    path = f"/v1/stats?profiles={ids[0]},{ids[1]}&metrics=clicks&group=country"
    response = await console.call("GET", path)
    assert [(p["profile"], p["handle"], p["totals"]) for p in response.json["profiles"]] == [
        (ids[0], "ada", {"clicks": 3}),
        (ids[1], "bob", {"clicks": 3}),
    ]
    tag = response.headers["ETag"]
    assert (await console.call("GET", path, If_None_Match=tag)).status == 304
    (await console.call("GET", path, key="two", If_None_Match=tag)).problem(404)
    (await console.call("GET", f"/v1/stats?profiles={ids[0]},7")).problem(404)
    for bad in ("", "profiles=", "profiles=x", f"profiles={ids[0]}&profiles={ids[1]}",
                "profiles=" + ",".join(map(str, range(1, 22)))):  # fmt: skip
        assert (await console.call("GET", f"/v1/stats?{bad}")).problem(422).keys() == {"profiles"}


async def test_the_response_states_the_period_that_was_used() -> None:
    console = Console()
    query = "from=2026-03-01T10:07:00Z&to=2026-03-01T10:31:00Z&interval=15m"
    response = await console.call("GET", f"{await path_of(console)}?{query}")
    assert (response.json["from"], response.json["to"]) == (
        "2026-03-01T10:00:00Z",
        "2026-03-01T10:45:00Z",
    )


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("tz=Mars/Olympus", {"tz"}), ("tz=localtime", {"tz"}), ("tz=", {"tz"}),
        ("interval=decade", {"interval"}),
        ("from=x", {"from"}), ("to=x", {"to"}), ("from=x&to=y&tz=z", {"from", "to", "tz"}),
        ("link=-1", {"link"}), ("link=x", {"link"}), ("group=planet", {"group"}),
        ("group=time,country,device", {"group"}), ("group=country,country", {"group"}),
        ("group=", {"group"}), ("group=TIME", {"group"}), ("metrics=clicks,fame", {"metrics"}),
        ("metrics=", {"metrics"}), ("order=fame", {"order"}), ("order=--clicks", {"order"}),
        ("order=visitors&metrics=clicks", {"order"}), ("limit=0", {"limit"}), ("limit=1001", {"limit"}),
        ("limit=1e2", {"limit"}), ("compare=next", {"compare"}),
        ("filter[planet]=x", {"filter[planet]"}), ("filter[country]~=D", {"filter[country]~"}),
        ("filter[city]~=", {"filter[city]~"}), ("filter[link]=abc", {"filter[link]"}),
        ("filter[city]=" + "x" * 256, {"filter[city]"}), ("filter[city]=a%00b", {"filter[city]"}),
        ("filter[city]=a%0Ab", {"filter[city]"}), ("filter[city]^=x", {"filter[city]^"}),
        ("filter[country]=Germany", {"filter[country]"}), ("filter[country]!=DE,UK", {"filter[country]!"}),
        ("filter[continent]=Europe", {"filter[continent]"}), ("filter[device]=mobile", {"filter[device]"}),
        ("filter[language]=it-IT", {"filter[language]"}), ("filter[kind][not]=robot", {"filter[kind][not]"}),
        ("filter[referrer]=a b", {"filter[referrer]"}), ("filter[variant]=a", {"filter[variant]"}),
        ("filter[link]=5,x", {"filter[link]"}), ("link=5,", {"link"}), ("filter[os]~=i,,", {"filter[os]~"}),
        ("filter[city]=" + ",".join(map(str, range(51))), {"filter[city]"}),
        ("week_start=mon", {"week_start"}), ("fill=yes", {"fill"}), ("period=8", {"period"}),
        ("period=0d", {"period"}), ("period=3661d", {"period"}), ("period=7d&from=2026-01-01", {"period"}),
        ("period=last", {"period"}), ("compare=2026-01-01", {"compare"}), ("cursor=x", {"cursor"}),
        ("group=country&cursor=AAAA", {"cursor"}), ("group=time,hour_of_week", {"group"}),
        ("group=hour_of_week&period=400d", {"group"}),
        ("group=hour_of_week&period=90d&metrics=visitors", {"metrics"}),
        ("from=2026-01-01&to=2026-01-02&interval=hour&compare=2020-01-01..2026-01-01", {"compare"}),
        ("filter[country][contains]=D", {"filter[country][contains]"}),
        ("filter[city][is]=x", {"filter[city][is]"}), ("filter[city][not]!=x", {"filter[city][not]!"}),
        ("link=5&filter[link]=6", {"link"}),
        ("&".join(f"filter[city]!={n}" for n in range(9)), {"filter"}), ("filter=x", {"filter"}),
        ("tz=x&group=y&metrics=z&limit=a", {"tz", "group", "metrics", "limit"}),
        ("group=time,city&from=2026-01-01&to=2026-12-31&limit=1000", {"limit"}),
        ("metrics=visitors&interval=hour&from=2026-01-01&to=2026-03-01", {"metrics"}),
        ("from=2016-01-01&to=2026-01-01&interval=15m", {"interval"}),
        ("from='; DROP TABLE clicks--", {"from"}), ("group=time'", {"group"}),
        ("from=2026-03-02&to=2026-03-02", {"from"}), ("from=2026-03-02&to=2026-03-01", {"from"}),
        ("from=2027-01-01", {"from"}), ("tz=UTC&tz=UTC", {"tz"}), ("%00=%ff", {"\ufffd"}),
        ("from=2026-01-01&to=2026-03-01&interval=15m", {"interval"}),
        ("from=2024-01-01&to=2026-03-01&interval=hour", {"interval"}),
        ("from=2000-01-01&to=2026-03-01&interval=day", {"interval"}),
    ],
)  # fmt: skip
async def test_bad_parameters_are_named(query: str, fields: set[str]) -> None:
    console = Console()
    response = await console.call("GET", f"{await path_of(console)}?{query}")
    assert response.problem(422).keys() == fields


@pytest.mark.parametrize(("interval", "days"), [("15m", 31), ("hour", 366), ("day", 3_660)])
async def test_the_longest_periods_are_those_of_the_documents(interval: str, days: int) -> None:
    console = Console()
    path = f"{await path_of(console)}?interval={interval}&metrics=clicks"
    end = datetime(2026, 3, 1, tzinfo=UTC)
    for length, allowed in ((days, True), (days + 1, False)):
        start = (end - timedelta(days=length)).date()
        response = await console.call("GET", f"{path}&from={start}&to={end.date()}")
        assert response.status == (200 if allowed else 422), length


async def test_visitors_by_hour_are_given_on_request_only() -> None:
    console = Console()
    path = f"{await path_of(console)}?from=2026-03-01&to=2026-03-02"
    for more, visitors in (
        ("&interval=hour", False),
        ("&interval=15m", False),
        ("&interval=day", True),
        ("&interval=hour&group=country", True),
        ("&interval=hour&metrics=visitors", True),
    ):
        await console.call("GET", path + more)
        assert console.stats.query is not None
        assert ("visitors" in console.stats.query.metrics) == visitors, more


async def test_groups_are_limited_unless_a_limit_is_given() -> None:
    console = Console()
    path = await path_of(console)
    for more, limit in (
        ("?group=country", 100),
        ("?group=time,country", 10),
        ("?group=country&limit=1000", 1_000),
    ):
        await console.call("GET", path + more)
        assert console.stats.query is not None
        assert console.stats.query.limit == limit


async def test_an_unknown_profile_has_no_stats() -> None:
    console = Console()
    path = await path_of(console)
    (await console.call("GET", "/v1/profiles/7/stats")).problem(404)
    (await console.call("GET", path, key="two")).problem(404)


async def test_a_poll_without_new_counts_reads_nothing() -> None:
    console = Console()
    path = f"{await path_of(console)}?group=country"
    first = await console.call("GET", path)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    query, console.profiles.profile = console.stats.asked, None
    again = await console.call("GET", path, If_None_Match=tag)
    assert (again.status, again.headers["ETag"]) == (304, tag)
    assert console.stats.asked == query


async def test_new_counts_and_another_query_have_another_tag() -> None:
    console = Console()
    path = await path_of(console)
    tag = (await console.call("GET", path)).headers["ETag"]
    other = await console.call("GET", f"{path}?tz=Europe/Rome", If_None_Match=tag)
    assert other.status == 200
    console.stats.stats_version = "2"
    new = await console.call("GET", path, If_None_Match=tag)
    assert (new.status, new.headers["ETag"] == tag) == (200, False)
    console.stats.stats_version = None
    unknown = await console.call("GET", path, If_None_Match=tag)
    assert unknown.status == 200
    assert "ETag" not in unknown.headers


async def test_a_tag_gives_other_users_and_removed_members_nothing(
    autojump_clock: MockClock,
) -> None:
    console = Console()
    path = await path_of(console)
    tag = (await console.call("GET", path)).headers["ETag"]
    (await console.call("GET", path, key="two", If_None_Match=tag)).problem(404)
    await console.call("DELETE", path.removesuffix("/stats"))
    assert (await console.call("GET", path, If_None_Match=tag)).status == 304
    autojump_clock.jump(SEEN_S)
    (await console.call("GET", path, If_None_Match=tag)).problem(404)
