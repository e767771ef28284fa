"""Hostile texts in every field of every block: nothing of them becomes an element or an attribute."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec
import pytest

from engine.pages.html.document import RenderedPage, render_page
from engine.pages.html.elements import safe_href
from engine.pages.html.sources import LinkCard, PageSources
from engine.pages.page import ProfilePage
from tests.kit.hostile_texts import NUMBER, hostile_texts
from tests.kit.html_outline import Outline
from tests.kit.sample_page import BLOCKS, MORE_BLOCKS, NOW, SOURCES, sample_page

T = TypeVar("T")
# What Markdown may become, with the attributes of each.
MARKDOWN = {
    "p": set(), "em": set(), "strong": set(), "ul": set(), "li": set(), "br": set(),
    "ol": {"start"}, "a": {"href", "rel"},
}  # fmt: skip
KEPT = {"id", "kind", "style"}
URL_ATTRIBUTES = {"href", "src", "action", "srcset"}
SAFE_URL = re.compile(r"(https?://|mailto:|tel:|/|#$)", re.IGNORECASE)


def with_texts(value: T, text: str, name: str = "") -> T:
    """Return a struct with the text in each of its fields that are texts, past all validation."""
    if isinstance(value, msgspec.Struct):
        fields = {
            field: with_texts(getattr(value, field), text, field)
            for field in value.__struct_fields__
            if field not in KEPT and not isinstance(getattr(value, field), datetime)
        }
        return msgspec.structs.replace(value, **fields)
    if isinstance(value, tuple):
        return tuple(with_texts(item, text, name) for item in value)  # type: ignore[return-value]
    # Ids of links and pictures lead to nothing when they are unknown, so the block would not be there.
    return text if isinstance(value, str) and name not in {"link_id", "picture", "theme"} else value  # type: ignore[return-value]


def poisoned(text: str) -> tuple[ProfilePage, PageSources]:
    """Return the page of all kinds and its sources, with the text wherever somebody may write one."""
    page = with_texts(sample_page([*BLOCKS, *MORE_BLOCKS], sharing={"title": "x"}), text)
    page = msgspec.structs.replace(page, theme="garden", scheme="auto")
    repositories = {n: with_texts(card, text) for n, card in SOURCES.repositories.items()}
    sources = msgspec.structs.replace(
        SOURCES,
        handle=text,
        title=text,
        links={n: LinkCard(href=text, title=text) for n in SOURCES.links},
        repositories=repositories,
        report_url=text,
    )
    return page, sources


def rendered(text: str) -> RenderedPage:
    return render_page(*poisoned(text), NOW)


def template(text: str) -> Counter[tuple[str, tuple[str, ...]]]:
    shape = Outline(rendered(text).body).shape
    return Counter({key: n for key, n in shape.items() if not is_markdown(key)})


def is_markdown(key: tuple[str, tuple[str, ...]]) -> bool:
    name, attributes = key
    return name in MARKDOWN and set(attributes) <= MARKDOWN[name]


def check(text: str, expected: Counter[tuple[str, tuple[str, ...]]]) -> None:
    body = rendered(text).body
    outline = Outline(body)
    shape = Counter({key: n for key, n in outline.shape.items() if not is_markdown(key)})
    assert shape == expected, (text, shape - expected, expected - shape)
    assert outline.others == ["doctype html"]
    assert outline.unbalanced == []
    for element in outline.elements:
        assert not any(name.startswith("on") or name == "style" for name in element.attributes)
        for name in URL_ATTRIBUTES & set(element.attributes):
            assert SAFE_URL.match(element.attributes[name]), (text, element)
    styles = re.findall(rb"<style>(.*?)</style>", body, re.DOTALL)
    assert len(styles) == 1
    assert b"<" not in styles[0]
    (data,) = re.findall(rb"<script type=application/ld\+json>(.*?)</script>", body, re.DOTALL)
    assert json.loads(data)["@type"] == "ProfilePage"


def sample(step: int) -> Iterator[str]:
    return islice(hostile_texts(), 0, None, step)


@pytest.fixture(scope="module")
def expected() -> Counter[tuple[str, tuple[str, ...]]]:
    return template("harmless")


def test_no_text_becomes_an_element(expected: Counter[Any]) -> None:
    for text in sample(45):
        check(text, expected)


@pytest.mark.large
def test_none_of_all_texts_becomes_an_element(expected: Counter[Any]) -> None:
    texts = list(hostile_texts())
    assert len(texts) == NUMBER
    for text in texts:
        check(text, expected)


def test_the_check_sees_a_text_that_gets_out(expected: Counter[Any]) -> None:
    """A page that escapes nothing must fail, or the tests above prove nothing."""
    hole = "<b onclick=x>"
    body = rendered("harmless").body.replace(b"harmless", hole.encode())
    shape = Counter({k: n for k, n in Outline(body).shape.items() if not is_markdown(k)})
    assert shape != expected


def test_colours_that_were_never_validated_do_not_reach_the_style() -> None:
    text = "red}</style><script>"
    page = msgspec.structs.replace(sample_page(), accent=text, background=text)
    assert render_page(page, SOURCES, NOW) == render_page(sample_page(), SOURCES, NOW)


@pytest.mark.parametrize(
    "url",
    ["javascript:x", " javascript:x", "java\nscript:x", "data:text/html,x", "vbscript:x", "x", "",
     "https://a.example/ onclick=x", "blob:https://a", "\x01https://a", "https://ä.example"],
)  # fmt: skip
def test_urls_that_lead_astray_lead_nowhere(url: str) -> None:
    assert safe_href(url) == "#"


@pytest.mark.parametrize(
    "url", ["https://a.example/?q=%20#x", "mailto:a@b.example", "tel:+1", "/x"]
)
def test_urls_of_the_validation_are_kept(url: str) -> None:
    assert safe_href(url) == url
