"""Live updates: the first clicks of a commit, and the counts of all."""

from engine.clicks.click import ClickKind, VisitorClass
from engine.stats.live import decode, encode, live_update
from tests.kit.shipped_batches import click


def test_the_first_fifty_clicks_are_sent_and_all_are_counted() -> None:
    clicks = [click(link_id=n) for n in range(1, 61)]
    clicks += [click(kind=ClickKind.VIEW), click(verdict=VisitorClass.BOT)]
    update = live_update(7, clicks)
    assert update is not None
    assert [sent.link_id for sent in update.clicks] == list(range(1, 51))
    assert update.counts == (60, 1, 1)
    assert decode(encode(update)) == update


def test_a_commit_without_a_counted_click_is_no_update() -> None:
    assert live_update(7, []) is None
    assert live_update(7, [click(verdict=VisitorClass.HEAD)]) is None
    assert live_update(7, [click(kind=ClickKind.EVENT)]) is None
    assert decode(b"no update") is None
