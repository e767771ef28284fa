"""Hits of servers at an edge: recorded as visits are, once each, and refused when not in the journal."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from msgspec.structs import replace

from api.visits import server_hits
from api.visits.client_resolver import ClientResolver
from api.visits.server_hits import ServerHits
from engine.clicks.click import CLASS_MASK, ClickKind, VisitorClass
from engine.clicks.dimension_values import parse_items
from engine.clicks.record_items import HIT, HOST, PLACE, UTM, items
from engine.common.errors import UnavailableError
from engine.links.slugs.slug_rules import Features
from engine.visits.hit import ServerHit, hit_id
from storage.visits.memory_geo import MemoryPlaceLookup
from tests.kit.running_registry import RunningRegistry, running_registry
from tests.kit.visitor_servers import DayNumberKeys, MemoryJournal

BROWSER = b"Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"
AT_US = 1_767_225_600_000_000


def hit(
    number: int, path: bytes = b"/@shop", *, url: bytes = b"", referrer: bytes = b""
) -> ServerHit:
    return ServerHit(
        hit_id(1, 2, str(number)), path, "203.0.113.9", BROWSER, b"de", url, referrer
    )  # fmt: skip


async def outcomes_of(hits: ServerHits, reported: Sequence[ServerHit]) -> list[str]:
    return [answer.outcome for answer in await hits.record(reported)]


class HitEdge:
    def __init__(self, edge: RunningRegistry) -> None:
        self.edge = edge
        self.journal = MemoryJournal()
        self.places = MemoryPlaceLookup()
        self.places.set_place("203.0.113.9", "DE")
        self.hits = self.restarted()

    async def record(self, hits: Sequence[ServerHit]) -> list[str]:
        return await outcomes_of(self.hits, hits)

    def restarted(self) -> ServerHits:
        clients = ClientResolver(self.places.place, 0)
        return ServerHits(self.edge.registry, self.journal, clients, DayNumberKeys(), lambda: AT_US)


@asynccontextmanager
async def hit_edge() -> AsyncIterator[HitEdge]:
    async with running_registry() as edge:
        await edge.profiles.add_profile("shop", "a")
        yield HitEdge(edge)


async def test_hits_are_recorded_as_visits_are(autojump_clock: trio.abc.Clock) -> None:
    async with hit_edge() as edge:
        page = b"https://front.example/?utm_source=ig"
        outcomes = await edge.record(
            [hit(1, url=page, referrer=b"https://l.instagram.com/"), hit(2, b"/shop/a", url=page),
             hit(3, b"/shop/none"), hit(4, b"/@none")]
        )  # fmt: skip
        assert outcomes == ["recorded", "recorded", "unknown", "unknown"]
        view, click = edge.journal.clicks
        assert (view.kind, click.kind, click.at_us) == (ClickKind.VIEW, ClickKind.CLICK, AT_US)
        assert view.classification & CLASS_MASK == VisitorClass.HUMAN
        assert view.visitor_id == click.visitor_id != b""
        assert click.referrer == view.referrer == b"https://l.instagram.com/"  # the entrance's
        view_items = items(view.items)
        assert (view_items[HOST], view_items[UTM]) == (b"front.example", b"utm_source=ig")
        assert view_items[PLACE].startswith(b"EU\x1fDE")
        assert view_items[HIT] == hit_id(1, 2, "1")
        assert b"203.0.113.9" not in b"".join(edge.journal.records)


async def test_hits_of_a_link_ignore_case_unless_a_link_is_spelt_so(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with hit_edge() as edge:
        allowed: list[Features] = [frozenset({"case_sensitive", "slashes"})]
        edge.edge.profiles.slugs_of_domains = lambda _: allowed
        profile_id = await edge.edge.profiles.add_profile("far", "spring")
        for slug in ("Spring", "Docs/x"):
            await edge.edge.profiles.add_link(profile_id, slug, "https://a.example/")
        paths = b"/~far/Spring", b"/~far/SPRING", b"/~far/Docs/x", b"/~far/docs/x", b"/~far/DOCS"
        outcomes = await edge.record([hit(n, path) for n, path in enumerate(paths)])
        assert outcomes == ["recorded", "recorded", "recorded", "unknown", "unknown"]
        exact, folded, nested = (click.link_id for click in edge.journal.clicks)
        assert len({exact, folded, nested}) == 3


async def test_an_own_event_has_the_way_of_its_visitor(autojump_clock: trio.abc.Clock) -> None:
    async with hit_edge() as edge:
        page = b"https://front.example/?utm_source=ig"
        view = hit(1, url=page, referrer=b"https://l.instagram.com/")
        event = replace(hit(2), event=b"signup\x1fplan=pro")
        assert await edge.record([view, event, event]) == ["recorded", "recorded", "duplicate"]
        viewed, signup = edge.journal.clicks
        assert (signup.kind, signup.link_id) == (ClickKind.EVENT, 0)
        assert (signup.visitor_id, signup.referrer) == (viewed.visitor_id, viewed.referrer)
        assert parse_items(signup.items).event == "signup\x1fplan=pro"
        assert items(signup.items)[HIT] == hit_id(1, 2, "2")


async def test_a_hit_that_comes_again_is_recorded_once(autojump_clock: trio.abc.Clock) -> None:
    async with hit_edge() as edge:
        assert await edge.record([hit(1), hit(2), hit(1)]) == [
            "recorded", "recorded", "duplicate",
        ]  # fmt: skip
        assert await edge.record([hit(2), hit(3)]) == ["duplicate", "recorded"]
        outcomes: list[str] = []
        async with trio.open_nursery() as nursery:

            async def record() -> None:
                outcomes.extend(await edge.record([hit(4)]))

            for _ in range(5):
                nursery.start_soon(record)
        assert sorted(outcomes) == ["duplicate"] * 4 + ["recorded"]
        assert len(edge.journal.clicks) == 4
        sums = {sample.labels[0]: sample.value for sample in edge.hits.samples()}
        assert sums == {"recorded": 4, "duplicate": 6, "unknown": 0}

        restarted = edge.restarted()
        restarted.remember(items(click.items)[HIT] for click in edge.journal.clicks)
        assert await outcomes_of(restarted, [hit(3), hit(5)]) == ["duplicate", "recorded"]


async def test_ids_are_bounded(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_hits, "MAX_IDS", 3)
    async with hit_edge() as edge:
        await edge.record([hit(number) for number in range(5)])
        assert await edge.record([hit(4), hit(0)]) == ["duplicate", "recorded"]


async def test_what_is_not_in_the_journal_may_be_sent_again(
    autojump_clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hit_edge() as edge:
        monkeypatch.setattr(edge.journal, "append", lambda _: False)
        with pytest.raises(UnavailableError, match="journal"):
            await edge.record([hit(1)])
        monkeypatch.undo()
        assert await edge.record([hit(1)]) == ["recorded"]


async def test_without_postgres_a_cold_profile_is_unavailable(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with hit_edge() as edge:
        edge.edge.profiles.away = True
        with pytest.raises(UnavailableError, match="looked up"):
            await edge.record([hit(1)])
        edge.edge.profiles.away = False
        assert await edge.record([hit(1)]) == ["recorded"]
        edge.edge.profiles.away = True
        assert await edge.record([hit(2)]) == ["recorded"]  # it is resident


async def test_a_lookup_that_lasts_is_given_up(autojump_clock: trio.abc.Clock) -> None:
    async with hit_edge() as edge:
        edge.edge.profiles.hold()
        with pytest.raises(UnavailableError, match="looked up"):
            await edge.record([hit(1)])
        edge.edge.profiles.release()
        await trio.sleep(0.1)
        assert await edge.record([hit(1)]) == ["recorded"]
