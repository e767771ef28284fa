"""Options and labels of links, links without a slug, and links by other names, over HTTP."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.kit.consoles import VISITORS, Console

TARGET = "https://example.com/"
OPTIONS: dict[str, Any] = {
    "external_id": "sku-1", "tags": ["Print", "été"], "folder": "Shop", "notes": "two\nlines", "hidden": True,
    "position": 7, "paused": True, "paused_reason": "sold out", "quarantined": True,
    "quarantine_reason": "phishing?", "active_from": "2026-05-01T10:00:00Z",
    "active_until": "2026-06-01T10:00:00Z", "click_limit": 100, "fallback_target": "https://example.com/over",
    "utm": {"source": "bio", "medium": "social"}, "noindex": True, "extra_path": True,
    "preview": {"title": "Spring", "text": "All of it", "image": "https://example.com/spring.png"},
}  # fmt: skip


async def links_path(console: Console) -> str:
    return f"/v1/profiles/{(await console.profile())['id']}/links"


async def test_a_link_without_a_slug_gets_one() -> None:
    console = Console()
    links = await links_path(console)
    made = [(await console.call("POST", links, {"target": TARGET})).json for _ in range(3)]
    assert len({link["slug"] for link in made}) == 3
    assert all(link["short_url"] == f"{VISITORS}/{link['slug']}" for link in made)


async def test_every_option_is_kept_and_may_be_taken_back() -> None:
    console = Console()
    links = await links_path(console)
    created = await console.call("POST", links, {"target": TARGET, **OPTIONS})
    assert created.status == 201, created.body
    assert {name: created.json[name] for name in OPTIONS} == OPTIONS
    path = f"/v1/links/{created.json['id']}"
    assert (await console.call("GET", path)).json == created.json
    plain = (await console.call("POST", links, {"target": TARGET, "slug": "plain"})).json
    back = {name: plain[name] for name in OPTIONS if name != "position"}
    changed = (await console.call("PATCH", path, back)).json
    assert {name: changed[name] for name in back} == back
    assert changed["position"] == 7


async def test_a_password_is_never_shown() -> None:
    console = Console()
    links = await links_path(console)
    created = await console.call("POST", links, {"target": TARGET, "password": "correct horse"})
    assert created.json["has_password"] is True
    for text in (created.body, (await console.call("GET", links)).body):
        assert b"correct" not in text
        assert b"argon2" not in text
    path = f"/v1/links/{created.json['id']}"
    assert (await console.call("PATCH", path, {"title": "x"})).json["has_password"] is True
    assert (await console.call("PATCH", path, {"password": None})).json["has_password"] is False
    for bad in ("", "x" * 201, 7):
        problem = (await console.call("PATCH", path, {"password": bad})).problem(422)
        assert problem.keys() == {"password"}
    operations = [{"op": "create", "target": TARGET, "password": "p"}] * 11
    response = await console.call("POST", f"{links}/bulk", {"operations": operations})
    assert "at most 10 passwords" in response.problem(422)["operations"]
    response = await console.call("POST", f"{links}/bulk", {"operations": operations[:2]})
    assert [each["link"]["has_password"] for each in response.json["results"]] == [True, True]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"tags": ["a,b", "", "x" * 51]}, {"tags[0]", "tags[1]", "tags[2]"}),
        ({"tags": [str(n) for n in range(21)]}, {"tags"}),
        ({"tags": "a"}, {"tags"}),
        ({"external_id": " a"}, {"external_id"}),
        ({"folder": "x" * 101, "notes": "x\0"}, {"folder", "notes"}),
        ({"active_from": "2026-05-01T10:00:00"}, {"active_from"}),
        ({"active_from": "2026-05-02T00:00:00Z", "active_until": "2026-05-01T00:00:00Z"}, {"active_until"}),
        ({"click_limit": 0}, {"click_limit"}),
        ({"click_limit": 10**10}, {"click_limit"}),
        ({"fallback_target": "javascript:x"}, {"fallback_target"}),
        ({"utm": {"source": "a\nb"}}, {"utm.source"}),
        ({"utm": {"other": "x"}}, {"utm"}),
        ({"position": 10**10}, {"position"}),
        ({"web_target": TARGET}, {"web_target"}),
        ({"target": "https://{1}/", "extra_path": True}, {"target"}),
        ({"target": "tel:+39", "kind": "tel", "extra_path": True}, {"extra_path"}),
        ({"extra_path": "yes"}, {"extra_path"}),
        ({"kind": "app", "target": "tg://x"}, {"web_target"}),
        ({"kind": "app", "target": "tg://x", "web_target": "tg://y"}, {"web_target"}),
        ({"target": TARGET + "x" * 32_768}, {"target"}),
        ({"rules": [{"when": {"query": {str(n): []}}, "target": TARGET + "x" * 9_000}
                    for n in range(8)]}, {"rules"}),
    ],
)  # fmt: skip
async def test_bad_options_are_named(fields: dict[str, Any], names: set[str]) -> None:
    console = Console()
    links = await links_path(console)
    response = await console.call("POST", links, {"target": TARGET, **fields})
    assert response.problem(422).keys() == names


async def test_an_app_link_has_a_web_target() -> None:
    console = Console()
    links = await links_path(console)
    body = {"target": "tg://resolve?domain=ada", "kind": "app", "web_target": "https://t.me/ada"}
    link = (await console.call("POST", links, body)).json
    assert (link["target"], link["web_target"]) == (body["target"], body["web_target"])
    path = f"/v1/links/{link['id']}"
    bad = await console.call("PATCH", path, {"web_target": f"{VISITORS}/x"})
    assert bad.problem(422).keys() == {"web_target"}
    changed = await console.call("PATCH", path, {"kind": "url", "target": TARGET, "web_target": ""})
    assert (changed.status, changed.json["web_target"]) == (200, "")


async def test_an_external_id_is_created_then_changed() -> None:
    console = Console()
    links = await links_path(console)
    path = f"{links}/external/sku-1"
    created = await console.call("PUT", path, {"target": TARGET})
    assert (created.status, created.json["external_id"]) == (201, "sku-1")
    assert created.headers["Location"] == f"/v1/links/{created.json['id']}"
    again = await console.call("PUT", path, {"target": TARGET})
    assert (again.status, again.json) == (200, created.json)
    changed = await console.call("PUT", path, {"title": "New"})
    assert (changed.json["title"], changed.json["target"]) == ("New", TARGET)
    assert (await console.call("PUT", f"{links}/external/none", {})).problem(422).keys() == {
        "target"
    }
    body = {"target": TARGET, "external_id": "other"}
    assert (await console.call("PUT", path, body)).problem(422).keys() == {"external_id"}
    (await console.call("PUT", path, {"target": TARGET}, key="two")).problem(404)


@pytest.mark.parametrize("external_id", ["a/b", "/a", "a/", "a//b", "shop/../7", "?#%2F+é"])
async def test_an_external_id_may_have_any_visible_characters(external_id: str) -> None:
    console = Console()
    links = await links_path(console)
    path = f"{links}/external/{quote(external_id, safe='')}"
    created = await console.call("PUT", path, {"target": TARGET})
    assert (created.status, created.json["external_id"]) == (201, external_id)
    assert (await console.call("PUT", path, {"title": "New"})).json["id"] == created.json["id"]
    (await console.call("PUT", path, {"target": TARGET}, key="two")).problem(404)


async def test_an_existing_link_is_returned_if_wanted() -> None:
    console = Console()
    links = await links_path(console)
    first = (await console.call("POST", links, {"slug": "a", "target": TARGET})).json
    (await console.call("POST", links, {"slug": "a", "target": TARGET})).problem(409)
    for body in ({"slug": "A", "target": "https://other.example/"}, {"target": TARGET}):
        same = await console.call("POST", f"{links}?if_exists=return", body)
        assert (same.status, same.json) == (200, first)
    new = await console.call("POST", f"{links}?if_exists=return", {"slug": "b", "target": TARGET})
    assert new.status == 201
    bad = await console.call("POST", f"{links}?if_exists=x", {"target": TARGET})
    assert bad.problem(422).keys() == {"if_exists"}


async def test_a_list_is_searched_filtered_and_sorted() -> None:
    console = Console()
    links = await links_path(console)
    for slug, tag in (("a", "print"), ("b", "web"), ("c", "print")):
        await console.call(
            "POST", links, {"slug": slug, "target": TARGET, "tags": [tag], "title": slug}
        )

    async def slugs(query: str) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = (await console.call("GET", f"{links}?{query}&limit=1{cursor}")).json
            found += [link["slug"] for link in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    assert await slugs("tag=PRINT") == ["a", "c"]
    assert await slugs("q=b&state=active") == ["b"]
    assert await slugs("sort=-title") == ["c", "b", "a"]
    assert await slugs("tag=print&sort=-updated") == ["c", "a"]
    first = (await console.call("GET", f"{links}?sort=title&limit=1")).json["next_cursor"]
    response = await console.call("GET", f"{links}?sort=created&cursor={first}")
    assert response.problem(422).keys() == {"cursor"}
    response = await console.call("GET", f"{links}?sort=x&state=y&q=&colour=z&health=w&hidden=no")
    assert response.problem(422).keys() == {"sort", "state", "q", "colour", "health", "hidden"}


async def test_a_link_is_looked_up_by_its_address() -> None:
    console = Console()
    links = await links_path(console)
    link = (await console.call("POST", links, {"slug": "Été", "target": TARGET})).json
    for url in (link["url"], link["short_url"], "/anna/été", "ÉTÉ", f"{link['short_url']}?x=1"):
        assert (await console.call("GET", f"/v1/links/lookup?url={quote(url)}")).json == link, url
    for url in (f"{VISITORS}/none", "https://elsewhere.example/x", f"{VISITORS}/@anna", "/a/b/c"):
        (await console.call("GET", f"/v1/links/lookup?url={url}")).problem(404)
    (await console.call("GET", f"/v1/links/lookup?url={link['url']}", key="two")).problem(404)
    assert (await console.call("GET", "/v1/links/lookup")).problem(422).keys() == {"url"}


async def test_links_are_put_in_order() -> None:
    console = Console()
    links = await links_path(console)
    ids = [(await console.call("POST", links, {"target": TARGET})).json["id"] for _ in range(3)]
    assert (await console.call("PUT", f"{links}/order", {"ids": ids[::-1]})).status == 200
    page = (await console.call("GET", f"{links}?sort=position")).json["items"]
    assert [link["id"] for link in page] == ids[::-1]
    for bad in ([], ["x"], [ids[0], ids[0]], "x", ["1"] * 1001):
        response = await console.call("PUT", f"{links}/order", {"ids": bad})
        assert response.problem(422).keys() == {"ids"}
    (await console.call("PUT", f"{links}/order", {"ids": [ids[0], "1"]})).problem(404)
    (await console.call("PUT", f"{links}/order", {"ids": ids}, key="two")).problem(404)


async def test_no_target_may_lead_back_to_this_server() -> None:
    console = Console()
    links = await links_path(console)
    own = f"{VISITORS}/a"
    body: dict[str, Any] = {"target": own, "slug": "a", "fallback_target": own}
    body["rules"] = [{"when": {"device": ["phone"]}, "target": own}]
    refused = (await console.call("POST", links, body)).problem(422)
    assert refused.keys() == {"target", "fallback_target", "rules[0].target"}
    page = {"target": f"{VISITORS}/@anna", "slug": "page"}
    assert (await console.call("POST", links, page)).status == 201
