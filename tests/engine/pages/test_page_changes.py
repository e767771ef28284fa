"""Blocks of a page over time and under changes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.pages.blocks import DividerBlock, HeadingBlock, UntilBlock
from engine.pages.page import BlockChange, ProfilePage, Translation
from engine.pages.page_changes import (
    changed_blocks,
    next_change_at,
    translation_of,
    visible_blocks,
)

NOW = datetime(2026, 11, 30, tzinfo=UTC)
moments = st.none() | st.integers(-50, 50).map(lambda hours: NOW + timedelta(hours=hours))
dividers = st.builds(DividerBlock, shown_from=moments, shown_until=moments, hidden=st.booleans())


@given(st.lists(dividers, max_size=6), st.integers(-60, 60))
def test_nothing_changes_before_the_next_change(blocks: list[DividerBlock], hours: int) -> None:
    page, now = ProfilePage(blocks=tuple(blocks)), NOW + timedelta(hours=hours)
    change = next_change_at(page, now)
    visible = visible_blocks(page, now)
    last = change - timedelta(seconds=1) if change else now + timedelta(days=365)
    assert visible_blocks(page, last) == visible
    assert change is None or change > now


def test_an_until_block_goes_by_itself() -> None:
    page = ProfilePage(blocks=(UntilBlock(text="a", ends_at=NOW),))
    assert next_change_at(page, NOW - timedelta(hours=1)) == NOW
    assert visible_blocks(page, NOW) == ()


@given(st.permutations(["a", "b", "c", "d"]), st.integers(0, 99))
def test_a_move_keeps_all_blocks_and_the_order_of_the_others(ids: list[str], position: int) -> None:
    blocks = tuple(HeadingBlock(id=name, text=name) for name in ids)
    moved = changed_blocks(blocks, [BlockChange(block="c", position=position)])
    assert moved.index(blocks[ids.index("c")]) == min(position, 3)
    assert [b for b in moved if b.id != "c"] == [b for b in blocks if b.id != "c"]


def test_a_change_leaves_fields_alone_that_the_kind_has_not() -> None:
    block = HeadingBlock(id="a", text="x")
    (changed,) = changed_blocks((block,), [BlockChange(block="a", title="t", badge="b", text="y")])
    assert changed == HeadingBlock(id="a", text="y")


def test_the_nearest_translation_is_chosen() -> None:
    page = ProfilePage(
        language="en",
        translations=tuple(Translation(language=name) for name in ("pt-BR", "pt", "de")),
    )
    chosen = {
        wanted: translation.language if (translation := translation_of(page, wanted)) else None
        for wanted in ("pt-br", "pt-PT", "de-CH", "en-US", "en", "fr", "")
    }
    assert chosen == {
        "pt-br": "pt-BR", "pt-PT": "pt", "de-CH": "de", "en-US": None, "en": None, "fr": None, "": None,
    }  # fmt: skip
