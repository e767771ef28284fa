"""Compact paths draw what the long ones draw."""

import re

import pytest
import simple_icons_pack

from engine.pages.html.svg_path import compact_path
from engine.pages.services import SERVICES


@pytest.mark.parametrize(
    ("path", "compact"),
    [
        ("M 10 20 L 30 40 Z", "m10 20l20 20z"),
        ("M1.04 1.04h.04v.04", "m1 1h.1v.1"),
        ("m1 1 2 2 3 3", "m1 1l2 2 3 3"),
        ("M0 0C1 2 3 4 5 6s1-1 2 2", "m0 0c1 2 3 4 5 6s1-1 2 2"),
        ("M0 0a1 1 0 01.5.5", "m0 0a1 1 0 0 1 .5.5"),
        ("M0 0A1 1 0 1 0 -5 -.5", "m0 0a1 1 0 1 0-5-.5"),
    ],
)
def test_a_path_is_written_shorter(path: str, compact: str) -> None:
    assert compact_path(path) == compact


def test_rounding_does_not_add_up() -> None:
    steps = compact_path("m0 0" + "h.04" * 100)
    assert sum(map(float, re.findall(r"[\d.]+", steps)[2:])) == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("service", [s for s in SERVICES if simple_icons_pack.get_icon(s)])
def test_every_brand_is_at_most_as_long_and_compact_for_good(service: str) -> None:
    icon = simple_icons_pack.get_icon(service)
    assert icon is not None
    (path,) = re.findall(r' d="([^"]*)"', icon.svg)
    compact = compact_path(path)
    assert len(compact) <= len(path) + 2
    assert compact_path(compact) == compact


@pytest.mark.parametrize("path", ["M1", "x1 1", "M0 0a1 1 0 2 0 1 1"])
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"arc|command"):
        compact_path(path)
