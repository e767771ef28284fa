"""Paths at domains with rules for slugs: what is looked up is what a reader of the rules would look for."""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.common.errors import InvalidError
from engine.links.name import MAX_PATH_BYTES, canonical_name, canonical_path, slug_name
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import (
    FEATURES,
    Features,
    needed_features,
    settled_slug,
    slug_errors,
)
from engine.visits.paths.ruled_path import ruled_path, ruled_readings
from engine.visits.paths.side_path import side_path

ALL: Features = frozenset(FEATURES)
CASE: Features = frozenset({"case_sensitive"})
HEART = "\u2764"


@pytest.mark.parametrize(
    ("allowed", "path", "without"),
    [
        (CASE, b"/", b"/@ada"),
        (CASE, b"/@ada", b"/@ada"),
        (CASE, b"/@bob", None),
        (CASE, b"/qr", b"/@ada/qr"),
        (CASE, b"/spring", b"/ada/spring"),
        (CASE, b"/Spring", b"/~ada/Spring"),
        (CASE, b"/Spring/qr", b"/~ada/Spring/qr"),
        (CASE, b"/Spring+", b"/~ada/Spring+"),
        (CASE, b"/Spring/pixel.gif", b"/~ada/Spring/pixel.gif"),
        (CASE, b"/%53pring/", b"/~ada/Spring"),
        (CASE, b"/ada/Spring", b"/ada/spring"),
        (CASE, b"/~ada/Spring", b"/~ada/Spring"),
        (CASE, b"/~bob/Spring", b"/ada/~bob/Spring"),
        (CASE, b"/v1.2", b"/ada/v1.2"),
        (ALL, b"/v1.2", b"/~ada/v1.2"),
        (ALL, b"/docs/V1.2", b"/~ada/docs/V1.2"),
        (ALL, b"/docs%2FV1.2", b"/~ada/docs/V1.2"),
        (ALL - CASE, b"/Docs/V1.2", b"/~ada/docs/v1.2"),
        (ALL - CASE, b"/Spring", b"/ada/spring"),
        (ALL, b"/%E2%9D%A4%EF%B8%8F", b"/~ada/%E2%9D%A4"),
        (ALL, b"/bob/spring", b"/~ada/bob/spring"),
        (ALL, b"/ada/spring", b"/ada/spring"),
        (ALL, b"/ada", b"/ada/ada"),
        (ALL, b"/\xff", None),
        (ALL, b"/%2f", None),
    ],
)
def test_a_path_is_the_slug_that_the_domain_allows(
    allowed: Features, path: bytes, without: bytes | None
) -> None:
    assert ruled_path(b"ada", allowed, path) == without


def test_readings_go_from_the_longest_slug_to_the_shortest() -> None:
    assert ruled_readings(b"ada", ALL, b"/Gh/foo/bar") == [
        (b"/~ada/Gh/foo", b"/bar"),
        (b"/~ada/Gh", b"/foo/bar"),
    ]
    assert ruled_readings(b"ada", CASE, b"/Gh/foo/bar") == [(b"/~ada/Gh", b"/foo/bar")]
    assert ruled_readings(b"ada", CASE, b"/Gh.") == [(b"/~ada/Gh", b"")]
    assert ruled_readings(b"ada", ALL - CASE, b"/Gh%22") == [(b"/ada/gh", b"")]
    assert ruled_readings(b"ada", ALL, b"/ada/gh/foo") == [(b"/ada/gh", b"/foo")]
    assert ruled_readings(b"ada", ALL, b"/~ada/Gh/x/foo") == [
        (b"/~ada/Gh/x", b"/foo"),
        (b"/~ada/Gh", b"/x/foo"),
    ]
    assert len(ruled_readings(b"ada", ALL, b"/a" * 60)) == 8
    assert ruled_readings(b"ada", ALL, b"/a" * 65) == []


# ---- against a reader of the rules ------------------------------------------------------------------


def looked_up(
    allowed: Features, paths: set[bytes], path: bytes, extra: set[bytes]
) -> tuple[bytes, bytes] | None:
    """Return the route and the extra path, as a visitor server finds them (api/visits/answers)."""
    own = ruled_path(b"ada", allowed, path)
    side = None if own is None else side_path(own)
    if own is None or side is not None:
        return None
    canonical = own if own in paths else canonical_path(own)
    if canonical in paths:
        return canonical, b""
    for reading, behind in ruled_readings(b"ada", allowed, path):
        if reading in paths and (not behind or reading in extra):
            return reading, behind
    return None


def naive(
    allowed: Features, slugs: Iterable[str], path: str, extra: set[str]
) -> tuple[str, str] | None:
    """Return the slug and the extra path of a path of whole characters, without percent-encoding."""

    def spelt(text: str) -> str:
        text = slug_name(text).strip("/")
        return text if "case_sensitive" in allowed else canonical_name(text)

    there = {slug for slug in slugs if needed_features(slug) <= allowed}
    if spelt(path) in there:
        return spelt(path), ""
    names = path.split("/")[1:]
    for length in range(len(names) - 1, 0, -1):
        slug, behind = "/".join(names[:length]), "/".join(["", *names[length:]])
        if all(names[:length]) and any(names[length:]) and spelt(slug) in there & extra:
            return spelt(slug), behind
    meant = path.rstrip(".")
    if meant not in ("", "/", path) and spelt(meant) in there:
        return spelt(meant), ""
    return None


ALPHABET = "xXyY./" + HEART
texts = st.text(ALPHABET, min_size=1, max_size=8)
features = st.sets(st.sampled_from(FEATURES)).map(frozenset)


@given(
    features.filter(bool), features, st.lists(st.tuples(texts, st.booleans()), max_size=8), texts
)
@example(ALL, ALL, [("x/y", True), ("x", True), ("X", False)], "x/y/X")
@example(CASE, CASE, [("X", False), ("x", False)], "X.")
@example(CASE, ALL, [("x.y", False), ("x", True)], "x.y")
@settings(max_examples=150, deadline=None)
def test_the_look_up_finds_what_a_reader_of_the_rules_finds(
    allowed: Features, other: Features, links: list[tuple[str, bool]], text: str
) -> None:
    slugs: dict[str, bool] = {}
    for slug, has_extra in links:
        try:
            if not slug_errors(slug):
                slugs.setdefault(settled_slug(slug, "ada", [allowed, other]), has_extra)
        except InvalidError:
            pass
    paths = {link_path("ada", slug) for slug in slugs}
    extra = {slug for slug, has_extra in slugs.items() if has_extra}
    path = "/" + text.lstrip("/")
    if path == "/":
        return
    raw = path.replace(HEART, "%E2%9D%A4%EF%B8%8F").encode()
    expected = naive(allowed, slugs, path, extra)
    result = looked_up(allowed, paths, raw, {link_path("ada", slug) for slug in extra})
    if expected is None:
        assert result is None
    else:
        behind = expected[1].replace(HEART, "%E2%9D%A4%EF%B8%8F").encode()
        assert result == (link_path("ada", expected[0]), behind)


@given(features, st.binary(max_size=30) | st.text("/@~ad%2fF+qr.", max_size=14).map(str.encode))
@example(ALL, b"%2F")
@example(ALL, b"~bob/x")
def test_no_path_leads_to_another_profile_or_a_short_slug(allowed: Features, rest: bytes) -> None:
    path = ruled_path(b"ada", allowed, b"/" + rest)
    for each in (path, *(reading for reading, _ in ruled_readings(b"ada", allowed, b"/" + rest))):
        if each is None:
            continue
        side = side_path(each)
        canonical = canonical_path(each if side is None else side.subject)
        assert (
            canonical is None
            or canonical == b"/@ada"
            or canonical.startswith((b"/ada/", b"/~ada/"))
        )


def test_long_paths_are_read_once() -> None:
    long = b"/" + b"%41" * MAX_PATH_BYTES
    assert ruled_readings(b"ada", ALL, long) == []
    assert len(unquote_to_bytes(ruled_path(b"ada", ALL, long) or b"")) < len(long)
