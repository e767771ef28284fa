"""Drawing of pages' cards: once a page is published, its picture for networks and messengers is made.

It may end anywhere: a card that is not noted as drawn is drawn again. A page that cannot be drawn has no card,
and keeps no other one from being drawn.
"""

import logging
from functools import partial
from typing import Final

import trio

from engine.assets.address import MAIN_FILE
from engine.assets.ports import AssetFiles
from engine.jobs.handler import repeatable
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.operations.metrics import Metric, Sample
from engine.pages.ports import CardStore
from engine.pages.sharing.card import FILE, DueCard
from engine.pages.sharing.sharing_cards import page_picture

BATCH: Final = 20
MAX_BATCHES: Final = 100
CARDS: Final = Metric(
    "waypost_page_cards_total", "Cards of published pages by result (drawn, failed)", ("result",)
)
logger = logging.getLogger("waypost.pages")


class CardDrawing:
    """The drawing of one workers process. `visitors_url` is the start of addresses."""

    def __init__(self, cards: CardStore, files: AssetFiles, visitors_url: str) -> None:
        self._cards = cards
        self._files = files
        self._visitors_url = visitors_url.rstrip("/")
        self.results = dict.fromkeys(("drawn", "failed"), 0)

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "pages.draw_cards",
                Every(MINUTE),
                "draw the pictures that networks show of pages which were published",
                repeatable(self.draw_due),
            )
        ]

    async def draw_due(self) -> None:
        """Draw all cards that are due. Raises UnavailableError if their store does not answer."""
        for _ in range(MAX_BATCHES):
            due = await self._cards.due(BATCH)
            for card in due:
                await self._draw(card)
            if len(due) < BATCH:
                return

    async def _draw(self, card: DueCard) -> None:
        face = await self._files.read(card.face, MAIN_FILE) if card.face else None
        url = f"{self._visitors_url}/@{card.handle}"
        draw = partial(
            page_picture, card.page, title=card.title, handle=card.handle, url=url, face=face or b""
        )
        try:
            picture = await trio.to_thread.run_sync(draw)
        except Exception:
            logger.exception(
                "the card of profile %d could not be drawn",
                card.profile_id,
                extra={"event": "page_card_failed"},
            )
            self.results["failed"] += 1
            await self._cards.drawn(card, has_file=False)
            return
        await self._files.write(card.hash, {FILE: picture})
        await self._cards.drawn(card, has_file=True)
        self.results["drawn"] += 1

    def samples(self) -> list[Sample]:
        return CARDS.by_label(self.results)
