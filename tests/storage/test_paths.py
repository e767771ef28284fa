"""What a canonical path asks for."""

import pytest

from engine import name
from storage.paths import Asked, parse


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (b"/spring", Asked(None, "spring")),
        (b"/demo/spring", Asked("demo", "spring")),
        (b"/@demo", Asked("demo", None)),
        (name.encode_path("demo", "t\u0117l-\u03c3"), Asked("demo", "t\u0117l-\u03c3")),
    ],
)
def test_paths_say_what_they_ask_for(path: bytes, asked: Asked) -> None:
    assert parse(path) == asked
