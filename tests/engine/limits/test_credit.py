"""Credit on rate limits: how often the limiter is asked, and by how much a limit can be exceeded."""

from collections.abc import Coroutine, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limits.credit import MAX_UNCHARGED_UNITS, MIN_BURST, RateLimitCredit
from engine.limits.ports import Charge
from engine.limits.rate import Rate, RateDecision, decide

READS = Rate("reads", units=MIN_BURST, period_s=60)
SMALL = Rate("small", units=MIN_BURST - 1, period_s=60)
ADDRESS = Rate("address", units=4 * MIN_BURST, period_s=60)


class World:
    """Processes in front of one limiter, which keeps the TATs."""

    def __init__(self, processes: int = 1) -> None:
        self.credits = [RateLimitCredit(100) for _ in range(processes)]
        self.tats_us: dict[tuple[str, str], int] = {}
        self.now_us = 1_000_000
        self.asked = 0
        self.away = False

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        self.asked += 1
        if self.away:
            raise ConnectionError
        decisions = []
        for rate, subject, cost in charges:
            decision = decide(rate, self.tats_us.get((rate.name, subject), 0), self.now_us, cost)
            self.tats_us[rate.name, subject] = self.now_us + decision.reset_after_us
            decisions.append(decision)
        return decisions

    def request(self, *rates: Rate, process: int = 0, subject: str = "me") -> list[RateDecision]:
        credit, charges = self.credits[process], [Charge(rate, subject) for rate in rates]
        decisions = credit.spend(charges, self.now_us)
        if decisions is not None:
            return decisions
        return finished(credit.charge(self, charges, lambda: self.now_us))


def finished(call: Coroutine[None, None, list[RateDecision]]) -> list[RateDecision]:
    """Run a call that never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        decisions: list[RateDecision] = end.value
        return decisions
    raise AssertionError("the call waits")


def test_one_request_in_ten_asks_and_all_are_charged() -> None:
    world = World()
    left = [world.request(READS)[0].remaining for _ in range(100)]
    assert world.asked == 100 / (MAX_UNCHARGED_UNITS + 1)
    assert left == list(range(MIN_BURST - 1, MIN_BURST - 101, -1))
    assert world.tats_us["reads", "me"] == world.now_us + 91 * READS.interval_us


def test_with_less_than_half_left_each_one_asks() -> None:
    world = World()
    for _ in range(MIN_BURST // 2 + MAX_UNCHARGED_UNITS):
        world.request(READS)
    asked = world.asked
    for _ in range(50):
        world.request(READS)
    assert world.asked == asked + 50


def test_small_rates_are_always_asked_for_also_beside_others() -> None:
    world = World()
    for _ in range(30):
        world.request(SMALL)
        world.request(SMALL, READS)
    assert world.asked == 60


def test_what_was_asked_for_in_vain_or_refused_is_owed_still() -> None:
    world = World()
    for _ in range(MAX_UNCHARGED_UNITS + 1):
        world.request(READS)
    world.away = True
    for _ in range(3):
        try:
            world.request(READS)
        except ConnectionError:
            continue
        raise AssertionError("the limiter is away")
    world.away = False
    world.tats_us["reads", "me"] = world.now_us + READS.tolerance_us  # by others
    assert not world.request(READS)[0].allowed
    world.now_us += READS.tolerance_us
    world.request(READS)
    assert (
        world.tats_us["reads", "me"] == world.now_us + (MAX_UNCHARGED_UNITS + 1) * READS.interval_us
    )


def test_a_limiter_that_is_long_away_leaves_a_debt_that_can_be_paid() -> None:
    world, charges = World(), [Charge(READS, "me")]
    credit = world.credits[0]
    world.request(READS)
    costs = []

    class Away:
        async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
            costs.append(charges[0].cost)
            while credit.spend(charges, world.now_us):
                """Other requests come while the limiter does not answer."""
            raise ConnectionError

    for _ in range(300):
        with pytest.raises(ConnectionError):
            finished(credit.charge(Away(), charges, lambda: world.now_us))
        world.now_us += 1_000_000
    assert max(costs) <= MAX_UNCHARGED_UNITS + 1


def test_who_was_away_longest_is_forgotten() -> None:
    world = World()
    for n in range(1_000):
        world.request(READS, subject=str(n))
    assert world.asked == 1_000
    world.request(READS, subject="999")
    assert world.asked == 1_000
    world.request(READS, subject="5")
    assert world.asked == 1_001


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.integers(0, 5_000_000)), max_size=25),
)  # fmt: skip
def test_no_limit_is_exceeded_by_more_than_what_processes_may_owe(
    processes: int, bursts: list[tuple[int, int, int]]
) -> None:
    world, allowed = World(processes), 0
    started_us = world.now_us
    for process, count, pause_us in bursts:
        for _ in range(count):
            reads, address = world.request(READS, ADDRESS, process=process % processes)
            allowed += reads.allowed and address.allowed
        earned = (world.now_us - started_us) // READS.interval_us
        assert allowed <= READS.burst + earned + MAX_UNCHARGED_UNITS * processes
        world.now_us += pause_us
