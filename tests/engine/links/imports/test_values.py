"""Slugs in texts of files: what an export writes is read as the same slug."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.links.imports.values import slug_of, text_of_slug
from engine.links.slugs.slug_rules import slug_errors


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("spring", "spring"),
        ("/spring/", "spring"),
        ("https://go.example/Docs/v1.2?x", "Docs/v1.2"),
        ("go.example/Docs/v1.2", "Docs/v1.2"),
        ("/go.example/docs", "go.example/docs"),
        ("v1.2", "v1.2"),
        ("https://go.example/%F0%9F%8E%81", "\U0001f381"),
    ],
)
def test_the_slug_of_a_text(text: str, slug: str) -> None:
    assert slug_of(text) == slug


@given(st.text("aZ1-_./\u00e9\U0001f381", min_size=1, max_size=12))
@example("a.b/c")
@example("1.2.3/c")
def test_a_slug_survives_its_text(slug: str) -> None:
    if not slug_errors(slug):
        assert slug_of(text_of_slug(slug)) == slug
