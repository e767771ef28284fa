"""Content codings of pages, and tags of copies that a browser has."""

import pytest

from engine.visits.content_coding import BROTLI, GZIP, IDENTITY, coding_of, names_tag


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (b"gzip, deflate, br, zstd", BROTLI), (b"gzip, deflate", GZIP), (b"BR;q=0.1 , gzip", BROTLI),
        (b"br;q=0, gzip;q=1.0", GZIP), (b"br;q=0.000,*", GZIP), (b"*", BROTLI), (b"*;q=0", IDENTITY),
        (b"gzip;q=0, *;q=0.5", BROTLI), (b"identity", IDENTITY), (b"", IDENTITY), (b"br;q=2", IDENTITY),
        (b"br;level=1, gzip", GZIP), (b"gzipped, brotli", IDENTITY), (b",,;q=1,gzip", GZIP),
    ],
)  # fmt: skip
def test_the_best_coding_that_a_browser_takes(value: bytes, coding: bytes) -> None:
    assert coding_of(value) == coding
    assert coding_of(value) == coding  # remembered


@pytest.mark.parametrize(
    ("value", "is_named"),
    [
        (b'W/"ab"', True), (b'"ab"', True), (b'"x", W/"ab"', True), (b"*", True), (b"ab", False),
        (b'"abc"', False), (b'"a', False), (b"", False),
    ],
)  # fmt: skip
def test_a_browser_names_its_copies(value: bytes, is_named: bool) -> None:
    assert names_tag(value, b"ab") == is_named
