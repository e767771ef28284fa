"""Paths as they are meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.visits.paths.near_path import near_path


@pytest.mark.parametrize(
    ("path", "meant"),
    [(b"/a.", b"/a"), (b"/a,", b"/a"), (b"/a)", b"/a"), (b"/a%20", b"/a"), (b"/a%22", b"/a"),
     (b"/shop/a%E2%80%8B", b"/shop/a"), (b"/%EF%BB%BFa", b"/a"), (b"/a).%22", b"/a"), (b"/@ada.", b"/@ada"),
     (b"/Sp%C3%A9.", b"/sp%C3%A9"), (b"/a", None), (b"/shop/a", None), (b"/.", None), (b"/", None),
     (b"/a%ff.", None), (b"/a%2541.", b"/a%2541"), (b"/a" * 3000 + b".", None), (b"/../a.", b"/../a"),
     (b"/%E2%80%8B", None)],
)  # fmt: skip
def test_the_path_that_is_meant(path: bytes, meant: bytes | None) -> None:
    assert near_path(path) == meant


@given(st.binary(max_size=60))
def test_any_path_is_meant_at_most_once(data: bytes) -> None:
    near = near_path(b"/" + data)
    assert near is None or near_path(near) in (None, near)
