"""The job that fetches blocklists: new copies, failures that keep the last good one, and its time limit."""

from types import SimpleNamespace
from typing import Any

import trio
from trio.testing import MockClock

from actors.links.list_fetches import ListFetches
from engine.links.abuse.fetched_list import FETCH_S, Fetched
from storage.links.abuse.memory_blocklists import MemoryBlocklists

A, B = "https://lists.example/a", "https://lists.example/b"
CONTEXT: Any = SimpleNamespace(stopping=False)


class ScriptedFetcher:
    """ListFetcher from a dict; a list that is missing never comes."""

    def __init__(self) -> None:
        self.lists: dict[str, Fetched] = {}
        self.tags: list[str] = []

    async def fetch(self, url: str, tag: str) -> Fetched:
        self.tags.append(tag)
        if url not in self.lists:
            await trio.sleep_forever()
        return self.lists[url]


async def test_each_list_is_fetched_and_a_bad_one_keeps_its_last_good_copy(
    autojump_clock: MockClock,
) -> None:
    store, fetcher = MemoryBlocklists(), ScriptedFetcher()
    job = ListFetches([A, B], store, fetcher)
    fetcher.lists[A] = Fetched("new", b"bad.example\n", '"1"')
    started_s = trio.current_time()
    await job.run(CONTEXT)
    assert trio.current_time() - started_s == FETCH_S
    states = await store.states([A, B])
    assert (states[A].version, states[B].version) == (1, 0)
    assert "within 60 s" in states[B].reason
    for body, reason in (
        (b"<!doctype html>\n<p>Not found</p>\n", "no entry"),
        (b"", "no entry"),
        (b"bad.example\n" + b"what is this\n" * 9, "9 lines that are no entry"),
    ):
        fetcher.lists = {A: Fetched("new", body, '"2"'), B: Fetched("new", b"b.example\n")}
        await job.run(CONTEXT)
        state = (await store.states([A]))[A]
        assert (state.version, state.tag) == (1, '"1"')
        assert reason in state.reason
    assert fetcher.tags[-2:] == ['"1"', ""]
    assert job.results == {"new": 4, "unchanged": 0, "failed": 4}
    await ListFetches([B], store, fetcher).run(CONTEXT)
    assert (await store.states([A, B])).keys() == {B}
