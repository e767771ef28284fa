"""Canonical paths of links and pages."""

import pytest

from engine.links import name
from engine.links.visitor_path import ParsedPath, parse


@pytest.mark.parametrize(
    ("path", "parsed"),
    [
        (b"/spring", ParsedPath(None, "spring")),
        (b"/demo/spring", ParsedPath("demo", "spring")),
        (b"/@demo", ParsedPath("demo", None)),
        (name.encode_path("demo", "t\u0117l-\u03c3"), ParsedPath("demo", "t\u0117l-\u03c3")),
    ],
)
def test_a_path_has_a_handle_a_slug_or_both(path: bytes, parsed: ParsedPath) -> None:
    assert parse(path) == parsed
