"""Rendered pages of an edge: made once for all who wait, kept within bounds, made anew when they change."""

import logging
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.visits.page_renders import (
    MAX_LOOKS,
    MAX_WAITING,
    Look,
    PageRenders,
    TimedPage,
    WantedPage,
)
from actors.visits.responses import PageTails


def tails(text: bytes) -> PageTails:
    return PageTails({b"": text}, b"", text, len(text))


class Worker:
    """A worker of renderings in virtual time, and what it delivered."""

    def __init__(self, max_bytes: int = 1_000) -> None:
        self.renders = PageRenders(max_bytes)
        self.made: list[bytes] = []
        self.delivered: list[tuple[list[str], bool]] = []

    def wanted(
        self,
        text: bytes,
        profile: int = 1,
        version: int = 1,
        look: Look = (),
        until: int | None = None,
    ) -> WantedPage:
        def make() -> TimedPage:
            self.made.append(text)
            if text == b"bad":
                raise ValueError(text)
            return TimedPage(tails(text), until)

        return WantedPage(profile, version, look, make)

    def deliver(self, results: list[tuple[list[str], str]], available: bool) -> None:
        self.delivered.append(([waiter for waiters, _ in results for waiter in waiters], available))


async def test_a_page_is_rendered_once_for_all_who_wait() -> None:
    worker = Worker()
    for waiter in "abc":
        assert worker.renders.wait(waiter, "route", worker.wanted(b"page"))
    assert worker.renders.wait("d", "route", worker.wanted(b"other", profile=2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.renders.run, worker.deliver)
        while len(worker.delivered) < 2:  # noqa: ASYNC110  # a thread renders
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert worker.made == [b"page", b"other"]
    assert worker.delivered == [(["a", "b", "c"], True), (["d"], True)]
    assert worker.renders.page(1, 1, (), 5) == tails(b"page")


async def test_a_page_that_cannot_be_rendered_costs_its_own_views_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker()
    worker.renders.wait("a", "route", worker.wanted(b"bad"))
    worker.renders.wait("b", "route", worker.wanted(b"good", profile=2))
    with caplog.at_level(logging.CRITICAL, logger="waypost.pages"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.renders.run, worker.deliver)
            while len(worker.delivered) < 2:  # noqa: ASYNC110  # a thread renders
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert worker.delivered == [(["a"], False), (["b"], True)]
    assert worker.renders.failed == 1


async def test_a_page_is_made_anew_at_another_version_and_when_it_is_due() -> None:
    worker = Worker()
    renders, page = worker.renders, partial(worker.renders.page, 1)
    renders.make(worker.wanted(b"one", until=100))
    assert page(1, (), 99) == tails(b"one")
    assert page(1, (), 100) is page(2, (), 99) is page(1, (1,), 99) is None
    renders.make(worker.wanted(b"two", version=2, look=(1,)))
    assert page(2, (1,), 99) == tails(b"two")
    assert page(1, (), 99) is None
    renders.make(worker.wanted(b"late", version=1))  # of a version that is over
    assert page(1, (), 99) is None
    assert renders.kept_bytes == 3
    renders.forget(1)
    assert page(2, (1,), 99) is None
    assert renders.kept_bytes == 0


async def test_pages_are_kept_within_bounds() -> None:
    worker = Worker(max_bytes=100)
    for profile in (1, 2, 3):
        worker.renders.make(worker.wanted(b"x" * 40, profile=profile))
        worker.renders.page(1, 1, (), 0)
    assert worker.renders.page(1, 1, (), 0) is not None  # viewed lately
    assert worker.renders.page(2, 1, (), 0) is None
    assert (worker.renders.kept_bytes, worker.renders.evicted) == (80, 1)
    for number in range(MAX_LOOKS + 1):
        worker.renders.make(worker.wanted(b"x", look=(number,)))
    assert worker.renders.page(1, 1, (0,), 0) is None
    assert worker.renders.page(1, 1, (MAX_LOOKS,), 0) is not None


async def test_a_bounded_number_of_visitors_waits() -> None:
    worker = Worker()
    for number in range(MAX_WAITING):
        assert worker.renders.wait(str(number), "route", worker.wanted(b"page"))
    assert not worker.renders.wait("late", "route", worker.wanted(b"page"))
    assert worker.renders.refused == 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.renders.run, worker.deliver)
        await wait_all_tasks_blocked()
        while not worker.delivered:  # noqa: ASYNC110  # a thread renders
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert worker.renders.wait("late", "route", worker.wanted(b"page"))
