"""`GET /v1/links/{id}/explain`: which rule a visit meets, and why not another."""

from urllib.parse import quote

import pytest

from tests.kit.consoles import Console

RULES = [
    {"when": {"device": ["phone"], "country": ["DE", "AT"]}, "target": "https://phone.example/"},
    {"when": {"ip": ["203.0.113.0/24"]}, "target": "https://office.example/"},
    {"when": {"time": {"weekdays": ["sun"]}}, "target": "https://sunday.example/"},
]
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"


async def test_the_first_rule_that_is_met_is_told_with_the_reasons_of_the_others() -> None:
    console = Console()
    profile = await console.profile()
    body = {"target": "https://plain.example/", "slug": "a", "rules": RULES}
    created = await console.call("POST", f"/v1/profiles/{profile['id']}/links", body)
    assert created.json["rules"] == RULES, created.body
    path = f"/v1/links/{created.json['id']}/explain?at=2026-05-01T10:00:00Z"
    for query, rule, unmet, target in (
        ("&device=phone&country=DE", 0, None, "phone"),
        (f"&user_agent={IPHONE}&country=AT", 0, None, "phone"),
        ("&device=desktop&country=DE", None, "device", "plain"),
        ("&device=phone&country=IT", None, "country", "plain"),
        ("&address=203.0.113.9", 1, "country", "office"),
        ("", None, "country", "plain"),
    ):
        explained = (
            await console.call("GET", path + query.replace(" ", "%20").replace(";", "%3B"))
        ).json
        assert (explained["rule"], explained["target"]) == (rule, f"https://{target}.example/"), (
            query
        )
        assert explained["rules"][0] == {"rule": 0, "met": rule == 0, "unmet": unmet}
    sunday = f"/v1/links/{created.json['id']}/explain?at=2026-05-03T10:00:00%2B02:00"
    assert (await console.call("GET", sunday)).json["rule"] == 2
    (await console.call("GET", path, key="two")).problem(404)
    bad = await console.call("GET", f"{path}&address=x&colour=red")
    assert bad.problem(422).keys() == {"address", "colour"}
    bad = await console.call("GET", f"/v1/links/{created.json['id']}/explain?at=2026-05-01")
    assert bad.problem(422).keys() == {"at"}


async def test_an_app_link_is_explained_for_phones_and_others() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(
        profile["id"], target="tg://x", kind="app", web_target="https://t.me/x", rules=RULES[1:2]
    )
    path = f"/v1/links/{link['id']}/explain?device="
    for device, target, words in (
        ("phone", "tg://x", "opens an app"), ("tablet", "tg://x", "opens an app"),
        ("desktop", "https://t.me/x", "web target"), ("other", "https://t.me/x", "web target"),
    ):  # fmt: skip
        explained = (await console.call("GET", path + device)).json
        assert (explained["target"], explained["rule"]) == (target, None)
        assert words in explained["sentence"]
        assert len(explained["rules"]) == 1


@pytest.mark.parametrize(
    ("target", "extra_path", "path", "leads_to", "words"),
    [
        (
            "https://t.example/a?q=1",
            True,
            "/b%20c/D",
            "https://t.example/a/b%20c/D?q=1",
            "go on there",
        ),
        ("https://t.example/a", True, "", "https://t.example/a", "visitors are led to its target."),
        ("https://t.example/{1}/{2:x}", True, "/17", "https://t.example/17/x", "go on there"),
        ("https://t.example/{1}", True, "", None, "missing"),
        ("https://t.example/{1}", True, "/..", None, "unfit"),
        ("https://t.example/", False, "/b", None, "404"),
    ],
)
async def test_an_extra_path_is_explained(
    target: str, extra_path: bool, path: str, leads_to: str | None, words: str
) -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], target=target, extra_path=extra_path)
    query = f"?path={quote(path)}" if path else ""
    explained = (await console.call("GET", f"/v1/links/{link['id']}/explain{query}")).json
    assert explained["target"] == leads_to
    assert words in explained["sentence"]
    bad = await console.call("GET", f"/v1/links/{link['id']}/explain?path=x")
    assert bad.problem(422).keys() == {"path"}


async def test_a_closed_link_is_told() -> None:
    console = Console()
    profile = await console.profile()
    links = f"/v1/profiles/{profile['id']}/links"
    body = {"target": "https://plain.example/", "active_until": "2026-05-01T00:00:00Z"}
    link = (await console.call("POST", links, body)).json
    path = f"/v1/links/{link['id']}/explain?at=2026-05-02T00:00:00Z"
    explained = (await console.call("GET", path)).json
    assert (explained["state"], explained["target"]) == ("over", None)
    assert explained["sentence"] == "The link is over: visitors get 410."
    await console.call(
        "PATCH", f"/v1/links/{link['id']}", {"fallback_target": "https://f.example/"}
    )
    explained = (await console.call("GET", path)).json
    assert explained["target"] == "https://f.example/"


async def test_a_quarantined_link_is_said_to_warn() -> None:
    console = Console()
    profile = await console.profile()
    link = await console.link(profile["id"], quarantined=True)
    explained = (await console.call("GET", f"/v1/links/{link['id']}/explain")).json
    assert (explained["target"], explained["state"]) == (None, "quarantined")
    assert "quarantined" in explained["sentence"]
    body = {"paused": True, "fallback_target": "https://f.example/"}
    await console.call("PATCH", f"/v1/links/{link['id']}", body)
    explained = (await console.call("GET", f"/v1/links/{link['id']}/explain")).json
    assert (explained["target"], explained["state"]) == (None, "paused")
    assert "404" in explained["sentence"]
