"""Fetches of blocklists by URL, which settings name: the handler of the job `blocklists.fetch`."""

from collections.abc import Sequence
from typing import Final

import trio

from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import HOUR, PeriodicJob
from engine.jobs.schedule import Every
from engine.links.abuse.fetched_list import (
    FETCH_S,
    MAX_URLS,
    Fetched,
    ListFetcher,
    ListStore,
    judged,
)
from engine.operations.metrics import Metric, Sample

FETCHES: Final = Metric(
    "waypost_blocklist_fetches_total",
    "Fetches of blocklists by URL: new copies, unchanged ones, failures that leave the copy before in use",
    ("result",),
)


class ListFetches:
    """The job's handler, which is unique. Without URLs it forgets the copies that there are."""

    def __init__(self, urls: Sequence[str], store: ListStore, fetcher: ListFetcher) -> None:
        self._urls = urls
        self._store = store
        self._fetcher = fetcher
        self.results = dict.fromkeys(("new", "unchanged", "failed"), 0)

    def periodic_jobs(self) -> list[PeriodicJob]:
        limit_s = MAX_URLS * (FETCH_S + 10)
        return [
            PeriodicJob(
                "blocklists.fetch",
                Every(HOUR),
                "fetch the blocklists that settings name by URL",
                Handler(run=self.run, time_limit_s=limit_s),
            )
        ]

    async def run(self, context: JobContext) -> None:
        await self._store.forget(self._urls)
        states = await self._store.states(self._urls)
        for url in self._urls:
            if context.stopping:
                return
            state = states.get(url)
            fetched = await self._fetch(url, "" if state is None else state.tag)
            self.results[fetched.outcome] += 1
            await self._store.record(url, fetched)

    async def _fetch(self, url: str, tag: str) -> Fetched:
        fetched = Fetched("failed", reason=f"it was not whole within {FETCH_S:g} s")
        with trio.move_on_after(FETCH_S):
            fetched = await self._fetcher.fetch(url, tag)
        return await trio.to_thread.run_sync(judged, fetched)

    def samples(self) -> list[Sample]:
        return FETCHES.by_label(self.results)
