"""The settler settles the days that are due, and forgets no delta that was noted, in virtual time."""

from collections.abc import Sequence
from datetime import date

import pytest
import trio
from trio.testing import MockClock

from actors.stats import delta_settler
from actors.stats.delta_settler import LARGE_DUE_CLICKS, LOOK_S, TICK_S, DeltaSettler
from engine.common.errors import UnavailableError
from engine.operations.progress import STALL_S
from engine.stats.profile_day import HOT_CLICKS, MAX_DELTAS, ProfileDay

DAY = ProfileDay(1, 2, date(2026, 5, 1))
OTHER = ProfileDay(1, 3, date(2026, 5, 1))


class Store:
    """A store that notes what is settled. `took_s` is how long that takes, `busy` what a look finds."""

    def __init__(self) -> None:
        self.settled: list[ProfileDay] = []
        self.hot: set[ProfileDay] = set()
        self.busy: list[ProfileDay] = []
        self.bad: set[ProfileDay] = set()
        self.tried: list[int] = []
        self.away_after: list[int] = []
        self.took_s = 0.0
        self.away = False

    async def settle(self, days: Sequence[ProfileDay]) -> tuple[int, set[ProfileDay]]:
        await trio.sleep(self.took_s)
        if self.away:
            raise UnavailableError("Postgres is away")
        self.tried.append(len(days))
        self.away = self.tried == self.away_after
        if self.bad & set(days):
            raise ValueError("a damaged segment")
        self.settled.extend(days)
        return len(days), self.hot & set(days)

    async def busy_days(self, limit: int) -> list[ProfileDay]:
        await trio.lowlevel.checkpoint()
        return self.busy[:limit]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def settler(store: Store, nursery: trio.Nursery) -> DeltaSettler:
    settler = DeltaSettler(store)
    nursery.start_soon(settler.run)
    await trio.sleep(TICK_S / 2)
    return settler


@pytest.mark.parametrize(("deltas", "clicks"), [(MAX_DELTAS, 1), (1, HOT_CLICKS)])
async def test_a_day_is_settled_once_it_has_many_deltas_or_clicks(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store, deltas: int, clicks: int
) -> None:
    for _ in range(deltas - 1):
        settler.note(DAY, clicks)
    settler.note(OTHER, HOT_CLICKS - 1)
    await trio.sleep(2 * TICK_S)
    assert store.settled == []
    settler.note(DAY, clicks)
    await trio.sleep(10 * TICK_S)
    assert store.settled == [DAY]
    assert settler.settled == 1


async def test_a_hot_day_is_settled_for_more_clicks_at_once(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store
) -> None:
    store.hot = {DAY}
    settler.note(DAY, HOT_CLICKS)
    await trio.sleep(2 * TICK_S)
    settler.note(DAY, LARGE_DUE_CLICKS - 1)
    await trio.sleep(100 * TICK_S)
    assert store.settled == [DAY]
    settler.note(DAY, 1)
    await trio.sleep(2 * TICK_S)
    assert store.settled == [DAY, DAY]
    for _ in range(MAX_DELTAS):
        settler.note(DAY, 1)
    await trio.sleep(2 * TICK_S)
    assert store.settled == [DAY] * 3


async def test_a_delta_that_is_noted_meanwhile_is_settled_later(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store
) -> None:
    store.took_s = 1.0
    settler.note(DAY, HOT_CLICKS)
    await trio.sleep(TICK_S + 0.5)  # amid the settling of the first
    settler.note(DAY, HOT_CLICKS)
    await trio.sleep(5)
    assert store.settled == [DAY, DAY]


async def test_what_was_noted_outlives_an_outage(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store
) -> None:
    store.away, store.took_s = True, 0.1
    settler.note(DAY, HOT_CLICKS)
    for _ in range(100):
        await trio.sleep(STALL_S / 50)
        settler.note(OTHER, HOT_CLICKS)
    assert "Postgres is away" in settler.stall()
    assert settler.samples()[-1].value == 2
    store.away = False
    await trio.sleep(10)
    assert set(store.settled) == {DAY, OTHER}
    assert settler.stall() == ""


async def test_a_day_that_cannot_be_settled_keeps_no_other_waiting(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.bad = {DAY}
    for day in (DAY, OTHER):
        settler.note(day, HOT_CLICKS)
    await trio.sleep(100 * TICK_S)
    assert store.settled == [OTHER]
    assert store.tried == [2, 1, 1]
    assert [sample.value for sample in settler.samples()] == [1, 1, 0]
    assert "profile 2's 2026-05-01 cannot be settled" in caplog.text
    settler.note(DAY, HOT_CLICKS)
    await trio.sleep(2 * TICK_S)
    assert store.tried == [2, 1, 1, 1]
    store.bad = set()
    settler.note(DAY, HOT_CLICKS)
    await trio.sleep(2 * TICK_S)
    assert store.settled == [OTHER, DAY]


async def test_what_waits_behind_a_bad_day_outlives_an_outage(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store
) -> None:
    store.bad = {DAY}
    for day in (DAY, OTHER):
        settler.note(day, HOT_CLICKS)
    store.away_after = [2, 1]
    await trio.sleep(STALL_S)
    assert (store.tried, store.settled) == ([2, 1], [])
    store.away = False
    await trio.sleep(STALL_S)
    assert store.settled == [OTHER]


async def test_days_that_are_not_due_cost_a_tick_nothing(
    autojump_clock: MockClock, settler: DeltaSettler
) -> None:
    for number in range(1_000):
        settler.note(DAY._replace(profile_id=number), 1)
    settler.note(OTHER, HOT_CLICKS)
    assert list(settler._due) == [OTHER]


async def test_deltas_that_nobody_noted_are_looked_for(
    autojump_clock: MockClock, settler: DeltaSettler, store: Store
) -> None:
    store.busy = [DAY]
    await trio.sleep(LOOK_S + 1)
    assert store.settled == [DAY]


async def test_few_days_are_remembered(
    autojump_clock: MockClock, settler: DeltaSettler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_settler, "MAX_NOTED", 3)
    for number in range(20):
        settler.note(DAY._replace(profile_id=number), 1)
    assert len(settler._noted) <= 3
