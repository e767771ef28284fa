"""The page of the demo profile: blocks of many kinds around its links."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.pages.blocks import (
    EmailFormBlock,
    EventBlock,
    FaqBlock,
    FaqItem,
    HeadingBlock,
    LinkBlock,
    ProductBlock,
    SocialItem,
    TextBlock,
)
from engine.pages.page import ProfilePage

_OPENS_AT: Final = datetime(2030, 5, 4, 10, 0, tzinfo=UTC)
_SEASON: Final = HeadingBlock(id="season", text="This season")
_EVENT: Final = EventBlock(
    id="open",
    title="Open garden",
    starts_at=_OPENS_AT,
    ends_at=_OPENS_AT + timedelta(hours=6),
    zone="Europe/London",
    place="12 Orchard Lane",
)
_NOTE: Final = TextBlock(
    id="note",
    text="Everything here is grown **without peat**. What is left over goes to schools nearby.",
)
_QUESTIONS: Final = FaqBlock(
    id="questions",
    questions=(
        FaqItem(question="Do you send plants?", answer="Yes, on *Mondays*, so that no box waits."),
        FaqItem(question="May I visit?", answer="From May to September, on Saturdays."),
    ),
)
_LETTERS: Final = EmailFormBlock(id="letter", title="Letters from the garden", line="Four a year")
_SOCIAL: Final = (
    SocialItem(url="https://www.instagram.com/example", service="instagram"),
    SocialItem(url="https://mastodon.social/@example", service="mastodon"),
    SocialItem(url="https://www.youtube.com/@example", service="youtube"),
)


def demo_page(link_ids: Sequence[int]) -> ProfilePage:
    """Return the page around five links: a collection, a shop, a video, a newsletter and an address."""
    spring, shop, video, newsletter, write = map(str, link_ids)
    collection = LinkBlock(
        id="spring",
        link_id=spring,
        style="filled",
        badge="New",
        line="Forty kinds, packed this week",
    )
    box = ProductBlock(
        id="box",
        title="Seed box",
        link_id=shop,
        line="Twelve sachets",
        price="24.00",
        currency="EUR",
    )
    return ProfilePage(
        name="Ada's Garden",
        bio="Seeds, cuttings and notes from a small walled garden.",
        social=_SOCIAL,
        theme="garden",
        blocks=(
            collection,
            LinkBlock(id="shop", link_id=shop, line="Seeds, bulbs and tools"),
            LinkBlock(id="video", link_id=video, line="A walk of six minutes"),
            _SEASON,
            _EVENT,
            box,
            _NOTE,
            _QUESTIONS,
            _LETTERS,
            LinkBlock(id="newsletter", link_id=newsletter),
            LinkBlock(id="write", link_id=write, style="centre"),
        ),
    )
