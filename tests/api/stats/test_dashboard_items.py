"""`/v1/profiles/{id}/annotations` and `…/saved-questions`, and annotations in answers of stats."""

from typing import Any

import pytest

from tests.kit.consoles import Console

PERIOD = "from=2026-03-01&to=2026-03-10&tz=Europe/Rome"


async def annotated(console: Console, *moments: str) -> str:
    """Return the path of a new profile with an annotation at each moment."""
    path = f"/v1/profiles/{(await console.profile())['id']}"
    for at in moments:
        made = await console.call("POST", f"{path}/annotations", {"at": at, "text": f"at {at}"})
        assert made.status == 201, made.body
    return path


async def test_an_annotation_is_made_read_changed_and_deleted() -> None:
    console = Console()
    path = await annotated(console)
    draft = {"at": "2026-05-01T11:30:00+02:00", "text": "Spring"}
    made = await console.call("POST", f"{path}/annotations", draft)
    assert made.status == 201, made.body
    item = made.json
    assert (item["at"], item["version"]) == ("2026-05-01T09:30:00Z", 1)
    assert made.headers["Location"] == f"{path}/annotations/{item['id']}"
    one = made.headers["Location"]
    assert (await console.call("GET", f"{path}/annotations")).json["items"] == [item]
    assert (await console.call("GET", one, If_None_Match='"1"')).status == 304
    changed = await console.call("PATCH", one, {"text": "Autumn"}, If_Match='"1"')
    assert (changed.json["at"], changed.json["text"]) == (item["at"], "Autumn")
    (await console.call("PATCH", one, {"text": "x"}, If_Match='"1"')).problem(412)
    (await console.call("DELETE", one, If_Match='"1"')).problem(412)
    assert (await console.call("DELETE", one)).status == 204
    (await console.call("GET", one)).problem(404)


@pytest.mark.parametrize(
    "at",
    ["", "soon", "2026-5-1", "2026-02-30", "2026-05-01T09:30:00", "20260501T093000Z", "1999-12-31",
     "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-05-01 ", "2026-W18-5"],
)  # fmt: skip
async def test_a_bad_moment_or_text_is_named(at: str) -> None:
    console = Console()
    path = await annotated(console)
    draft = {"at": at, "text": "x" * 201}
    reasons = (await console.call("POST", f"{path}/annotations", draft)).problem(422)
    assert reasons.keys() == {"at", "text"}
    empty = {"at": "2026-05-01", "text": "  "}
    assert "text" in (await console.call("POST", f"{path}/annotations", empty)).problem(422)


async def test_an_answer_has_the_annotations_of_its_period() -> None:
    console = Console()
    path = await annotated(
        console,
        "2026-02-28T22:59:59Z",  # before midnight in Rome
        "2026-02-28T23:00:00Z",
        "2026-03-09",
        "2026-03-10",
        "2026-03-09T22:59:59Z",
        "2026-03-09T23:00:00Z",
        "2026-02-28",
        "2026-03-01",
    )
    answer = await console.call("GET", f"{path}/stats?{PERIOD}&annotations=1")
    assert [shown["at"] for shown in answer.json["annotations"]] == [
        "2026-02-28T23:00:00Z", "2026-03-01", "2026-03-09", "2026-03-09T22:59:59Z",
    ]  # fmt: skip
    for query in (PERIOD, f"{PERIOD}&annotations=0"):
        assert "annotations" not in (await console.call("GET", f"{path}/stats?{query}")).json
    batch = {"questions": [dict(p.split("=") for p in PERIOD.split("&"))], "annotations": True}
    answers = (await console.call("POST", f"{path}/stats/batch", batch)).json
    assert answers["annotations"] == answer.json["annotations"]
    for bad in ("annotations=2", "annotations=1&annotations=1", "annotations="):
        refused = await console.call("GET", f"{path}/stats?{PERIOD}&{bad}")
        assert "annotations" in refused.problem(422)


async def test_a_new_annotation_changes_the_tag_of_an_answer_and_no_poll_hides_it() -> None:
    console = Console()
    path = await annotated(console, "2026-03-02")
    url = f"{path}/stats?{PERIOD}&annotations=1"
    first = await console.call("GET", url)
    for _ in range(3):
        same = await console.call("GET", url, If_None_Match=first.headers["ETag"])
        assert same.status == 304
    assert console.polls.answered == 0
    await console.call("POST", f"{path}/annotations", {"at": "2026-03-03", "text": "new"})
    second = await console.call("GET", url, If_None_Match=first.headers["ETag"])
    assert second.status == 200
    assert len(second.json["annotations"]) == 2
    batch: dict[str, Any] = {"questions": [{"period": "28d"}], "annotations": True}
    batch_url = f"{path}/stats/batch"
    tag = (await console.call("POST", batch_url, batch)).headers["ETag"]
    assert (await console.call("POST", batch_url, batch, If_None_Match=tag)).status == 304
    await console.call("POST", f"{path}/annotations", {"at": "2026-03-04", "text": "new"})
    assert (await console.call("POST", batch_url, batch, If_None_Match=tag)).status == 200


async def test_a_share_sees_no_annotation() -> None:
    console = Console()
    path = await annotated(console, "2026-03-02")
    share = {"label": "s", "metrics": ["clicks"]}
    token = (await console.call("POST", f"{path}/shares", share)).json["token"]
    plain = await console.call("GET", f"{path}/stats?period=7d", key=token)
    assert plain.status == 200
    (await console.call("GET", f"{path}/stats?annotations=1", key=token)).problem(403)
    batch = {"questions": [{"period": "7d"}], "annotations": True}
    (await console.call("POST", f"{path}/stats/batch", batch, key=token)).problem(403)
    (await console.call("GET", f"{path}/annotations", key=token)).problem(403)


async def test_a_saved_question_is_one_that_stats_answer() -> None:
    console = Console()
    path = await annotated(console)
    url = f"{path}/saved-questions"
    query = "?period=28d&filter[country]=IT,DE&filter%5Bsource%5D!=x&compare=previous&annotations=1"
    made = await console.call("POST", url, {"name": "Italy", "query": query})
    assert made.status == 201, made.body
    assert made.json["query"] == query[1:]
    assert (await console.call("GET", f"{path}/stats?{made.json['query']}")).status == 200
    for bad in (
        "period=8x",
        "group=shoe",
        "nothing=1",
        "annotations=3",
        "a" * 2_001,
        "period=7d\n",
    ):
        refused = await console.call("POST", url, {"name": "", "query": bad})
        assert refused.problem(422).keys() == {"name", "query"}, bad
    one = f"{url}/{made.json['id']}"
    renamed = await console.call("PATCH", one, {"name": "Italia"})
    assert (renamed.json["name"], renamed.json["version"]) == ("Italia", 2)
