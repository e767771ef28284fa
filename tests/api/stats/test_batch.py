"""`POST /v1/profiles/{id}/stats/batch`: many questions, one snapshot, one tag."""

from datetime import timedelta
from typing import Any

import pytest

from api.stats.batch import MAX_QUESTIONS
from engine.clicks.dimension import Dimension
from engine.stats.ports import LatestClick, RecentAnswer, RecentQuestion
from engine.stats.query import Filter
from engine.stats.result import LinkName, MetricValues, Stats
from tests.kit.consoles import NOW, Console


async def path_of(console: Console) -> str:
    return f"/v1/profiles/{(await console.profile())['id']}/stats/batch"


async def test_questions_are_answered_in_their_order() -> None:
    console = Console()
    console.stats.answer = Stats(rows=(), as_of=NOW, totals=MetricValues(3, 1))
    body = {
        "questions": [{"metrics": "clicks"}, {"group": "country", "metrics": "views", "limit": 3}]
    }
    response = await console.call("POST", await path_of(console), body)
    assert response.json["as_of"] == "2026-03-15T10:07:00Z"
    assert [answer["totals"] for answer in response.json["answers"]] == [
        {"clicks": 3},
        {"views": 1},
    ]
    queries = [question.query for question in console.stats.questions]
    assert [query.groups for query in queries] == [(), (Dimension.COUNTRY,)]
    assert queries[1].limit == 3
    assert console.stats.recent is None


async def test_a_list_has_a_value_for_each_element() -> None:
    console = Console()
    filters = {"filter[city]": ["Munich, DE", "a,b"], "filter[utm_term][not]": ["c\\", ""]}
    response = await console.call("POST", await path_of(console), {"questions": [filters]})
    assert response.status == 200, response.body
    assert console.stats.questions[0].query.filters == (
        Filter(Dimension.CITY, "=", ("Munich, DE", "a,b")),
        Filter(Dimension.UTM_TERM, "!=", ("c\\", "")),
    )


async def test_what_happens_now_comes_with_it() -> None:
    console = Console()
    click = LatestClick(NOW, 77, LinkName("ada", "notes", "Notes"), {"country": "DE"})
    console.stats.activity = RecentAnswer(4, [click, LatestClick(NOW, 78, None, {})])
    body = {"visitors_now": True, "latest_clicks": 5}
    response = await console.call("POST", await path_of(console), body)
    assert response.json["visitors_now"] == 4
    assert response.json["latest_clicks"] == [
        {"time": "2026-03-15T10:07:00Z", "link": "77", "handle": "ada", "slug": "notes",
         "title": "Notes", "country": "DE"},
        {"time": "2026-03-15T10:07:00Z", "link": "78", "handle": None, "slug": None, "title": None},
    ]  # fmt: skip
    recent = console.stats.recent
    assert recent is not None
    assert recent == RecentQuestion(recent.profile_id, NOW, NOW - timedelta(minutes=5), 5)


async def test_one_tag_is_of_all_questions_and_of_the_profiles_names() -> None:
    console = Console()
    path, body = await path_of(console), {"questions": [{"group": "link"}, {}]}
    tag = (await console.call("POST", path, body)).headers["ETag"]
    asked = console.stats.asked
    assert (await console.call("POST", path, body, If_None_Match=tag)).status == 304
    assert console.stats.asked == asked
    for other in ({"questions": [{"group": "link"}]}, {**body, "latest_clicks": 1}):
        assert (await console.call("POST", path, other, If_None_Match=tag)).status == 200
    (await console.call("POST", path, body, key="two", If_None_Match=tag)).problem(404)
    console.stats.stats_version = "2"
    assert (await console.call("POST", path, body, If_None_Match=tag)).status == 200


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"questions"}),
        ({"questions": []}, {"questions"}),
        ({"questions": [{}] * (MAX_QUESTIONS + 1)}, {"questions"}),
        ({"questions": "x"}, {"questions"}),
        ({"questions": [5]}, {"questions"}),
        ({"questions": [{"limit": 1.5}]}, {"questions"}),
        ({"questions": [{"filter[country]": [5]}]}, {"questions"}),
        ({"questions": [{}], "latest_clicks": 51}, {"latest_clicks"}),
        ({"questions": [{}], "latest_clicks": True}, {"latest_clicks"}),
        ({"questions": [{}], "more": 1}, {"more"}),
        (
            {"questions": [{}, {"group": "planet", "filter[country]": ["DE", "x"]}, {"limit": -1}]},
            {"questions[1].group", "questions[1].filter[country]", "questions[2].limit"},
        ),
    ],
)
async def test_bad_questions_are_named(body: dict[str, Any], fields: set[str]) -> None:
    console = Console()
    response = await console.call("POST", await path_of(console), body)
    assert response.problem(422).keys() == fields
