"""Ranges of bytes, and what is no range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.assets.byte_range import ByteRange, UnsatisfiableRangeError, byte_range


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"bytes=0-0", (0, 1)), (b"bytes=0-", (0, 10)), (b"bytes=3-5", (3, 6)), (b"Bytes=3-50", (3, 10)),
        (b"bytes=-3", (7, 10)), (b"bytes=-30", (0, 10)), (b"bytes=9-9", (9, 10)), (b"bytes= 1-2 ", (1, 3)),
        (b"", None), (b"bytes=", None), (b"bytes=-", None), (b"bytes=1-2,4-5", None), (b"bytes=5-3", None),
        (b"lines=1-2", None), (b"bytes=a-b", None), (b"bytes=1", None), (b"bytes=1-2-3", None),
    ],
)  # fmt: skip
def test_a_range_of_ten_bytes(value: bytes, wanted: tuple[int, int] | None) -> None:
    assert byte_range(value, 10) == wanted


@pytest.mark.parametrize("value", [b"bytes=10-", b"bytes=11-12", b"bytes=-0"])
def test_a_range_behind_the_end_is_unsatisfiable(value: bytes) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        byte_range(value, 10)


@given(st.binary(max_size=40), st.integers(0, 100))
def test_a_range_lies_within_the_file(value: bytes, size: int) -> None:
    for text in (value, b"bytes=" + value):
        try:
            wanted = byte_range(text, size)
        except UnsatisfiableRangeError:
            continue
        if wanted is not None:
            assert isinstance(wanted, ByteRange)
            assert 0 <= wanted.start < wanted.end <= size
