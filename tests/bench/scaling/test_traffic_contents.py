"""Contents of folds by kind of traffic: larger folds share more."""

import pytest

from bench.scaling.traffic_contents import traffic_contents


@pytest.mark.parametrize("traffic", ["hot", "single"])
def test_contents_grow_with_clicks_and_are_never_more(traffic: str) -> None:
    contents = traffic_contents(traffic)
    for clicks in (0.5, 1, 7, 300, 5_000, 10_000, 40_000):
        content = contents.at(clicks)
        assert content.clicks == pytest.approx(clicks)
        assert 0 < content.deltas <= clicks * 1.001
        assert content.deltas <= content.links * 1.001
    sizes = [contents.at(clicks) for clicks in (10, 100, 1_000, 10_000)]
    assert [content.deltas for content in sizes] == sorted(content.deltas for content in sizes)


def test_kinds_differ_as_they_should() -> None:
    hot, single = (traffic_contents(kind).at(10_000) for kind in ("hot", "single"))
    assert (hot.deltas, single.deltas) == (1, 10_000)
    assert (hot.new_links, single.new_links) == (0, 10_000)
    assert hot.texts < single.texts
