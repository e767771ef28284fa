"""Exports and imports of links: what is exported is what an import makes, and the other way round."""

from typing import Any

import pytest

from engine.links.blocklist import Blocklist
from engine.links.imports.exported_link import EXPORT_COLUMNS
from engine.links.link import Link, LinkDraft
from tests.kit.consoles import Console
from tests.kit.link_files import link_file

TARGET = "https://example.com/"
FIELDS: dict[str, Any] = {
    "title": "=1+1", "status": 308, "passthrough": True, "click_id": True, "short": False, "external_id": "7",
    "tags": ["a|b", "c;d"], "folder": " Shop", "notes": "'=x,\r\n\"y\"\n", "hidden": True, "position": -4,
    "opening_clicks": 41, "paused": True, "paused_reason": "why", "click_limit": 9,
    "fallback_target": TARGET, "utm": {"source": "bio", "content": "@x"}, "noindex": True, "password": "secret",
    "active_from": "2026-01-01T10:00:00+02:00", "active_until": "2027-01-01T00:00:00.5Z",
    "rules": [{"when": {"device": ["phone"]}, "target": TARGET}],
}  # fmt: skip


async def test_every_field_of_a_link_is_a_column() -> None:
    left_out = {"id", "profile_id", "version", "updated_at", "github", "health", "password", "utm"}
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
    assert exported.body.count(b"https://example.com/") == 5
    for expected in ({"created": 3, "unchanged": 0}, {"created": 0, "unchanged": 3}):
        answer = await second.call("POST", f"/v1/profiles/{ids[1]}/imports", exported.body)
        assert answer.status == 200, answer.body
        assert expected.items() <= answer.json.items()
        assert (answer.json["rejects"], answer.json["unread"]) == ([], [])
    again = (await second.call("GET", path.format(ids[1]))).body
    assert again.decode().splitlines() == exported.body.decode().splitlines()
    assert again == exported.body


async def test_an_import_answers_with_its_counts_and_its_rejected_rows() -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    path = f"/v1/profiles/{id_}/imports"
    file = f"Kurz;Wohin;Farbe\na;{TARGET};red\na;{TARGET}2;\nb;javascript:1;\n".encode("utf-16")
    query = "?column=slug=Kurz&column=target=Wohin"
    for dry_run, links in (("&dry_run=true", 0), ("", 1)):
        answer = (await console.call("POST", path + query + dry_run, file)).json
        assert (answer["created"], answer["rejected"], answer["dry_run"]) == (1, 2, not links)
        assert [reject["line"] for reject in answer["rejects"]] == [3, 4]
        assert "is that of line 2, too" in answer["rejects"][0]["reason"]
        assert answer["unread"] == ["Farbe"]
        assert len((await console.call("GET", f"/v1/profiles/{id_}/links")).json["items"]) == links
    changed = f"slug,target\na,{TARGET}new\n".encode()
    refused = (await console.call("POST", path + "?if_exists=reject", changed)).json
    assert (refused["updated"], refused["rejected"]) == (0, 1)
    assert (await console.call("POST", path, changed)).json["updated"] == 1


async def test_a_row_to_an_address_on_the_blocklist_is_rejected() -> None:
    console = Console(blocklist=Blocklist(frozenset({"bad.example"})))
    id_ = (await console.profile())["id"]
    file = f"slug,target\na,https://bad.example/x\nb,{TARGET}\n".encode()
    answer = (await console.call("POST", f"/v1/profiles/{id_}/imports", file)).json
    assert (answer["created"], answer["rejected"]) == (1, 1)
    assert "blocklist" in answer["rejects"][0]["reason"]


async def test_what_an_import_and_an_export_refuse() -> None:
    console = Console()
    id_ = (await console.profile())["id"]
    path = f"/v1/profiles/{id_}/imports"
    for query, field in (
        ("?dry_run=yes", "dry_run"), ("?if_exists=skip", "if_exists"), ("?column=colour=red", "column"),
        ("?column=slug", "column"), ("?more=1", "more"), ("?dry_run=true&dry_run=true", "dry_run"),
        ("?column=slug=Short", "slug"), ("", "body"),
    ):  # fmt: skip
        body = b"" if field == "body" else b"slug,target\n"
        assert field in (await console.call("POST", path + query, body)).problem(422), query
    header = b"slug,target,target\n"
    assert "header" in (await console.call("POST", path, header)).problem(422)
    export = f"/v1/profiles/{id_}/links/export"
    for query in ("", "?format=xml", "?format=csv&more=1"):
        (await console.call("GET", export + query)).problem(422)
    for call in (("GET", export + "?format=csv"), ("POST", path, b"slug,target\n")):
        (await console.call(*call, key="two")).problem(404)


def test_an_export_is_known_as_one_of_ours() -> None:
    source = link_file(",".join(EXPORT_COLUMNS) + "\r\n")
    assert (source.tag_separators, source.unread) == (",", [])
