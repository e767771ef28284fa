"""Copies of blocklists, in memory and in Postgres: replaced, confirmed, kept after a failure, forgotten."""

from collections.abc import AsyncIterator

import pytest

from engine.links.abuse.fetched_list import Fetched, ListStore
from storage.links.abuse.blocklists import PostgresBlocklists
from storage.links.abuse.memory_blocklists import MemoryBlocklists
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened

pytestmark = pytest.mark.trio(run=hosted_run)
A, B = "https://lists.example/a", "https://lists.example/b"


@pytest.fixture
async def store(place: str) -> AsyncIterator[ListStore]:
    if not place:
        yield MemoryBlocklists()
        return
    async with opened(place) as open_database:
        yield PostgresBlocklists(await open_database("waypost_aggregator"))


async def test_a_copy_stays_until_there_is_a_newer_one(store: ListStore) -> None:
    assert await store.states([A]) == {}
    await store.record(A, Fetched("failed", reason="it answers 500"))
    state = (await store.states([A, B]))[A]
    assert (state.version, state.fetched_at, state.reason) == (0, None, "it answers 500")
    assert await store.body(A) == b""
    await store.record(A, Fetched("new", b"bad.example\n" * 1000, '"1"'))
    first = (await store.states([A]))[A]
    assert (first.version, first.tag, first.reason) == (1, '"1"', "")
    assert await store.body(A) == b"bad.example\n" * 1000
    await store.record(A, Fetched("failed", reason="it answers 404"))
    failed = (await store.states([A]))[A]
    assert failed == first._replace(reason="it answers 404")
    await store.record(A, Fetched("unchanged"))
    confirmed = (await store.states([A]))[A]
    assert (confirmed.version, confirmed.reason) == (1, "")
    assert confirmed.fetched_at is not None
    assert first.fetched_at is not None
    assert confirmed.fetched_at >= first.fetched_at
    await store.record(A, Fetched("new", b"worse.example\n"))
    assert (await store.states([A]))[A].version == 2
    assert await store.body(A) == b"worse.example\n"
    await store.record(B, Fetched("new", b"b.example\n"))
    await store.forget([B])
    assert (await store.states([A, B])).keys() == {B}
