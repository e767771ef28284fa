"""Paths on a profile's domain: its own links and page, and nobody else's."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.links.name import canonical_path
from engine.visits.domain_host import is_local, path_on_domain
from engine.visits.paths.side_path import side_path


@pytest.mark.parametrize(
    ("path", "without"),
    [
        (b"/", b"/@ada"),
        (b"//", b"/@ada"),
        (b"/@ada", b"/@ada"),
        (b"/@ada/pixel.gif", b"/@ada/pixel.gif"),
        (b"/@ada/variants.json", b"/@ada/variants.json"),
        (b"/spring", b"/ada/spring"),
        (b"/Spring/", b"/ada/spring"),
        (b"/spring/qr", b"/ada/spring/qr"),
        (b"/spring+", b"/ada/spring+"),
        (b"/ada/spring", b"/ada/spring"),
        (b"/ada", b"/ada/ada"),
        (b"/%E2%82%AC", b"/ada/%E2%82%AC"),
        (b"/@bob", None),
        (b"/bob/spring", b"/ada/bob/spring"),
        (b"/a/B/c", b"/ada/a/B/c"),
        (b"/ada/a/B", b"/ada/a/B"),
        (b"/@bob/a/b", None),
        (b"/%2f", None),
        (b"/%40bob", None),
        (b"/\xff", None),
    ],
)
def test_a_path_on_a_domain_is_one_of_its_profile(path: bytes, without: bytes | None) -> None:
    assert path_on_domain(b"ada", path) == without


@given(st.binary(max_size=30) | st.text("/@ad%2fF+qr", max_size=12).map(str.encode))
@example(b"%2F")
@example(b"/qr")
def test_no_path_leads_to_another_profile_or_a_short_slug(rest: bytes) -> None:
    path = path_on_domain(b"ada", b"/" + rest)
    if path is None:
        return
    side = side_path(path)
    canonical = canonical_path(path if side is None else side.subject)
    assert canonical is None or canonical == b"/@ada" or canonical.startswith(b"/ada/")


@pytest.mark.parametrize("host", [b"", b"localhost", b"127.0.0.1", b"[::1]", b"10.0.0.7"])
def test_addresses_are_of_no_site(host: bytes) -> None:
    assert is_local(host)
    assert not is_local(host + b".example")
