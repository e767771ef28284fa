"""Hostile texts in every field of every block: nothing of them becomes an element or an attribute."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec
import pytest

from engine.pages.html.document import render_page
from engine.pages.html.elements import safe_href
from tests.kit.hostile_pages import poisoned_document
from tests.kit.hostile_texts import NUMBER, hostile_texts
from tests.kit.html_outline import Outline
from tests.kit.sample_page import NOW, SOURCES, sample_page

# What Markdown may become, with the attributes of each.
MARKDOWN = {
    "p": set(), "em": set(), "strong": set(), "ul": set(), "li": set(), "br": set(),
    "ol": {"start"}, "a": {"href", "rel"},
}  # fmt: skip
URL_ATTRIBUTES = {"href", "src", "action", "srcset"}
SAFE_URL = re.compile(r"(https?://|mailto:|tel:|/|#$)", re.IGNORECASE)


def template(text: str) -> Counter[tuple[str, tuple[str, ...]]]:
    shape = Outline(poisoned_document(text).body).shape
    return Counter({key: n for key, n in shape.items() if not is_markdown(key)})


def is_markdown(key: tuple[str, tuple[str, ...]]) -> bool:
    name, attributes = key
    return name in MARKDOWN and set(attributes) <= MARKDOWN[name]


def check(text: str, expected: Counter[tuple[str, tuple[str, ...]]]) -> None:
    body = poisoned_document(text).body
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
    # No divisor of the number of payloads, so that each comes.
    for text in sample(47):
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
    body = poisoned_document("harmless").body.replace(b"harmless", hole.encode())
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
