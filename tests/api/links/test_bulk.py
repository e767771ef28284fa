"""`/v1/profiles/{id}/links/bulk`: a result for each operation, one announcement for all."""

from typing import Any

import pytest

from engine.links.profile import ProfileChange
from tests.kit.consoles import Console


def create(slug: str, **more: Any) -> dict[str, Any]:
    return {"op": "create", "slug": slug, "target": "https://example.com/", **more}


async def bulk(console: Console, profile_id: str, *operations: Any, **headers: str) -> Any:
    path = f"/v1/profiles/{profile_id}/links/bulk"
    return await console.call("POST", path, {"operations": operations}, **headers)


async def test_creates_updates_and_deletes_with_a_result_each() -> None:
    console = Console()
    profile = await console.profile()
    kept, removed = (
        await console.link(profile["id"], "kept"),
        await console.link(profile["id"], "gone"),
    )
    console.announcer.changes.clear()
    response = await bulk(
        console,
        profile["id"],
        create("new", title="New"),
        {"op": "update", "id": kept["id"], "if_version": 1, "title": "Kept"},
        {"op": "delete", "id": removed["id"], "if_version": 1},
    )
    assert response.status == 200
    assert response.json["version"] == 4
    created, changed, deleted = response.json["results"]
    assert (created["index"], created["status"], created["link"]["title"]) == (0, 201, "New")
    assert changed["link"] == kept | {"title": "Kept", "version": 2} | {
        "updated_at": changed["link"]["updated_at"]
    }
    assert deleted == {"index": 2, "status": 204}
    assert console.announcer.changes == [ProfileChange(int(profile["id"]), 4)]
    assert (await console.call("GET", f"/v1/links/{kept['id']}")).json == changed["link"]
    (await console.call("GET", f"/v1/links/{removed['id']}")).problem(404)


async def test_bad_operations_are_reported_in_full_and_stop_no_other() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], "here")
    theirs = (await console.call("POST", "/v1/profiles", {"handle": "b"}, key="two")).json
    bad: list[tuple[Any, int, set[str]]] = [
        (create("", target="nonsense", colour="red"), 422, {"slug", "target", "colour"}),
        ({"op": "create"}, 422, {"target"}),
        (create("here"), 409, {"slug"}),
        ({"op": "update", "id": link["id"], "if_version": 9, "title": "x"}, 412, set()),
        ({"op": "update", "id": link["id"], "status": "x", "slug": "?"}, 422, {"status", "slug"}),
        ({"op": "update", "id": 1, "if_version": 0}, 422, {"id", "if_version"}),
        ({"op": "update", "id": theirs["id"], "title": "x"}, 404, set()),
        ({"op": "delete", "id": "nonsense"}, 404, set()),
        ({"op": "delete", "id": link["id"], "title": "x", "force": True}, 422, {"title", "force"}),
        ({"op": "delete", "if_version": True}, 422, {"id", "if_version"}),
        ({"op": "move"}, 422, {"op"}),
        ({"op": ["create"]}, 422, {"op"}),
        ("create", 422, {"op"}),
        (None, 422, {"op"}),
    ]
    operations = [operation for operation, _, _ in bad]
    response = await bulk(console, profile["id"], *operations, create("good"))
    results = response.json["results"]
    for result, (_, status, fields) in zip(results, bad, strict=False):
        assert (result["status"], result["problem"]["status"]) == (status, status), result
        assert {error["field"] for error in result["problem"].get("errors", [])} == fields
    assert results[-1]["status"] == 201
    assert [result["index"] for result in results] == list(range(len(bad) + 1))
    listed = (await console.call("GET", f"/v1/profiles/{profile['id']}/links")).json["items"]
    assert [item["slug"] for item in listed] == ["here", "good"]


@pytest.mark.parametrize(
    "body",
    [{}, {"operations": []}, {"operations": {}}, {"operations": [None] * 101},
     {"operations": [None], "more": 1}],
)  # fmt: skip
async def test_the_list_of_operations_has_bounds(body: Any) -> None:
    console = Console()
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}/links/bulk"
    assert (await console.call("POST", path, body)).problem(422).keys() <= {"operations", "more"}


async def test_a_hundred_operations_are_accepted() -> None:
    console = Console()
    profile = await console.profile()
    response = await bulk(console, profile["id"], *(create(f"s{n}") for n in range(100)))
    assert {result["status"] for result in response.json["results"]} == {201}
    assert response.json["version"] == 2


async def test_links_of_another_tenant_s_profile_cannot_be_changed() -> None:
    console = Console()
    profile = await console.profile()
    (await bulk(console, profile["id"], create("a"), key="two")).problem(404)
    (await bulk(console, "0", create("a"))).problem(404)


async def test_a_confusable_slug_is_accepted_with_a_warning() -> None:
    console = Console()
    profile = await console.profile()
    mixed = "s\N{CYRILLIC SMALL LETTER ER}ring"
    response = await bulk(console, profile["id"], create("spring"), create(mixed))
    plain, confusable = (result["link"] for result in response.json["results"])
    assert "warnings" not in plain
    (warning,) = confusable.pop("warnings")
    assert warning["field"] == "slug"
    assert "Cyrillic and Latin" in warning["reason"]
    read = await console.call("GET", f"/v1/links/{confusable['id']}")
    assert read.json == confusable
    renamed = await console.call("PATCH", f"/v1/links/{plain['id']}", {"slug": mixed + "2"})
    assert renamed.json["warnings"] == [warning]
