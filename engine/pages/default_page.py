"""The page of a profile that has published none: its links, in their order."""

from collections.abc import Iterable

from engine.pages.blocks import LinkBlock
from engine.pages.page import ProfilePage


def default_page(link_ids: Iterable[int]) -> ProfilePage:
    """Return a page of these links, in this order."""
    blocks = tuple(
        LinkBlock(id=f"b{number}", link_id=str(link_id))
        for number, link_id in enumerate(link_ids, 1)
    )
    return ProfilePage(blocks=blocks)
