"""Paths of links: of plain slugs by the canonical name, of all others exactly as they are spelt."""

import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.name import canonical_path
from engine.links.slugs.link_path import folded_path, link_path, shown_path
from engine.links.slugs.slug_rules import needed_features, slug_errors
from engine.links.visitor_path import ParsedPath, parse

slugs = st.text("aA\u00dfb1-_./\u00e9\U0001f381\u2764", min_size=1, max_size=12).filter(
    lambda slug: not slug_errors(slug)
)


@pytest.mark.parametrize(
    ("slug", "path"),
    [
        ("spring", b"/ada/spring"),
        ("t\u0117l", b"/ada/t%C4%97l"),
        ("Spring", b"/~ada/Spring"),
        ("docs/v1.2", b"/~ada/docs/v1.2"),
        ("\U0001f381", b"/~ada/%F0%9F%8E%81"),
    ],
)
def test_the_path_of_a_slug(slug: str, path: bytes) -> None:
    assert link_path("ada", slug) == path
    assert quote(shown_path("ada", slug), safe="/~").encode() == path[1:]
    assert canonical_path(path) == path
    assert parse(path) == ParsedPath("ada", slug)


@given(slugs)
def test_each_spelling_of_a_path_finds_its_slug_and_no_other(slug: str) -> None:
    path = link_path("ada", slug)
    assert parse(path) == ParsedPath("ada", slug)
    first = "~ada" if needed_features(slug) else "ada"
    for spelling in (
        slug,
        unicodedata.normalize("NFD", slug),
        slug.replace("\u2764", "\u2764\ufe0f"),
    ):
        if first == "~ada" or spelling == slug:
            assert canonical_path(f"/{first}/{quote(spelling)}/".encode()) == path
    percent = "".join(f"%{byte:02x}" for byte in slug.encode())
    assert canonical_path(f"/{first}/{percent}".encode()) == path


def test_a_slug_has_one_kind_of_path() -> None:
    assert parse(b"/~ada/spring") == ParsedPath(None, None)
    assert parse(b"/ada/v1.2") == ParsedPath(None, None)
    assert parse(b"/~ada") == ParsedPath(None, "~ada")


@pytest.mark.parametrize(
    "path",
    [b"/~", b"/~/a", b"/~ada", b"/~ada/", b"/~ada//", b"/~ada/a//b", b"/~ada/a%20b", b"/~ada/%0a",
     b"/~" + b"a" * 33 + b"/b", b"/~\xc3\xa9/b", b"/~ada/" + b"a" * 201],
)  # fmt: skip
def test_paths_that_are_no_slugs_have_no_canonical_path(path: bytes) -> None:
    assert canonical_path(path) is None


def test_a_path_in_which_case_is_ignored() -> None:
    assert folded_path(b"/~ada/Spring") == b"/ada/spring"
    assert folded_path(b"/~ada/Docs/v1.2") == b"/~ada/docs/v1.2"
    for path in (b"/~ada/docs/v1.2", b"/ada/spring", b"/@ada", b"/spring"):
        assert folded_path(path) is None
