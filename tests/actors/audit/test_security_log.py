"""The security log's buffer: bounded, counts repeats, and keeps events while storage is away."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import trio

from actors.audit import security_log
from actors.audit.security_log import FLUSH_S, KEY_USED_INTERVAL_S, BufferedSecurityLog
from engine.accounts.access import Caller
from engine.audit.security_event import SecurityEvent
from engine.common.errors import UnavailableError
from storage.audit.memory_security_events import MemorySecurityStore

ADA = Caller(1, 11, 111)
GRACE = Caller(2, 22)
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Store(MemorySecurityStore):
    away = False

    async def write(self, events: Sequence[SecurityEvent]) -> None:
        if self.away:
            await trio.lowlevel.checkpoint()
            raise UnavailableError("Postgres does not answer")
        await super().write(events)

    def seen(self) -> list[tuple[str, int, int]]:
        return [(s.event.kind, s.event.tenant_id, s.event.times) for s in self.stored]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def log(store: Store) -> BufferedSecurityLog:
    return BufferedSecurityLog(store, lambda: NOW)


async def test_a_repeated_event_is_counted(
    log: BufferedSecurityLog, store: Store, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        for number in range(3):
            log.note("access.denied", ADA, f"r{number}", status=403)
        log.note("access.denied", GRACE, "r9", status=403)
        log.note("login.failed", None, "r10", reason="10.0.0.1")
        assert store.stored == []
        await trio.sleep(FLUSH_S + 0.1)
        assert store.seen() == [
            ("access.denied", 1, 3),
            ("access.denied", 2, 1),
            ("login.failed", 0, 1),
        ]
        first = store.stored[0].event
        assert (first.user_id, first.key_id, first.request_id) == (11, 111, "r0")
        assert (first.at, first.detail) == (NOW, {"status": 403})
        assert store.stored[2].event.detail == {"reason": "(withheld)"}
        log.note("access.denied", ADA, "r11", status=403)
        await trio.sleep(FLUSH_S)
        assert store.seen()[3:] == [("access.denied", 1, 1)]
        nursery.cancel_scope.cancel()


async def test_the_use_of_a_key_is_logged_once_an_hour(
    log: BufferedSecurityLog, store: Store, autojump_clock: object
) -> None:
    for _ in range(2):
        for _ in range(5):
            log.note("key.used", ADA, "r")
            await trio.sleep(1)
        await trio.sleep(KEY_USED_INTERVAL_S)
    await log.flush()
    assert store.seen() == [("key.used", 1, 2)]


async def test_events_up_to_the_bound_survive_while_storage_is_away(
    log: BufferedSecurityLog,
    store: Store,
    autojump_clock: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(security_log, "MAX_EVENTS", 3)
    monkeypatch.setattr(security_log, "WRITE_EVENTS", 2)
    store.away = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        await trio.sleep(FLUSH_S / 2)  # between two writes
        for tenant in range(1, 6):
            for _ in range(2):
                log.note("rate.limited", Caller(tenant, 1), "r")
            await trio.sleep(FLUSH_S)
        assert (log.waiting, log.dropped) == (3, 4)
        store.away = False
        await trio.sleep(FLUSH_S + 0.1)
        assert sorted(store.seen()) == [("rate.limited", n, 2) for n in (1, 2, 3)]
        assert (log.waiting, log.dropped) == (0, 4)
        nursery.cancel_scope.cancel()


async def test_waiting_events_are_written_at_the_end(
    log: BufferedSecurityLog, store: Store, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        await trio.sleep(0.1)
        log.note("login.succeeded", GRACE, "r")
        nursery.cancel_scope.cancel()
    assert store.seen() == [("login.succeeded", 2, 1)]


async def test_a_write_that_hangs_delays_the_end_by_a_bounded_time(
    log: BufferedSecurityLog, store: Store, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: Sequence[SecurityEvent]) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(store, "write", hang)
    log.note("login.succeeded", GRACE, "r")
    started = trio.current_time()
    with trio.move_on_after(FLUSH_S + 1):
        await log.run()
    assert trio.current_time() - started == pytest.approx(FLUSH_S + 1 + security_log.STOP_S)
    assert log.waiting == 1
