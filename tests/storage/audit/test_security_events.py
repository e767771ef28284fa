"""Security events: one contract, in memory and in Postgres."""

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.accounts.access import Caller
from engine.audit.ports import SecurityStore
from engine.audit.security_event import NO_TENANT, SecurityEvent
from engine.common.errors import ForbiddenError
from storage.audit.memory_security_events import MemorySecurityStore
from storage.audit.security_events import PostgresSecurityStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened

pytestmark = pytest.mark.trio(run=hosted_run)

ADA, GRACE = Caller(1, 11, 111), Caller(2, 22)
AT = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def event(tenant_id: int, times: int, **fields: Any) -> SecurityEvent:
    event = SecurityEvent(
        "access.denied", tenant_id, 11, None, "r1", AT, times, {"status": 403, "why": "ü"}
    )
    return event._replace(**fields)


async def check_the_contract(store: SecurityStore) -> None:
    expected = [event(1, times) for times in range(1, 6)]
    anonymous = event(NO_TENANT, 7, user_id=None, request_id="", detail={})
    await store.write([expected[0], event(2, 9), *expected[1:3], anonymous])
    await store.write(expected[3:])
    await store.write([])
    events: list[SecurityEvent] = []
    before = 0
    while True:
        page = await store.events(ADA, before, 2)
        events += [stored.event for stored in page.items]
        ids = [stored.id for stored in page.items]
        assert ids == sorted(ids, reverse=True)
        if page.next_after is None:
            break
        assert page.next_after == ids[-1]
        before = page.next_after
    assert sorted(events, key=lambda item: item.times) == expected
    assert [stored.event.times for stored in (await store.events(GRACE, 2**70, 9)).items] == [9]
    await store.write([event(1, 20 + n, key_id=5 + n % 2) for n in range(4)])
    of_key = await store.events(ADA, 0, 1, key_id=6)
    assert [stored.event.times for stored in of_key.items] == [23]
    rest = await store.events(ADA, of_key.next_after or 0, 9, key_id=6)
    assert [stored.event.times for stored in rest.items] == [21]
    assert (await store.events(GRACE, 0, 9, key_id=6)).items == []
    with pytest.raises(ForbiddenError):
        await store.events(ADA._replace(scopes=("read", "write")), 0, 9)


async def test_in_memory() -> None:
    await check_the_contract(MemorySecurityStore())


@pytest.mark.slow
async def test_in_postgres(database_url: str) -> None:
    async with opened(database_url) as open_role:
        await check_the_contract(PostgresSecurityStore(await open_role("waypost_app")))
