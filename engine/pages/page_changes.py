"""Changes of a page that is shown: its translation, a variant's blocks, and what its times show and hide."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from engine.pages.blocks import Block, UntilBlock
from engine.pages.page import BlockChange, ProfilePage, Translation


def translation_of(page: ProfilePage, language: str) -> Translation | None:
    """Return the translation for a visitor's language; None if the page is shown as it is written.

    A translation into another region's language serves where there is none of that region.
    """
    wanted = language.lower()
    if not wanted or wanted == page.language.lower():
        return None
    base = wanted.partition("-")[0]
    by_language = {translation.language.lower(): translation for translation in page.translations}
    if wanted in by_language:
        return by_language[wanted]
    if page.language.lower().partition("-")[0] == base:
        return None
    regional = (item for name, item in by_language.items() if name.partition("-")[0] == base)
    return by_language.get(base) or next(regional, None)


def translated(page: ProfilePage, language: str) -> ProfilePage:
    """Return the page in a visitor's language, as far as there is a translation."""
    translation = translation_of(page, language)
    if translation is None:
        return page
    return msgspec.structs.replace(
        page,
        name=translation.name or page.name,
        bio=translation.bio or page.bio,
        language=translation.language,
        blocks=changed_blocks(page.blocks, translation.blocks),
    )


def changed_blocks(blocks: tuple[Block, ...], changes: Iterable[BlockChange]) -> tuple[Block, ...]:
    """Return the blocks with the changes of a variant or translation; those of unknown blocks are left out."""
    by_block = {change.block: change for change in changes}
    if not by_block:
        return blocks
    ordered = [_changed(block, by_block.get(block.id)) for block in blocks]
    moves = sorted(
        (change.position, change.block)
        for change in by_block.values()
        if change.position is not None
    )
    for position, block_id in moves:
        index = next((n for n, block in enumerate(ordered) if block.id == block_id), None)
        if index is not None:
            ordered.insert(position, ordered.pop(index))
    return tuple(ordered)


def _changed(block: Block, change: BlockChange | None) -> Block:
    if change is None:
        return block
    names = set(block.__struct_fields__) & set(change.__struct_fields__) - {"block"}
    values: dict[str, Any] = {name: getattr(change, name) for name in names}
    return msgspec.structs.replace(
        block, **{name: value for name, value in values.items() if value is not None}
    )


def visible_blocks(page: ProfilePage, now: datetime) -> tuple[Block, ...]:
    """Return the blocks that visitors see at this moment."""
    return tuple(block for block in page.blocks if _is_visible(block, now))


def next_change_at(page: ProfilePage, now: datetime) -> datetime | None:
    """Return the first moment after `now` at which other blocks are visible; None if there is none."""
    moments = [
        moment
        for block in page.blocks
        if not block.hidden
        for moment in (block.shown_from, *_ends(block))
        if moment is not None and moment > now
    ]
    return min(moments, default=None)


def _is_visible(block: Block, now: datetime) -> bool:
    if block.hidden or (block.shown_from is not None and now < block.shown_from):
        return False
    return all(end is None or now < end for end in _ends(block))


def _ends(block: Block) -> tuple[datetime | None, ...]:
    return (block.shown_until, block.ends_at if isinstance(block, UntilBlock) else None)
