"""Bodies that two readers may read differently: keys that stand twice, and texts that look like others."""

from typing import Any

import pytest

from tests.kit.consoles import Console

BIDI = "a\u202egnp.exe"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
A = {"name": "a", "weight": 1}
LINK = {"slug": "spring", "target": "https://example.com/"}
HOOK = {"url": "https://example.com/", "event_types": ["*"]}
TEST = {"name": "t", "kind": "page", "link_id": "{link}", "goal": "link"}

# Every text that people see: method, path, body with the text as `{}`, and the field that is named.
TEXTS: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/profiles", {"handle": "b", "title": "{}"}, "title"),
    ("PATCH", "/v1/profiles/{profile}", {"title": "{}"}, "title"),
    ("POST", "/v1/profiles/{profile}/links", LINK | {"title": "{}"}, "title"),
    ("PATCH", "/v1/links/{link}", {"title": "{}"}, "title"),
    ("POST", "/v1/profiles/{profile}/experiments", TEST | {"name": "{}", "variants": [A, A | {"name": "b"}]},
     "name"),
    ("POST", "/v1/profiles/{profile}/experiments", TEST | {"variants": [A, A | {"name": "{}"}]},
     "variants.1.name"),
    ("POST", "/v1/profiles/{profile}/experiments",
     TEST | {"variants": [A, {"name": "b", "weight": 1, "title": "{}"}]}, "variants.1.title"),
    ("POST", "/v1/profiles/{profile}/webhooks", HOOK | {"description": "{}"}, "description"),
    ("POST", "/v1/profiles/{profile}/conversion-hooks", {"label": "{}", "fields": {"click_id": "c"}},
     "label"),
    ("POST", "/v1/profiles/{profile}/shares", {"label": "{}", "metrics": ["clicks"]}, "label"),
    ("POST", "/v1/profiles/{profile}/annotations", {"at": "2026-05-01", "text": "{}"}, "text"),
    ("POST", "/v1/profiles/{profile}/goals", {"name": "{}", "event": "signup"}, "name"),
    ("POST", "/v1/profiles/{profile}/saved-questions", {"name": "{}", "query": ""}, "name"),
    ("POST", "/v1/keys", {"label": "{}", "scopes": ["read"]}, "label"),
    ("PATCH", "/v1/user", {"name": "{}"}, "name"),
]  # fmt: skip


def filled(value: Any, texts: dict[str, str]) -> Any:
    """Return the body with the texts in the places that they are named by."""
    if isinstance(value, dict):
        return {key: filled(inner, texts) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, texts) for inner in value]
    return texts.get(value, value) if isinstance(value, str) else value


async def test_no_text_that_people_see_has_a_control_of_direction() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    link = (await console.link(profile, "first"))["id"]
    for method, path, body, field in TEXTS:
        path = path.format(profile=profile, link=link)
        refused = await console.call(method, path, filled(body, {"{}": BIDI, "{link}": link}))
        reason = refused.problem(422)[field]
        assert "U+202E" in reason
        if field != "variants.1.title":
            taken = await console.call(method, path, filled(body, {"{}": FAMILY, "{link}": link}))
            assert taken.status in (200, 201), (path, taken.body)
    for slug in (BIDI, "a\u3164", "a\ufe0f"):
        body = LINK | {"slug": slug}
        answered = await console.call("POST", f"/v1/profiles/{profile}/links", body)
        assert "slug" in answered.problem(422)
    invitation = {"email": "a\u200b@example.com", "role": "viewer"}
    answered = await console.call("POST", f"/v1/profiles/{profile}/invitations", invitation)
    assert "email" in answered.problem(422)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"handle":"a","handle":"b"}', "handle"),
        (b'{"handle":"a","\\u0068andle":"b"}', "handle"),
        (b'{"handle":"a","x":{"y":[{"z":1,"z":1}]}}', "z"),
        (b'{"\\u202e":1,"\\u202e":1}', "\N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_a_key_that_stands_twice_is_refused(body: bytes, key: str) -> None:
    console = Console()
    refused = await console.call("POST", "/v1/profiles", body)
    assert refused.problem(422) == {key: "must stand once in its object"}
    assert (await console.call("GET", "/v1/profiles")).json["items"] == []


async def test_a_key_that_stands_twice_is_refused_by_every_route_with_a_body() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    link = (await console.link(profile))["id"]
    routes = [
        ("PATCH", f"/v1/profiles/{profile}"),
        ("POST", f"/v1/profiles/{profile}/links"),
        ("POST", f"/v1/profiles/{profile}/links/bulk"),
        ("PATCH", f"/v1/links/{link}"),
        ("POST", f"/v1/profiles/{profile}/experiments"),
        ("POST", f"/v1/profiles/{profile}/webhooks"),
        ("POST", f"/v1/profiles/{profile}/conversion-hooks"),
        ("POST", f"/v1/profiles/{profile}/domains"),
        ("POST", f"/v1/profiles/{profile}/shares"),
        ("POST", f"/v1/profiles/{profile}/invitations"),
        ("POST", f"/v1/profiles/{profile}/transfer"),
        ("POST", "/v1/keys"),
        ("PATCH", "/v1/user"),
        ("POST", "/v1/session"),
        ("POST", "/v1/conversions"),
        ("POST", "/v1/invitations/accept"),
        ("POST", "/collect"),
    ]
    for method, path in routes:
        refused = await console.call(method, path, b'{"id":{"k":1,"k":2}}')
        assert refused.problem(422) == {"k": "must stand once in its object"}, path
    deep = b'{"a":' + b"[" * 1_000 + b"]" * 1_000 + b"}"
    (await console.call("POST", "/v1/profiles", deep)).problem(400)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("picture", "https://i.example/x.png"), ("picture", ""), ("picture", "/a/0f.png"),
        ("picture", "365072220160000061"),
        ("style", "loud"), ("style", ""), ("thumbnail", "https://i.example/x.png"),
    ],
)  # fmt: skip
async def test_a_variant_shows_pictures_of_the_profile_and_known_styles(
    field: str, value: str
) -> None:
    console = Console()
    profile = (await console.profile())["id"]
    link = (await console.link(profile))["id"]
    variants = [A, {"name": "b", "weight": 1, field: value}]
    answered = await console.call(
        "POST",
        f"/v1/profiles/{profile}/experiments",
        TEST | {"link_id": link, "variants": variants},
    )
    (name,) = answered.problem(422)
    assert name.startswith("variants")
