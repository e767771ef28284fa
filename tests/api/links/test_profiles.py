"""`/v1/profiles` over the memory store."""

import re

import pytest

from engine.common.errors import UnavailableError
from engine.links.profile import ProfileChange
from tests.kit.consoles import VISITORS, Console


async def test_create_read_list_update_delete() -> None:
    console = Console()
    created = await console.call("POST", "/v1/profiles", {"handle": "Anna", "title": "Anna B."})
    assert created.status == 201
    profile = created.json
    assert created.headers["Location"] == f"/v1/profiles/{profile['id']}"
    assert profile.keys() == {
        "id", "handle", "title", "raw_retention_days", "url", "version", "created_at", "updated_at",
    }  # fmt: skip
    assert profile["handle"] == "anna"
    assert profile["url"] == f"{VISITORS}/@anna"
    assert isinstance(profile["id"], str)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", profile["created_at"])

    path = f"/v1/profiles/{profile['id']}"
    assert (await console.call("GET", path)).json == profile
    assert (await console.call("GET", "/v1/profiles")).json == {
        "items": [profile | {"role": "owner"}],
        "next_cursor": None,
    }
    assert profile["raw_retention_days"] == 90
    for days in (0, 3651, "7", 1.5, None):
        refused = await console.call("PATCH", path, {"raw_retention_days": days})
        assert refused.status == 422
        assert [e["field"] for e in refused.json["errors"]] == ["raw_retention_days"]
    kept = await console.call("PATCH", path, {"raw_retention_days": 7})
    assert (kept.status, kept.json["raw_retention_days"]) == (200, 7)
    changed = await console.call("PATCH", path, {"title": "B."})
    assert (changed.status, changed.json["raw_retention_days"]) == (200, 7)
    assert (changed.json["handle"], changed.json["title"]) == ("anna", "B.")
    assert changed.json["version"] > kept.json["version"] > profile["version"]
    assert changed.headers["ETag"] == f'"{changed.json["version"]}"'

    gone = await console.call("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        (await console.call(method, path, body)).problem(404)

    id_ = int(profile["id"])
    assert console.announcer.changes[:3] == [
        ProfileChange(id_, profile["version"]),
        ProfileChange(id_, kept.json["version"]),
        ProfileChange(id_, changed.json["version"]),
    ]
    assert console.announcer.changes[3].deleted


async def test_every_bad_field_is_named_at_once() -> None:
    console = Console()
    response = await console.call("POST", "/v1/profiles", {"title": 5, "colour": "red"})
    errors = response.problem(422)
    assert errors.keys() == {"handle", "title", "colour"}
    assert errors["handle"] == "is required"
    response = await console.call("POST", "/v1/profiles", {"handle": "-", "title": "x" * 121})
    assert response.problem(422).keys() == {"handle", "title"}
    assert console.announcer.changes == []


async def test_a_taken_handle_is_a_conflict_that_names_it() -> None:
    console = Console()
    await console.profile("anna")
    response = await console.call("POST", "/v1/profiles", {"handle": "ANNA"}, key="two")
    assert response.problem(409).keys() == {"handle"}


async def test_profiles_of_other_tenants_do_not_exist() -> None:
    console = Console()
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}"
    for method, body in (("GET", None), ("PATCH", {"title": "mine"}), ("DELETE", None)):
        (await console.call(method, path, body, key="two")).problem(404)
    assert (await console.call("GET", "/v1/profiles", key="two")).json["items"] == []
    assert (await console.call("GET", path)).json == profile


@pytest.mark.parametrize("id_", ["0", "x", "-1", "1.5", "9" * 19, "9" * 40, "%00", "1%2F2", "٣"])
async def test_a_path_with_an_invalid_id_is_404(id_: str) -> None:
    console = Console()
    (await console.call("GET", f"/v1/profiles/{id_}")).problem(404)


async def test_a_read_with_the_current_version_is_304() -> None:
    console = Console()
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}"
    tag = (await console.call("GET", path)).headers["ETag"]
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        unchanged = await console.call("GET", path, If_None_Match=header)
        assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", tag)
    for header in ('"other"', tag.strip('"'), ""):
        assert (await console.call("GET", path, If_None_Match=header)).status == 200


async def test_a_write_with_another_version_is_412() -> None:
    console = Console()
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}"
    tag = f'"{profile["version"]}"'
    for header in ('"999"', f"W/{tag}", "nonsense"):
        (await console.call("PATCH", path, {"title": "x"}, If_Match=header)).problem(412)
        (await console.call("DELETE", path, If_Match=header)).problem(412)
    changed = await console.call("PATCH", path, {"title": "x"}, If_Match=tag)
    assert changed.status == 200
    (await console.call("PATCH", path, {"title": "y"}, If_Match=tag)).problem(412)
    assert (await console.call("DELETE", path, If_Match=changed.headers["ETag"])).status == 204


async def test_the_pages_of_a_list_contain_every_item_once() -> None:
    console = Console()
    handles = [f"p{number}" for number in range(5)]
    for handle in handles:
        await console.profile(handle)
    seen: list[str] = []
    query = "?limit=2"
    while query:
        page = (await console.call("GET", "/v1/profiles" + query)).json
        assert len(page["items"]) <= 2
        seen += [item["handle"] for item in page["items"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert seen == handles


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("limit=", "limit"),
        ("limit=" + "9" * 5000, "limit"), ("limit=1&limit=2", "limit"), ("cursor=", "cursor"),
        ("cursor=!!", "cursor"), ("cursor=YQ", "cursor"), ("cursor=MTA", "cursor"),
        ("cursor=" + "A" * 500, "cursor"), ("cursor=%ED%A0%80", "cursor"), ("page=2", "page"),
    ],
)  # fmt: skip
async def test_bad_parameters_of_a_list_are_named(query: str, field: str) -> None:
    console = Console()
    assert (await console.call("GET", f"/v1/profiles?{query}")).problem(422).keys() == {field}


async def test_a_store_that_is_away_is_503_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console()

    async def away(*_: object) -> object:
        raise UnavailableError("Postgres does not answer")

    monkeypatch.setattr(console.profiles, "list_profiles", away)
    response = await console.call("GET", "/v1/profiles")
    response.problem(503)
    assert response.headers["Retry-After"] == "1"


async def test_a_stuck_announcement_does_not_delay_the_response(autojump_clock: object) -> None:
    console = Console()
    console.announcer.stuck = True
    assert (await console.call("POST", "/v1/profiles", {"handle": "ada"})).status == 201
