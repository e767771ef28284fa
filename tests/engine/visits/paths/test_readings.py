"""Readings of paths that lead nowhere as they are spelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.name import canonical_path
from engine.visits.paths.readings import readings


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a", []),
        (b"/a)", [(b"/a", b"")]),
        (b"/A/Foo", [(b"/a", b"/Foo")]),
        (b"/A/Foo/", [(b"/a", b"/Foo/")]),
        (b"/a/b/C.", [(b"/a/b", b"/C."), (b"/a", b"/b/C.")]),
        (b"/a/b.", [(b"/a", b"/b."), (b"/a/b", b"")]),
        (b"/a/qr/c", [(b"/a", b"/qr/c")]),
        (b"/@ada/b", [(b"/@ada", b"/b")]),
        (b"//a/b", []),
        (b"/a//b", [(b"/a", b"//b")]),
        (b"/a%2Fb/c/d", []),
        (b"/%ff/b", []),
        (b"/a/%ff", [(b"/a", b"/%ff")]),
        (b"/a" * 65, []),
    ],
)
def test_readings_in_their_order(path: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    assert readings(path, with_short=True) == expected


@given(st.text("/@ad.)%2fF+qr ", max_size=14).map(str.encode))
def test_no_reading_on_a_domain_leaves_its_profile(rest: bytes) -> None:
    for path, extra in readings(b"/ada/" + rest, with_short=False):
        assert path == b"/@ada" or path.startswith(b"/ada/")
        assert canonical_path(path) == path
        assert not extra or extra.startswith(b"/")
