"""What slugs may have at a domain, over the API: the field, links that use it, and what keeps it."""

from typing import Any
from urllib.parse import quote

import pytest

from engine.links.codes.qr import QrLook, qr_image
from engine.links.domain import TxtAnswer, look_result, record_value
from engine.links.slugs.slug_rules import FEATURES
from tests.kit.consoles import VISITORS, Console

GIFT = "\U0001f381"
HOST = "links.example.com"


async def with_domain(console: Console, *slugs: str) -> tuple[str, dict[str, Any]]:
    """Return the id of a profile and its verified domain."""
    profile = (await console.profile())["id"]
    body = {"host": HOST, "slugs": list(slugs)}
    made = await console.call("POST", f"/v1/profiles/{profile}/domains", body)
    assert made.status == 201, made.body
    due = await console.domains.claim(10)
    looks = [look_result(each, TxtAnswer((record_value(each.token),))) for each in due]
    await console.domains.record(looks)
    domain = await console.call("GET", f"/v1/domains/{made.json['id']}")
    return profile, domain.json


async def test_a_domain_says_what_its_slugs_may_have() -> None:
    console = Console()
    _, domain = await with_domain(console)
    url = f"/v1/domains/{domain['id']}"
    assert domain["slugs"] == []
    changed = await console.call("PATCH", url, {"slugs": ["emoji", "dots", "dots"]})
    assert (changed.status, changed.json["slugs"]) == (200, ["dots", "emoji"])
    same = await console.call("PATCH", url, {"slugs": ["dots", "emoji"]})
    assert same.json["version"] == changed.json["version"]
    kept = await console.call("PATCH", url, {"root_target": "https://example.com/"})
    assert kept.json["slugs"] == ["dots", "emoji"]
    for bad in (["spaces"], "dots", [1], [None]):
        fields = (await console.call("PATCH", url, {"slugs": bad})).problem(422)
        assert {field.partition(".")[0].partition("[")[0] for field in fields} == {"slugs"}, bad
    (await console.call("PATCH", url, {"slugs": []}, key="two")).problem(404)


@pytest.mark.parametrize("slug", ["Spring", "v1.2", "docs/a", GIFT, f"Docs/{GIFT}.x"])
async def test_a_link_has_a_slug_that_a_domain_allows(slug: str) -> None:
    console = Console()
    profile, _ = await with_domain(console, *FEATURES)
    link = await console.link(profile, slug)
    assert link["slug"] == slug
    assert link["url"] == f"{VISITORS}/~anna/{quote(slug)}"
    assert (link["short"], link["short_url"]) == (False, None)
    for address in (
        link["url"],
        f"/~anna/{slug}",
        f"https://{HOST}/{slug}",
        f"http://{HOST}:8080/{slug}?x",
    ):
        looked_up = await console.call("GET", f"/v1/links/lookup?url={quote(address, safe='')}")
        assert looked_up.json == link, address
    (await console.call("GET", f"/v1/links/lookup?url=https://{HOST}/none")).problem(404)
    path = f"/v1/links/lookup?url={quote(link['url'], safe='')}"
    (await console.call("GET", path, key="two")).problem(404)
    path = f"/v1/links/lookup?url=https://{HOST}/{quote(quote(slug))}"
    (await console.call("GET", path, key="two")).problem(404)
    code = await console.call("GET", f"/v1/links/{link['id']}/qr?domain={HOST}")
    assert code.body == qr_image(f"https://{HOST}/{quote(slug)}", QrLook())
    code = await console.call("GET", f"/v1/links/{link['id']}/qr")
    assert code.body == qr_image(link["url"], QrLook())
    explained = await console.call("GET", f"/v1/links/{link['id']}/explain")
    assert explained.json["target"] == link["target"]


async def test_a_slug_that_no_domain_allows_is_refused_with_the_reason() -> None:
    console = Console()
    profile, domain = await with_domain(console, "dots")
    links = f"/v1/profiles/{profile}/links"
    for slug, word in (("docs/a", "'/'"), (GIFT, "emoji"), ("a b", "letters")):
        refused = await console.call("POST", links, {"slug": slug, "target": "https://a.example/"})
        assert word in refused.problem(422)["slug"]
    link = await console.link(profile, "v1.2")
    body = {"short": True}
    assert (await console.call("PATCH", f"/v1/links/{link['id']}", body)).problem(422).keys() == {
        "short"
    }
    console2 = await console.link(profile, "spring")
    renamed = await console.call("PATCH", f"/v1/links/{console2['id']}", {"slug": "v1.3"})
    assert (renamed.status, renamed.json["slug"], renamed.json["short"]) == (200, "v1.3", False)
    other = f"/v1/profiles/{profile}/domains"
    second = (await console.call("POST", other, {"host": "b.example.com"})).json
    due = await console.domains.claim(10)
    looks = [look_result(each, TxtAnswer((record_value(each.token),))) for each in due]
    await console.domains.record(looks)
    code = await console.call("GET", f"/v1/links/{link['id']}/qr?domain={second['host']}")
    assert "'.'" in code.problem(422)["domain"]
    url = f"/v1/domains/{domain['id']}"
    for call in (console.call("PATCH", url, {"slugs": ["slashes"]}), console.call("DELETE", url)):
        reason = (await call).problem(409)["slugs"]
        assert reason.endswith("the slugs v1.2, v1.3")
    assert (await console.call("DELETE", f"/v1/domains/{second['id']}")).status == 204


async def test_lists_bulk_changes_and_existing_links_take_such_slugs() -> None:
    console = Console()
    profile, _ = await with_domain(console, *FEATURES)
    links = f"/v1/profiles/{profile}/links"
    body = {"slug": "Docs/v1.2", "target": "https://a.example/"}
    first = (await console.call("POST", links, body)).json
    again = await console.call("POST", f"{links}?if_exists=return", body)
    assert (again.status, again.json["id"]) == (200, first["id"])
    small = await console.call("POST", f"{links}?if_exists=return", {**body, "slug": "docs/v1.2"})
    assert small.status == 201
    external = f"{links}/external/sku%2F1"
    put = await console.call("PUT", external, {"slug": GIFT, "target": "https://a.example/"})
    assert (put.status, put.json["slug"]) == (201, GIFT)
    found = (await console.call("GET", f"{links}?q=Docs/v1")).json["items"]
    assert sorted(link["slug"] for link in found) == ["Docs/v1.2", "docs/v1.2"]
    (await console.call("POST", links, body)).problem(409)


async def test_the_operator_s_list_of_reports_has_the_address_that_leads_there() -> None:
    console = Console()
    profile, _ = await with_domain(console, *FEATURES)
    link = await console.link(profile, "Docs/v1.2")
    await console.reports.report(1, int(link["id"]), b"1" * 8, "spam", "")
    (listed,) = (await console.call("GET", "/v1/operator/reports")).json["items"]
    assert listed["url"] == link["url"]
