"""The picture: whole SVG, with a mark for every rate, and text that cannot break it."""

from xml.etree import ElementTree

from bench.kit.amounts import short
from bench.scaling.answers import Limit
from bench.scaling.picture import Curves, draw
from bench.scaling.scalability_law import fit_law

RATES = {1: 50_000.0, 2: 98_000.0, 4: 190_000.0}


def test_a_picture_is_whole() -> None:
    curves = Curves(
        RATES, RATES, {1: 11_000.0, 2: 6_500.0}, fit_law(list(RATES), list(RATES.values()))
    )
    limits = [Limit("one <worker> & more", 60_000, "more"), Limit("edges", 4e6, "more")]
    root = ElementTree.fromstring(draw(curves, limits, 1e6, "flat"))
    marks = [node for node in root.iter() if node.tag.endswith("circle")]
    assert len(marks) == 2 * len(RATES) + 2 + 3
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert "one <worker> & more" in texts
    assert "1M" in texts
    assert "60,000" in texts


def test_numbers_are_said_as_people_do() -> None:
    assert [short(n) for n in (10, 10_000, 1_500_000, 2e9)] == ["10", "10k", "1.5M", "2G"]
