"""The target policy in use: the operator's settings, and the blocklists as they are at the moment."""

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import trio

from engine.common.errors import UnavailableError
from engine.links.abuse.fetched_list import ListState, ListStore, lines_of
from engine.links.domain import host_of_url
from engine.links.targets.blocklist import NO_BLOCKLIST, Blocklist, parse_blocklist
from engine.links.targets.lookalikes import Lookalikes
from engine.links.targets.target_policy import TargetPolicy
from engine.operations.health import Component
from engine.operations.metrics import Metric, Sample
from engine.operations.settings import Settings
from storage.links.abuse.blocklist_file import BlocklistFile

logger = logging.getLogger("waypost.blocklist")

STALE_S: Final = 86_400.0
ENTRIES: Final = Metric(
    "waypost_blocklist_entries_kept",
    "Entries of the blocklists in use, by the place of the list",
    ("list",),
)
AGE: Final = Metric(
    "waypost_blocklist_age_seconds",
    "Time since a blocklist by URL was last fetched, or found unchanged, by its place in the setting",
    ("list",),
)


class _ListInUse(NamedTuple):
    """A list by URL, and the state of the copy that it was read of."""

    state: ListState
    blocklist: Blocklist


class PolicySource:
    """The policy in `current`; refresh() reads the lists that have changed.

    `lists` has the copies of the lists by URL; None: there are none to be read.
    """

    def __init__(
        self,
        settings: Settings,
        lists: ListStore | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._file = BlocklistFile(settings.blocklist)
        self._has_file = bool(settings.blocklist)
        self._urls = settings.blocklist_urls.split()
        self._lists = lists
        self._now_s = now_s
        self._in_use: dict[str, _ListInUse] = {}
        own = {host_of_url(settings.visitors_url), host_of_url(settings.console_url)}
        own |= set(settings.protected_hosts.split(","))
        self.current = TargetPolicy(
            shorteners=settings.chained_shorteners,  # type: ignore[arg-type]  # one of its values
            lookalikes=settings.lookalike_hosts,  # type: ignore[arg-type]  # one of its values
            names=Lookalikes(own - {""}),
        )

    @property
    def is_complete(self) -> bool:
        """Whether every list of the settings was read once: a missing one must release no link."""
        has_file = not self._has_file or self._file.current is not NO_BLOCKLIST
        return has_file and all(url in self._in_use for url in self._urls)

    async def refresh(self) -> None:
        """Read what has changed. Lists that cannot be read leave those before in use."""
        await self._file.refresh()
        if self._urls and self._lists is not None:
            try:
                await self._refresh_copies(self._lists)
            except UnavailableError:
                pass  # Postgres is away, and everything says so
        by_url = (self._in_use[url].blocklist for url in self._urls if url in self._in_use)
        blocklists = (self._file.current, *by_url)
        if list(map(id, blocklists)) != list(map(id, self.current.blocklists)):
            self.current = self.current.with_blocklists(blocklists)

    async def _refresh_copies(self, lists: ListStore) -> None:
        for url, state in (await lists.states(self._urls)).items():
            known = self._in_use.get(url)
            if state.version == 0:
                continue
            if known is not None and known.state.version == state.version:
                self._in_use[url] = known._replace(state=state)
                continue
            body = await lists.body(url)
            blocklist = await trio.to_thread.run_sync(_parsed, body)
            self._in_use[url] = _ListInUse(state, blocklist)
            logger.info(
                "the blocklist %s is in use: %d entries, %d lines ignored",
                url, blocklist.entries, blocklist.ignored, extra={"event": "blocklist_loaded"},
            )  # fmt: skip

    async def read(self) -> TargetPolicy:
        """Return the policy with the lists as they are now."""
        await self.refresh()
        return self.current

    def component(self, name: str) -> Component:
        """Return how old the lists by URL are. It is ready with old ones: they block as before."""
        problems = []
        for url in self._urls:
            in_use = self._in_use.get(url)
            if in_use is None:
                problems.append(f"{url} was never fetched")
            elif (age_s := self._age_s(in_use)) > STALE_S:
                reason = f" ({in_use.state.reason})" if in_use.state.reason else ""
                problems.append(f"{url} was fetched {age_s / 3600:.0f} hours ago{reason}")
        return Component(name, True, "; ".join(problems))

    def _age_s(self, in_use: _ListInUse) -> float:
        fetched_at = in_use.state.fetched_at
        return 0.0 if fetched_at is None else self._now_s() - fetched_at.timestamp()

    def samples(self) -> list[Sample]:
        places = [(str(n), self._in_use.get(url)) for n, url in enumerate(self._urls, 1)]
        entries = {n: 0 if each is None else each.blocklist.entries for n, each in places}
        entries["file"] = self._file.current.entries
        return [
            *self._file.samples(),
            *ENTRIES.by_label(entries),
            *(AGE.sample(self._age_s(each), n) for n, each in places if each is not None),
        ]


def _parsed(body: bytes) -> Blocklist:
    """Return the list of a copy, which was judged before it was kept."""
    try:
        return parse_blocklist(lines_of(body))
    except ValueError:
        return NO_BLOCKLIST
