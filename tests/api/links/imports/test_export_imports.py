"""Exports and imports of links: what is exported is what an import makes, and the other way round."""

from typing import Any

import pytest
import trio
from quart_trio.testing import TrioClient

from api.links.imports.imports import SILENCE_S
from engine.links.imports.exported_link import EXPORT_COLUMNS
from engine.links.link import Link, LinkDraft
from engine.links.targets.blocklist import Blocklist
from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Console
from tests.kit.file_imports import imported
from tests.kit.link_files import link_file

TARGET = "https://example.com/"
FIELDS: dict[str, Any] = {
    "title": "=1+1", "status": 308, "passthrough": True, "click_id": True, "short": False, "external_id": "7",
    "tags": ["a|b", "c;d"], "folder": " Shop", "notes": "'=x,\r\n\"y\"\n", "hidden": True, "position": -4,
    "opening_clicks": 41, "paused": True, "paused_reason": "why", "click_limit": 9,
    "fallback_target": TARGET, "utm": {"source": "bio", "content": "@x"}, "noindex": True, "extra_path": True,
    "password": "secret",
    "active_from": "2026-01-01T10:00:00+02:00", "active_until": "2027-01-01T00:00:00.5Z",
    "rules": [{"when": {"device": ["phone"]}, "target": TARGET}],
    "preview": {"title": "a, \"b\"", "image": TARGET + "x.png"},
}  # fmt: skip


async def test_every_field_of_a_link_is_a_column() -> None:
    left_out = {"id", "profile_id", "version", "updated_at", "github", "health", "password", "utm"}
    # Counts and what an engine thinks of a target stay with the engine that has them.
    left_out |= {"clicks", "counts_offset", "engine_quarantine"}
    assert set(Link.__struct_fields__) - left_out <= set(EXPORT_COLUMNS)
    assert set(LinkDraft.__struct_fields__) - {"password", "utm"} <= set(EXPORT_COLUMNS)
    assert {"password_hash", "utm_source", "utm_content"} <= set(EXPORT_COLUMNS)


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_an_export_and_its_import_and_its_export_are_the_same(format_: str) -> None:
    first, second = Console(), Console()
    ids = [(await console.profile())["id"] for console in (first, second)]
    await first.link(ids[0], "full", **FIELDS)
    await first.link(ids[0], "plain")
    await first.link(ids[0], "grün")
    path = "/v1/profiles/{}/links/export?format=" + format_
    exported = await first.call("GET", path.format(ids[0]))
    assert exported.status == 200
    assert exported.body.count(b"https://example.com/") == 6
    for expected in ({"created": 3, "unchanged": 0}, {"created": 0, "unchanged": 3}):
        answer = await imported(second, ids[1], exported.body)
        assert expected.items() <= answer.json.items()
        assert (answer.json["rejected"], answer.json["unread"]) == (0, [])
    again = (await second.call("GET", path.format(ids[1]))).body
    assert again.decode().splitlines() == exported.body.decode().splitlines()
    assert again == exported.body


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
async def test_slugs_that_domains_allow_are_exported_as_they_are_imported(format_: str) -> None:
    first, second = Console(), Console()
    ids = [(await console.profile())["id"] for console in (first, second)]
    allowed = {"host": "links.example.com", "slugs": ["case_sensitive", "slashes", "dots", "emoji"]}
    slugs = ("Spring", "spring", "v1.2/docs", "v1.2", "example.com/x", "\U0001f381", "b/B")
    for console, id_ in zip((first, second), ids, strict=True):
        made = await console.call("POST", f"/v1/profiles/{id_}/domains", allowed)
        assert made.json["slugs"] == allowed["slugs"]
    for slug in slugs:
        assert (await first.link(ids[0], slug))["slug"] == slug
    path = "/v1/profiles/{}/links/export?format=" + format_
    exported = await first.call("GET", path.format(ids[0]))
    for expected in (
        {"created": len(slugs), "rejected": 0},
        {"unchanged": len(slugs), "rejected": 0},
    ):
        answer = await imported(second, ids[1], exported.body)
        assert expected.items() <= answer.json.items()
    assert (await second.call("GET", path.format(ids[1]))).body == exported.body
    plain = Console()
    elsewhere = (await plain.profile())["id"]
    answer = await imported(plain, elsewhere, exported.body)
    assert {"created": 1, "rejected": len(slugs) - 1}.items() <= answer.json.items()


async def test_an_import_answers_with_its_counts_and_lists_its_rejected_rows() -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    file = f"Kurz;Wohin;Farbe\na;{TARGET};red\na;{TARGET}2;\nb;javascript:1;\n".encode("utf-16")
    query = "?column=slug=Kurz&column=target=Wohin"
    for dry_run, links in (("&dry_run=true", 0), ("", 1)):
        answer = (await imported(console, id_, file, query + dry_run)).json
        assert (answer["created"], answer["rejected"], answer["dry_run"]) == (1, 2, not links)
        assert (answer["state"], answer["total"], answer["size"]) == ("succeeded", 3, len(file))
        assert answer["unread"] == ["Farbe"]
        path = f"/v1/profiles/{id_}/imports/{answer['id']}/rejects?limit=1"
        page = (await console.call("GET", path)).json
        assert page["items"] == [
            {"line": 3, "reason": "slug 'a' of anna is that of line 2, too", "first_line": 2}
        ]
        page = (await console.call("GET", f"{path}&cursor={page['next_cursor']}")).json
        assert [(each["line"], each["first_line"]) for each in page["items"]] == [(4, None)]
        assert len((await console.call("GET", f"/v1/profiles/{id_}/links")).json["items"]) == links
    changed = f"slug,target\na,{TARGET}new\n".encode()
    refused = (await imported(console, id_, changed, "?if_exists=reject")).json
    assert (refused["updated"], refused["rejected"]) == (0, 1)
    assert (await imported(console, id_, changed)).json["updated"] == 1
    imports = (await console.call("GET", f"/v1/profiles/{id_}/imports?limit=3")).json
    assert [each["updated"] for each in imports["items"]] == [1, 0, 0]
    assert imports["next_cursor"]


async def test_a_row_to_an_address_on_the_blocklist_is_rejected() -> None:
    console = Console(blocklist=Blocklist(frozenset({"bad.example"})))
    id_ = (await console.profile())["id"]
    file = f"slug,target\na,https://bad.example/x\nb,{TARGET}\n".encode()
    answer = (await imported(console, id_, file)).json
    assert (answer["created"], answer["rejected"]) == (1, 1)
    path = f"/v1/profiles/{id_}/imports/{answer['id']}/rejects"
    assert "blocklist" in (await console.call("GET", path)).json["items"][0]["reason"]


async def test_a_file_may_be_larger_than_other_bodies_up_to_its_own_limit() -> None:
    settings = Settings(visitors_url=VISITORS + "/", max_body_bytes=1024, max_import_bytes=200_000)
    console = Console(settings=settings)
    id_ = (await console.profile())["id"]
    path = f"/v1/profiles/{id_}/imports"
    rows = "".join(f"s{n},{TARGET}{n}\n" for n in range(3_000))
    answer = (await imported(console, id_, ("slug,target\n" + rows).encode())).json
    assert (answer["created"], answer["rejected"]) == (3_000, 0)
    (await console.call("POST", path, b"x" * 200_001)).problem(413)
    (await console.call("POST", path + "/1/cancel", b"x" * 1_025)).problem(409)
    (await console.call("POST", f"/v1/profiles/{id_}/links", b"x" * 1_025)).problem(413)
    assert len((await console.call("GET", path)).json["items"]) == 1


async def test_a_waiting_import_is_cancelled_and_a_fourth_waits_for_one_to_end() -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    path = f"/v1/profiles/{id_}/imports"
    for _ in range(3):
        sent = await console.call("POST", path, b"slug,target\n")
        assert (sent.status, sent.json["state"]) == (202, "queued")
    refused = await console.call("POST", path, b"slug,target\n")
    refused.problem(429)
    assert refused.headers["Retry-After"] == "10"
    cancel = f"{sent.headers['Location']}/cancel"
    assert (await console.call("POST", cancel)).json["state"] == "cancelled"
    (await console.call("POST", cancel)).problem(409)
    assert (await console.call("POST", path, b"slug,target\n")).status == 202


async def test_a_file_that_stops_arriving_is_refused_and_leaves_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    connection = TrioClient(console.app).request(
        f"/v1/profiles/{id_}/imports", method="POST", headers={"Authorization": "Bearer one"}
    )
    async with connection:
        await connection.send(b"slug,target\n")
        await trio.sleep(SILENCE_S + 1)
        response = await connection.as_response()
    assert response.status_code == 408
    assert (await console.call("GET", f"/v1/profiles/{id_}/imports")).json["items"] == []
    for _ in range(3):  # the broken one is not among the tenant's
        assert (await console.call("POST", f"/v1/profiles/{id_}/imports", b"x")).status == 202


async def test_what_an_import_and_an_export_refuse() -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    path = f"/v1/profiles/{id_}/imports"
    for query, field in (
        ("?dry_run=yes", "dry_run"), ("?if_exists=skip", "if_exists"), ("?column=colour=red", "column"),
        ("?column=slug", "column"), ("?more=1", "more"), ("?dry_run=true&dry_run=true", "dry_run"),
        ("?column=slug=" + "x" * 201, "column"), ("", "body"),
    ):  # fmt: skip
        body = b"" if field == "body" else b"slug,target\n"
        assert field in (await console.call("POST", path + query, body)).problem(422), query
    header = (await imported(console, id_, b"slug,target,target\n")).json
    assert (header["state"], "twice" in header["error"]) == ("failed", True)
    export = f"/v1/profiles/{id_}/links/export"
    for query in ("", "?format=xml", "?format=csv&more=1"):
        (await console.call("GET", export + query)).problem(422)
    of_import = f"{path}/{header['id']}"
    for call in (
        ("GET", export + "?format=csv"), ("POST", path, b"slug,target\n"), ("GET", path), ("GET", of_import),
        ("GET", of_import + "/rejects"), ("POST", of_import + "/cancel"),
    ):  # fmt: skip
        (await console.call(*call, key="two")).problem(404)
    for query in ("?limit=0", "?cursor=x", "?more=1"):
        (await console.call("GET", path + query)).problem(422)
        (await console.call("GET", of_import + "/rejects" + query)).problem(422)


def test_an_export_is_known_as_one_of_ours() -> None:
    source = link_file(",".join(EXPORT_COLUMNS) + "\r\n")
    assert (source.tag_separators, source.unread) == (",", [])
