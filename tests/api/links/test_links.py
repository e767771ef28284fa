"""`/v1/profiles/{id}/links` and `/v1/links/{id}` over the memory store."""

from typing import Any

import pytest

from engine.links.health import CheckOutcome
from engine.links.health_ports import START
from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Console


async def test_a_link_shows_what_a_reader_looks_for_first() -> None:
    console = Console()
    link = await console.link((await console.profile())["id"])
    assert list(link)[:4] == ["id", "slug", "title", "target"]
    assert list(link)[-3:] == ["version", "created_at", "updated_at"]


async def test_a_status_is_one_of_four() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/links"
    for status in range(300, 310):
        body = {"slug": f"s{status}", "target": "https://a.example/", "status": status}
        response = await console.call("POST", path, body)
        if status in (301, 302, 307, 308):
            assert response.json["status"] == status
        else:
            assert response.problem(422).keys() == {"status"}


async def test_create_read_list_update_delete() -> None:
    console = Console()
    profile = await console.profile()
    links = f"/v1/profiles/{profile['id']}/links"
    created = await console.call("POST", links, {"slug": "Spring", "target": "https://Example.com"})
    assert created.status == 201
    link = created.json
    assert created.headers["Location"] == f"/v1/links/{link['id']}"
    assert link.keys() == {
        "id", "profile_id", "slug", "target", "title", "status", "kind", "passthrough", "click_id", "short",
        "url", "short_url", "version", "created_at", "updated_at", "external_id", "tags", "folder", "notes",
        "hidden", "position", "has_password", "opening_clicks", "paused",
        "paused_reason", "quarantined", "quarantine_reason", "engine_quarantine", "active_from", "active_until",
        "click_limit", "fallback_target", "web_target", "extra_path", "rules", "utm", "noindex", "preview",
    }  # fmt: skip
    assert (link["slug"], link["target"]) == ("spring", "https://example.com/")
    assert (link["status"], link["kind"], link["passthrough"]) == (302, "url", False)
    assert link["profile_id"] == profile["id"]
    assert link["url"] == f"{VISITORS}/anna/spring"
    assert (link["short"], link["short_url"]) == (True, f"{VISITORS}/spring")

    path = f"/v1/links/{link['id']}"
    read = await console.call("GET", path)
    assert read.json == link
    assert (await console.call("GET", path, If_None_Match=read.headers["ETag"])).status == 304
    assert (await console.call("GET", links)).json == {"items": [link], "next_cursor": None}

    changed = await console.call("PATCH", path, {"status": 301, "passthrough": True})
    assert changed.status == 200
    assert (changed.json["status"], changed.json["passthrough"]) == (301, True)
    assert changed.json["target"] == link["target"]
    (await console.call("PATCH", path, {"status": 302}, If_Match=read.headers["ETag"])).problem(412)

    assert (await console.call("DELETE", path)).status == 204
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        (await console.call(method, path, body)).problem(404)
    assert len(console.announcer.changes) == 4
    versions = [change.version for change in console.announcer.changes]
    assert versions == sorted(set(versions))


async def test_every_bad_field_is_named_at_once() -> None:
    console = Console()
    profile = await console.profile()
    links = f"/v1/profiles/{profile['id']}/links"
    body = {"slug": "a b", "target": "ftp://x", "title": 1, "status": "302", "more": [], "id": "1"}
    errors = (await console.call("POST", links, body)).problem(422)
    assert errors.keys() == {"slug", "target", "title", "status", "more", "id"}
    errors = (await console.call("POST", links, {})).problem(422)
    assert errors == {"target": "is required"}


async def test_an_invalid_kind_does_not_make_the_target_invalid() -> None:
    console = Console()
    profile = await console.profile()
    for kind in (5, "fax"):
        body = {"slug": "mail", "target": "mailto:a@example.com", "kind": kind}
        response = await console.call("POST", f"/v1/profiles/{profile['id']}/links", body)
        assert response.problem(422).keys() == {"kind"}


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 2**63, 1e30, [], {}, [[]], "", "\0", "\x1b[31m", "\u202e", "\ud7ff",
    "\U0010ffff", "a" * 100_000, "%00", "' OR 1=1--", "<script>", "\r\nX: y", "\ufeff", "../..",
]  # fmt: skip


@pytest.mark.parametrize("field", ["slug", "target", "title", "status", "kind", "passthrough"])
async def test_hostile_values_are_refused_or_kept_whole(field: str) -> None:
    console = Console()
    profile = await console.profile()
    for number, value in enumerate(HOSTILE):
        body = {"slug": f"s{number}", "target": "https://example.com/", field: value}
        response = await console.call("POST", f"/v1/profiles/{profile['id']}/links", body)
        if response.status == 201:
            made = field == "slug" and value is None
            assert made or response.json[field] == value
        else:
            assert response.problem(422).keys() == {field}


@pytest.mark.parametrize("name", ["\0", "\u202e", "x" * 10_000, "", "__class__", "a.b"])
async def test_hostile_names_of_fields_are_clean_in_the_response(name: str) -> None:
    console = Console()
    profile = await console.profile()
    body = {"slug": "s", "target": "https://example.com/", name: 1}
    response = await console.call("POST", f"/v1/profiles/{profile['id']}/links", body)
    (field,) = response.problem(422)
    assert len(field) <= 64
    assert field.isprintable()


async def test_slugs_and_short_links_are_unique() -> None:
    console = Console()
    first, second = await console.profile("one"), await console.profile("two")
    await console.link(first["id"])
    body = {"slug": "SPRING", "target": "https://example.com/"}
    response = await console.call("POST", f"/v1/profiles/{first['id']}/links", body)
    assert response.problem(409).keys() == {"slug"}
    other = await console.link(second["id"])
    assert (other["short"], other["short_url"]) == (False, None)
    response = await console.call("PATCH", f"/v1/links/{other['id']}", {"short": True})
    assert response.problem(409).keys() == {"short"}


async def test_links_of_other_tenants_and_of_unknown_profiles_do_not_exist() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"])
    body = {"slug": "x", "target": "https://example.com/"}
    links, path = f"/v1/profiles/{profile['id']}/links", f"/v1/links/{link['id']}"
    (await console.call("GET", path, key="two")).problem(404)
    (await console.call("PATCH", path, {"title": "x"}, key="two")).problem(404)
    (await console.call("DELETE", path, key="two")).problem(404)
    (await console.call("GET", links, key="two")).problem(404)
    (await console.call("POST", links, body, key="two")).problem(404)
    (await console.call("POST", "/v1/profiles/5/links", body)).problem(404)


async def test_private_targets_are_refused_unless_the_setting_allows_them() -> None:
    console = Console(settings=Settings(visitors_url=VISITORS, private_targets=False))
    profile = await console.profile()
    body = {"slug": "x", "target": "http://127.0.0.1/"}
    response = await console.call("POST", f"/v1/profiles/{profile['id']}/links", body)
    assert response.problem(422).keys() == {"target"}


async def test_urls_are_encoded_as_browsers_send_them() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], "été")
    assert link["slug"] == "été"
    assert link["url"] == f"{VISITORS}/anna/%C3%A9t%C3%A9"


async def test_a_link_shows_its_health_after_the_first_check() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"])
    before = await console.call("GET", f"/v1/links/{link['id']}")
    assert "health" not in before.json
    await console.link_health.discover(START, 10)
    ((check,), now) = await console.link_health.claim(10)
    await console.link_health.record([CheckOutcome(check, "broken", 404, "it answers 404", 0, now)])
    after = await console.call(
        "GET", f"/v1/links/{link['id']}", If_None_Match=before.headers["ETag"]
    )
    assert after.json["health"] == {
        "state": "broken", "status": 404, "reason": "it answers 404",
        "checked_at": "2026-03-15T10:07:00Z", "since": "2026-03-15T10:07:00Z",
    }  # fmt: skip
