"""Rendered pages of one edge: made off the hot path, and kept within a bound.

A page is rendered when a visitor first wants it, in a thread, once for all who wait for it. It is kept until
its profile has another version, a block of it is due to come or go, or others need the room.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio

from actors.visits.responses import PageTails
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.pages")

MAX_WAITING: Final = 8_192
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
MAX_LOOKS: Final = 64  # rendered variants of one page that are kept

PAGES_RENDERED: Final = Metric("waypost_pages_rendered_total", "Pages that edges rendered")
PAGES_KEPT_BYTES: Final = Metric(
    "waypost_pages_kept_bytes", "Bytes of rendered pages that edges keep"
)
PAGES_EVICTED: Final = Metric(
    "waypost_pages_evicted_total", "Profiles whose rendered pages were dropped to make room"
)
PAGES_REFUSED: Final = Metric(
    "waypost_pages_refused_total", "Views answered 503, as too many waited for a page"
)
PAGES_FAILED: Final = Metric(
    "waypost_pages_failed_total", "Pages that could not be rendered; their views are answered 503"
)

# What tells renderings of one profile's page apart: its language, and the variants that it shows.
Look = tuple[str | int | None, ...]
Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]


class TimedPage(NamedTuple):
    """A page as its visitors get it, until `changes_us`: Unix time in microseconds, None for ever."""

    tails: PageTails
    changes_us: int | None


class WantedPage(NamedTuple):
    """A page to be rendered by `make`, which may run in a thread."""

    profile_id: int
    version: int
    look: Look
    make: Callable[[], TimedPage]


class _ProfilePages:
    """The rendered pages of one profile at one version."""

    __slots__ = ("bytes", "pages", "version")

    def __init__(self, version: int) -> None:
        self.version = version
        self.pages: dict[Look, TimedPage] = {}
        self.bytes = 0


class PageRenders:
    """The pages of one edge. Run `run` as a task."""

    def __init__(self, max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[int, _ProfilePages] = OrderedDict()
        self._wanted: dict[tuple[int, int, Look], WantedPage] = {}
        self._waiters: dict[tuple[int, int, Look], list[tuple[Any, Any]]] = {}
        self._waiting = 0
        self._event = trio.Event()
        self.kept_bytes = 0
        self.rendered = 0
        self.evicted = 0
        self.refused = 0
        self.failed = 0

    def page(self, profile_id: int, version: int, look: Look, at_us: int) -> PageTails | None:
        """Return the page with this look of a profile at this version, if it is kept and still right."""
        kept = self._kept.get(profile_id)
        if kept is None or kept.version != version:
            return None
        page = kept.pages.get(look)
        if page is None or (page.changes_us is not None and at_us >= page.changes_us):
            return None
        self._kept.move_to_end(profile_id)
        return page.tails

    def last(self, profile_id: int, look: Look) -> PageTails | None:
        """Return the page with this look that was rendered last, of whatever version: for a visitor who has
        waited for it, as it was rendered since."""
        kept = self._kept.get(profile_id)
        page = None if kept is None else kept.pages.get(look)
        return None if page is None else page.tails

    def forget(self, profile_id: int) -> None:
        """Drop the pages of a profile."""
        kept = self._kept.pop(profile_id, None)
        if kept is not None:
            self.kept_bytes -= kept.bytes

    def wait(self, waiter: Any, route: Any, wanted: WantedPage) -> bool:
        """Have a page rendered; run() then delivers the waiter with its route. Returns False when too many
        wait."""
        if self._waiting >= MAX_WAITING:
            self.refused += 1
            return False
        self._waiting += 1
        key = wanted[:3]
        self._wanted.setdefault(key, wanted)
        self._waiters.setdefault(key, []).append((waiter, route))
        self._event.set()
        return True

    def make(self, wanted: WantedPage) -> PageTails:
        """Render a page at once, and keep it."""
        page = wanted.make()
        self._keep(wanted, page)
        return page.tails

    async def run(self, deliver: Deliver) -> None:
        """Render what visitors wait for, one page at a time, for ever."""
        while True:
            while not self._wanted:
                self._event = trio.Event()
                await self._event.wait()
            key = next(iter(self._wanted))
            wanted = self._wanted.pop(key)
            try:
                page = await trio.to_thread.run_sync(wanted.make)
            except Exception as error:
                self.failed += 1
                logger.error(
                    "the page of profile %d cannot be rendered: %r", wanted.profile_id, error,
                    extra={"event": "page_failed"},
                )  # fmt: skip
                deliver([([waiter], None) for waiter, _ in self._pop_waiters(key)], False)
                continue
            self._keep(wanted, page)
            deliver([([waiter], route) for waiter, route in self._pop_waiters(key)], True)

    def _pop_waiters(self, key: tuple[int, int, Look]) -> list[tuple[Any, Any]]:
        self._wanted.pop(key, None)  # those who came while it was made have it, too
        waiters = self._waiters.pop(key, [])
        self._waiting -= len(waiters)
        return waiters

    def _keep(self, wanted: WantedPage, page: TimedPage) -> None:
        self.rendered += 1
        kept = self._kept.get(wanted.profile_id)
        if kept is not None and kept.version > wanted.version:
            return  # the profile has changed meanwhile
        if kept is None or kept.version < wanted.version or len(kept.pages) >= MAX_LOOKS:
            self.forget(wanted.profile_id)
            kept = self._kept[wanted.profile_id] = _ProfilePages(wanted.version)
        before = kept.pages.get(wanted.look)
        added = page.tails.size - (0 if before is None else before.tails.size)
        kept.pages[wanted.look] = page
        kept.bytes += added
        self.kept_bytes += added
        self._kept.move_to_end(wanted.profile_id)
        while self.kept_bytes > self._max_bytes and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))
            self.evicted += 1

    def samples(self) -> list[Sample]:
        return [
            PAGES_RENDERED.sample(self.rendered),
            PAGES_KEPT_BYTES.sample(self.kept_bytes),
            PAGES_EVICTED.sample(self.evicted),
            PAGES_REFUSED.sample(self.refused),
            PAGES_FAILED.sample(self.failed),
        ]
