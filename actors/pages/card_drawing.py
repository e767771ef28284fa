"""Drawing of cards: once a page is published, or a link with a preview changed, its picture for networks and
messengers is made.

It may end anywhere: a card that is not noted as drawn is drawn again. A page that cannot be drawn has no card,
and keeps no other one from being drawn.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from engine.assets.address import MAIN_FILE
from engine.assets.ports import AssetFiles
from engine.jobs.handler import repeatable
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.operations.metrics import Metric, Sample
from engine.pages.ports import CardStore, LinkCardStore
from engine.pages.sharing.card import FILE, DueCard, DueLinkCard
from engine.pages.sharing.sharing_cards import link_picture, page_picture

BATCH: Final = 20
MAX_BATCHES: Final = 100
CARDS: Final = Metric(
    "waypost_page_cards_total", "Cards of published pages by result (drawn, failed)", ("result",)
)
LINK_CARDS: Final = Metric(
    "waypost_link_cards_total",
    "Cards of links with a preview by result (drawn, failed, same: as it was drawn before)",
    ("result",),
)
logger = logging.getLogger("waypost.pages")


class CardDrawing:
    """The drawing of one workers process. `visitors_url` is the start of addresses."""

    def __init__(
        self, cards: CardStore, links: LinkCardStore, files: AssetFiles, visitors_url: str
    ) -> None:
        self._cards = cards
        self._links = links
        self._files = files
        self._visitors_url = visitors_url.rstrip("/")
        self.results = dict.fromkeys(("drawn", "failed"), 0)
        self.link_results = dict.fromkeys(("drawn", "failed", "same"), 0)

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "pages.draw_cards",
                Every(MINUTE),
                "draw the pictures that networks show of pages which were published",
                repeatable(self.draw_due),
            ),
            PeriodicJob(
                "links.draw_cards",
                Every(MINUTE),
                "draw the pictures that messengers show of links with a preview",
                repeatable(self.draw_due_links),
            ),
        ]

    async def draw_due(self) -> None:
        """Draw all cards of pages that are due. Raises UnavailableError if their store does not answer."""
        for _ in range(MAX_BATCHES):
            due = await self._cards.due(BATCH)
            for card in due:
                has_file = await self._draw(card)
                await self._cards.drawn(card, has_file=has_file)
                self.results["drawn" if has_file else "failed"] += 1
            if len(due) < BATCH:
                return

    async def draw_due_links(self) -> None:
        """Draw cards of links that are due. Raises UnavailableError if their store does not answer."""
        for _ in range(MAX_BATCHES):
            due = await self._links.due(BATCH)
            for card in due:
                is_same = card.hash == card.drawn_hash
                has_file = is_same or await self._draw(card)
                await self._links.drawn(card, has_file=has_file)
                result = "same" if is_same else "drawn" if has_file else "failed"
                self.link_results[result] += 1
            if len(due) < BATCH:
                return

    async def _draw(self, card: DueCard | DueLinkCard) -> bool:
        """Draw a card and write its file. Returns False if it cannot be drawn."""
        face = await self._files.read(card.face, MAIN_FILE) if card.face else None
        try:
            picture = await trio.to_thread.run_sync(self._picture(card, face or b""))
        except Exception:
            logger.exception(
                "a card of profile %d could not be drawn",
                card.profile_id,
                extra={"event": "page_card_failed"},
            )
            return False
        await self._files.write(card.hash, {FILE: picture})
        return True

    def _picture(self, card: DueCard | DueLinkCard, face: bytes) -> Callable[[], bytes]:
        if isinstance(card, DueLinkCard):
            url = f"{self._visitors_url}/{card.card.path}"
            return partial(link_picture, card.page, card.card, url=url, face=face)
        url = f"{self._visitors_url}/@{card.handle}"
        names = {"title": card.title, "handle": card.handle}
        return partial(page_picture, card.page, **names, url=url, face=face)

    def samples(self) -> list[Sample]:
        return [*CARDS.by_label(self.results), *LINK_CARDS.by_label(self.link_results)]
