"""What a canonical path asks for."""

import pytest

from engine.links import name
from storage.visits.paths import ParsedPath, parse


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (b"/spring", ParsedPath(None, "spring")),
        (b"/demo/spring", ParsedPath("demo", "spring")),
        (b"/@demo", ParsedPath("demo", None)),
        (name.encode_path("demo", "t\u0117l-\u03c3"), ParsedPath("demo", "t\u0117l-\u03c3")),
    ],
)
def test_paths_say_what_they_ask_for(path: bytes, asked: ParsedPath) -> None:
    assert parse(path) == asked
