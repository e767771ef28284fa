"""Records for folds: their contents are what is said of them, and batches are the engine's own."""

from itertools import pairwise

import pytest

from bench.scaling.click_records import BATCH_BYTES, BatchShape, ClickMaker, batches_of
from engine.clicks.continuation import batches_after
from engine.clicks.journal_format import clicks


@pytest.mark.parametrize(
    "shape",
    [BatchShape(500, 20, 100, new_agents=30, new_values=40), BatchShape(300, traffic="zipf"),
     BatchShape(300, traffic="single"), BatchShape(50, traffic="made-up"), BatchShape(7)],
)  # fmt: skip
def test_contents_are_those_of_the_records(shape: BatchShape) -> None:
    content, records = ClickMaker(shape, seed=1).records()
    batches = batches_of(11, records)
    decoded = [click for batch in batches for click in clicks(batch.payload)]
    assert content.clicks == len(decoded) == shape.clicks
    assert content.deltas == len({click.profile_id for click in decoded})
    assert content.links == len({click.link_id for click in decoded})
    assert content.new_links == content.links  # the first fold
    texts = {
        (click.profile_id, kind, text)
        for click in decoded
        for kind, text in enumerate((click.user_agent, click.referrer, click.language, click.items))
    }
    assert content.texts == len(texts)
    assert content.bytes == sum(map(len, records))


def test_batches_are_whole_and_in_order() -> None:
    _, records = ClickMaker(BatchShape(5_000, 10, 100), seed=1).records()
    batches = batches_of(101, records)
    assert len(batches) > 2
    assert batches[0].first == 101
    assert batches[-1].last == 5_100
    assert all(after.first == before.last + 1 for before, after in pairwise(batches))
    assert all(len(batch.payload) < 2 * BATCH_BYTES for batch in batches)
    assert len(batches_after(100, batches)) == len(batches)


def test_known_links_are_not_new() -> None:
    maker = ClickMaker(BatchShape(1_000, 10, 100), seed=1)
    assert [maker.records()[0].new_links for _ in range(3)] == [100, 0, 0]
    moving = ClickMaker(BatchShape(1_000, 10, 100, moving=True), seed=1)
    assert [moving.records()[0].new_links for _ in range(3)] == [100, 100, 100]
