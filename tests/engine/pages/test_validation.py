"""Pages of requests: what is accepted and normalised, and how each error is named."""

from typing import Any

import msgspec
import pytest

from engine.pages.blocks import TYPE_BY_KIND, kind_of
from engine.pages.page import MAX_BLOCKS, BlockChange, ProfilePage
from engine.pages.validation import parse_page, validate_block_changes
from tests.kit.pages import EVERY_KIND


def errors_of(body: Any, **options: bool) -> dict[str, str]:
    page, errors = parse_page(body, **options)
    assert (page is None) == bool(errors)
    return dict(errors)


def errors_of_block(kind: str, **changes: Any) -> dict[str, str]:
    """Return the errors of a good block of the kind with these changes; None leaves a field out."""
    good = next(block for block in EVERY_KIND if block["kind"] == kind)
    block = {name: value for name, value in (good | changes).items() if value is not None}
    return {
        field.removeprefix("blocks[0]").lstrip("."): reason
        for field, reason in errors_of({"blocks": [block]}).items()
    }


def accepted(body: Any) -> ProfilePage:
    page, errors = parse_page(body)
    assert errors == []
    assert page is not None
    return page


def test_an_empty_page_and_one_with_every_kind_are_valid() -> None:
    assert accepted({}) == ProfilePage()
    page = accepted({"blocks": EVERY_KIND})
    assert {kind_of(block) for block in page.blocks} == set(TYPE_BY_KIND)
    assert msgspec.convert(msgspec.to_builtins(page), ProfilePage) == page


def test_a_page_is_kept_as_it_is_once_normalised() -> None:
    page = accepted({"blocks": EVERY_KIND, "accent": "#ABCDEF"})
    assert page.accent == "#abcdef"
    assert accepted(msgspec.to_builtins(page)) == page


def test_blocks_without_an_id_get_the_first_ones_that_are_free() -> None:
    blocks = [{"kind": "divider"}, {"kind": "divider", "id": "b1"}, {"kind": "divider"}]
    assert [block.id for block in accepted({"blocks": blocks}).blocks] == ["b2", "b1", "b3"]


def test_one_answer_names_every_bad_field_of_every_block() -> None:
    body = {
        "name": 7,
        "colour": "red",
        "accent": "red",
        "blocks": [
            {"kind": "heading", "text": ""},
            {"kind": "marquee"},
            {"kind": "heading", "text": 4, "hidden": "no"},
            {"kind": "link", "link_id": "0", "badge": "x" * 13},
            "text",
            {"kind": "image", "picture": "../secret", "alt": "a\u202eb"},
            {"kind": "divider", "from": "2026-05-01T10:00:00"},
        ],
    }
    assert set(errors_of(body)) == {
        "name", "colour", "accent", "blocks[0].text", "blocks[1].kind", "blocks[2].text",
        "blocks[2].hidden", "blocks[3].link_id", "blocks[3].badge", "blocks[4]",
        "blocks[5].picture", "blocks[5].alt", "blocks[6].from",
    }  # fmt: skip


@pytest.mark.parametrize("body", [None, [], "page", 3])
def test_what_is_no_object_is_refused(body: Any) -> None:
    assert errors_of(body) == {"body": "must be a JSON object"}


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [
        ("link", {"link_id": None}, "link_id"),
        ("link", {"link_id": "9" * 19}, "link_id"),
        ("link", {"style": "neon"}, "style"),
        ("link", {"style": "featured", "picture": ""}, "picture"),
        ("link", {"title": "x" * 121}, "title"),
        ("link", {"line": "x" * 161}, "line"),
        ("heading", {"text": "x" * 81}, "text"),
        ("heading", {"text": "a\nb"}, "text"),
        ("text", {"text": "x" * 2_001}, "text"),
        ("text", {"text": "a\x00"}, "text"),
        ("image", {"picture": ""}, "picture"),
        ("gallery", {"pictures": [{"picture": "a" * 16}]}, "pictures"),
        ("gallery", {"pictures": [{"picture": "a" * 16}, {"picture": "x"}]}, "pictures[1].picture"),
        ("social", {"items": []}, "items"),
        ("social", {"items": [{"url": "javascript:alert(1)"}]}, "items[0].url"),
        ("social", {"items": [{"url": "https://a.example", "service": "geocities"}]}, "items[0].service"),
        ("repository", {"link_id": ""}, "link_id"),
        ("video", {"url": "data:text/html,x"}, "url"),
        ("video", {"link_id": "7"}, "url"),
        ("video", {"duration_s": -1}, "duration_s"),
        ("audio", {"link_id": ""}, "url"),
        ("contact", {"email": "ada@example.com?bcc=all"}, "email"),
        ("contact", {"email": "", "phone": ""}, "email"),
        ("contact", {"phone": "call me"}, "phone"),
        ("event", {"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ("event", {"zone": "Mars/Olympus"}, "zone"),
        ("event", {"zone": "../../etc/passwd"}, "zone"),
        ("until", {"ends_at": "soon"}, "ends_at"),
        ("product", {"price": "4,50"}, "price"),
        ("product", {"currency": "euro"}, "currency"),
        ("product", {"currency": ""}, "currency"),
        ("faq", {"questions": []}, "questions"),
        ("faq", {"questions": [{"question": "?", "answer": ""}]}, "questions[0].answer"),
        ("email_form", {"consent": "x" * 161}, "consent"),
        ("email_form", {"double_opt_in": True}, "double_opt_in"),
        ("divider", {"id": "-x"}, "id"),
        ("divider", {"from": "2026-05-02T00:00:00Z", "until": "2026-05-01T00:00:00Z"}, "until"),
        ("divider", {"from": "9999-12-31T23:00:00-05:00"}, "from"),
    ],
)  # fmt: skip
def test_each_rule_names_its_field(kind: str, changes: dict[str, Any], field: str) -> None:
    assert list(errors_of_block(kind, **changes)) == [field]


def test_a_page_has_bounds() -> None:
    assert set(errors_of({"blocks": [{"kind": "divider"}] * (MAX_BLOCKS + 1)})) == {"blocks"}
    assert set(errors_of({"blocks": [{"kind": "divider"}] * 5_000})) == {"blocks"}
    errors = errors_of({"blocks": [{"kind": f"{n}"} for n in range(900)]})
    assert len(errors) <= 200
    assert set(errors_of({"bio": "x\n" * 151})) == {"bio"}
    same = {"kind": "divider", "id": "a"}
    assert set(errors_of({"blocks": [same, same]})) == {"blocks[1].id"}


def test_a_service_follows_from_the_host_of_its_url() -> None:
    urls = {
        "https://www.instagram.com/ada": "instagram",
        "https://ada.bandcamp.com/": "bandcamp",
        "https://notinstagram.com/": "website",
        "mailto:ada@example.com": "email",
        "tel:+39017100": "phone",
        "https://youtu.be/x": "youtube",
    }
    page = accepted({"social": [{"url": url} for url in urls]})
    assert [item.service for item in page.social] == list(urls.values())


def test_private_hosts_are_refused_if_the_operator_says_so() -> None:
    body = {"social": [{"url": "http://10.0.0.1/"}]}
    assert errors_of(body) == {}
    assert set(errors_of(body, private_hosts=False)) == {"social[0].url"}


def test_translations_change_the_texts_of_blocks_that_there_are() -> None:
    heading = {"kind": "heading", "id": "h", "text": "Garden"}
    german = {"language": "de", "name": "Adas Garten", "blocks": [{"block": "h", "text": "Garten"}]}
    assert accepted({"blocks": [heading], "translations": [german]}).translations[0].name
    wrong = {"language": "de", "blocks": [{"block": "x"}, {"block": "h", "title": "a"}]}
    assert set(errors_of({"blocks": [heading], "translations": [wrong]})) == {
        "translations[0].blocks[0].block",
        "translations[0].blocks[1].title",
    }
    assert set(errors_of({"translations": [{"language": "EN"}]})) == {"translations"}


def test_variants_may_change_what_a_block_has() -> None:
    page = accepted({"blocks": [{"kind": "link", "id": "l", "link_id": "1"}]})
    good = [BlockChange(block="l", title="Shop", style="filled", position=0, picture="a" * 16)]
    assert validate_block_changes(good, page, "blocks") == []
    bad = [BlockChange(block="l", title="\x00", style="neon", position=-1, picture="/", text="a")]
    errors = validate_block_changes(bad, page, "blocks")
    assert {error.field.rpartition(".")[2] for error in errors} == {
        "title", "style", "position", "picture", "text",
    }  # fmt: skip
