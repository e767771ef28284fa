"""Checks of links' targets in virtual time: once a day each, polite to hosts, with the links' health."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
import trio
from trio.testing import MockClock

from actors.links import health_checks
from actors.links.health_checks import CHECK_S, PAUSE_S, RUN_S, LinkChecks
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.jobs.handler import JobContext
from engine.links.health import CheckOutcome, LinkHealth, ProbeResult
from engine.links.link import Link, LinkDraft
from engine.links.profile import ProfileDraft
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_health import MemoryLinkHealthStore, MemoryProber
from storage.links.memory_profiles import MemoryProfiles

START = datetime(2026, 3, 15, 10, 7, tzinfo=UTC)
DAY = timedelta(days=1)


class World:
    def __init__(self, takes_s: float = 0.0) -> None:
        self.profiles = MemoryProfiles()
        self.store = MemoryLinkHealthStore(self.profiles, self.now)
        self.prober = MemoryProber(takes_s)
        self.checks = LinkChecks(self.store, self.prober)
        self.caller = Caller(1, 1)
        self.profile_id = 0
        self.context = JobContext(None, MemoryJobs())  # type: ignore[arg-type]  # it has no payload

    def now(self) -> datetime:
        return START + timedelta(seconds=trio.current_time())

    async def link(self, target: str, kind: str = "url") -> Link:
        if not self.profile_id:
            profile_draft = ProfileDraft(handle="ada")
            self.profile_id = (await self.profiles.create_profile(self.caller, profile_draft)).id
        slug = f"s{len(self.profiles.all_links())}"
        draft = LinkDraft(slug=slug, target=target, kind=kind)
        return (await self.profiles.create_link(self.caller, self.profile_id, draft))[0]

    async def run(self) -> list[str]:
        """Run the job once. Returns its requests as `METHOD URL`."""
        self.prober.probes.clear()
        await self.checks.run(self.context)
        return [f"{probe.method} {probe.url}" for _, probe in self.prober.probes]

    async def health(self, link: Link) -> LinkHealth:
        health = (await self.profiles.link(self.caller, link.id)).health
        assert health is not None
        return health


async def test_every_target_is_checked_once_a_day(autojump_clock: MockClock) -> None:
    world = World()
    links = [await world.link(f"https://h{n}.example/") for n in range(20)]
    same = await world.link("https://h0.example/")
    mail = await world.link("mailto:a@example.com", "mailto")
    assert (await world.profiles.link(world.caller, links[0].id)).health is None
    assert len(await world.run()) == 20
    for link in [*links, same]:
        assert (await world.health(link)).state == "ok"
    assert (await world.profiles.link(world.caller, mail.id)).health is None
    # From the third day on, each target has its own time of the day.
    requests: Counter[str] = Counter()
    hours: Counter[int] = Counter()
    for minute in range(12 * 60, 72 * 60, 5):
        await trio.sleep_until(minute * 60)
        run_requests = await world.run()
        if minute >= 48 * 60:
            requests.update(run_requests)
            hours[minute // 60] += len(run_requests)
    assert len(requests) == 20
    assert set(requests.values()) == {1}
    assert max(hours.values()) <= 6


async def test_a_host_gets_one_request_at_a_time_with_pauses(autojump_clock: MockClock) -> None:
    world = World(takes_s=0.5)
    for n in range(10):
        await world.link(f"https://one.example/{n}")
        await world.link(f"https://two.example/{n}")
    await world.link("https://three.example/")
    world.prober.results["https://three.example/"] = ProbeResult(302, "https://one.example/0?x")
    await world.run()
    times: dict[str, list[float]] = {}
    for at, probe in world.prober.probes:
        times.setdefault(urlsplit(probe.url).netloc, []).append(at)
    assert {host: len(at) for host, at in times.items()} == {
        "one.example": 11, "two.example": 10, "three.example": 1,
    }  # fmt: skip
    for host_times in times.values():
        gaps = [later - before for before, later in pairwise(host_times)]
        assert all(gap >= 0.5 + PAUSE_S - 1e-6 for gap in gaps)
    assert times["two.example"][0] < times["one.example"][1]  # different hosts at the same time


async def test_sixteen_hosts_are_checked_at_once(autojump_clock: MockClock) -> None:
    world = World(takes_s=1.0)
    for n in range(40):
        await world.link(f"https://h{n}.example/")
    await world.run()
    starts = Counter(round(at) for at, _ in world.prober.probes)
    assert sorted(starts.values(), reverse=True) == [16, 16, 8]


async def test_a_target_that_does_not_answer_is_given_up(autojump_clock: MockClock) -> None:
    world = World(takes_s=CHECK_S * 2)
    link, fine = await world.link("https://slow.example/"), await world.link("https://x.example/")
    started_s = trio.current_time()
    await world.run()
    assert trio.current_time() - started_s == pytest.approx(CHECK_S)
    for checked_link in (link, fine):
        health = await world.health(checked_link)
        assert (health.state, health.status) == ("unknown", None)
        assert health.reason == "no answer within 10 s"
    assert await world.run() == []
    await trio.sleep(3600)
    assert len(await world.run()) == 2
    assert (await world.health(link)).state == "broken"  # the second time


async def test_the_time_of_a_check_is_that_of_all_its_requests(autojump_clock: MockClock) -> None:
    world = World(takes_s=CHECK_S * 0.7)
    link = await world.link("https://slow.example/")
    world.prober.results["https://slow.example/"] = ProbeResult(404)
    assert await world.run() == ["HEAD https://slow.example/", "GET https://slow.example/"]
    assert trio.current_time() == pytest.approx(CHECK_S + PAUSE_S, abs=0.1)
    assert (await world.health(link)).reason == "no answer within 10 s"


async def test_a_run_discovers_links_in_five_rounds(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_checks, "DISCOVER_LINKS", 4)
    world = World()
    for n in range(22):
        await world.link(f"https://h{n}.example/")
    assert [len(await world.run()) for _ in range(3)] == [20, 2, 0]


async def test_health_has_the_time_since_a_target_is_broken_or_ok(
    autojump_clock: MockClock,
) -> None:
    world = World()
    link = await world.link("https://a.example/")
    world.prober.results["https://a.example/"] = ProbeResult(404)
    assert await world.run() == ["HEAD https://a.example/", "GET https://a.example/"]
    broken = await world.health(link)
    assert (broken.state, broken.status, broken.reason) == ("broken", 404, "it answers 404")
    assert broken.since == broken.checked_at
    await trio.sleep(36 * 3600)
    await world.run()
    again = await world.health(link)
    assert again.since == broken.since
    assert again.checked_at > broken.checked_at
    del world.prober.results["https://a.example/"]
    await trio.sleep(36 * 3600)
    await world.run()
    mended = await world.health(link)
    assert (mended.state, mended.since) == ("ok", mended.checked_at)


async def test_a_run_ends_in_time_and_releases_the_remaining_checks(
    autojump_clock: MockClock,
) -> None:
    world = World(takes_s=1)
    for n in range(60):
        await world.link(f"https://one.example/{n}")
    started_s = trio.current_time()
    first = await world.run()
    assert trio.current_time() - started_s == pytest.approx(RUN_S)
    assert 20 <= len(first) <= 26
    second, third = await world.run(), await world.run()
    requests = [*first, *second, *third]
    assert len(set(requests)) == 60
    assert len(requests) <= 62  # checks interrupted by the end of a run are repeated


async def test_a_stopping_worker_does_not_wait_for_targets(autojump_clock: MockClock) -> None:
    world = World(takes_s=CHECK_S)
    await world.link("https://one.example/")
    started_s = trio.current_time()

    async def stop() -> None:
        await trio.sleep(2)
        world.context.stopping = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        await world.run()
    assert trio.current_time() - started_s < 3
    world.context.stopping = False
    assert len(await world.run()) == 1


async def test_a_changed_target_is_checked_anew(autojump_clock: MockClock) -> None:
    world = World()
    link = await world.link("https://a.example/")
    await world.run()
    draft = LinkDraft(slug=link.slug, target="https://b.example/")
    await world.profiles.update_link(world.caller, link.id, draft)
    assert (await world.profiles.link(world.caller, link.id)).health is None
    assert await world.run() == ["HEAD https://b.example/"]
    await world.profiles.delete_link(world.caller, link.id)
    await trio.sleep(48 * 3600)
    assert await world.run() == []


async def test_checks_are_repeated_when_storage_comes_back(autojump_clock: MockClock) -> None:
    world = World()
    link = await world.link("https://a.example/")

    async def away(checked: Sequence[CheckOutcome]) -> None:
        raise UnavailableError("Postgres does not answer")

    write, world.store.record = world.store.record, away  # type: ignore[method-assign]
    with pytest.RaisesGroup(UnavailableError):
        await world.run()
    world.store.record = write  # type: ignore[method-assign]
    assert await world.run() == []
    await trio.sleep(3600)
    assert len(await world.run()) == 1
    assert (await world.health(link)).state == "ok"
