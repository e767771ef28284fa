"""Credit on rate limits: the number of the limiter's calls, and the excess over a limit."""

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


class Processes:
    """Processes with credit in front of one shared limiter, which is this object and keeps the TATs."""

    def __init__(self, count: int = 1) -> None:
        self.credits = [RateLimitCredit(100) for _ in range(count)]
        self.tats_us: dict[tuple[str, str], int] = {}
        self.now_us = 1_000_000
        self.calls = 0
        self.unavailable = False

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        self.calls += 1
        if self.unavailable:
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
        return run_to_end(credit.charge(self, charges, lambda: self.now_us))


def run_to_end(call: Coroutine[None, None, list[RateDecision]]) -> list[RateDecision]:
    """Run a call that never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        decisions: list[RateDecision] = end.value
        return decisions
    raise AssertionError("the call waits")


def test_one_request_in_ten_calls_the_limiter_and_all_are_charged() -> None:
    processes = Processes()
    left = [processes.request(READS)[0].remaining for _ in range(100)]
    assert processes.calls == 100 / (MAX_UNCHARGED_UNITS + 1)
    assert left == list(range(MIN_BURST - 1, MIN_BURST - 101, -1))
    assert processes.tats_us["reads", "me"] == processes.now_us + 91 * READS.interval_us


def test_with_less_than_half_left_each_request_calls_the_limiter() -> None:
    processes = Processes()
    for _ in range(MIN_BURST // 2 + MAX_UNCHARGED_UNITS):
        processes.request(READS)
    calls = processes.calls
    for _ in range(50):
        processes.request(READS)
    assert processes.calls == calls + 50


def test_small_rates_never_use_credit_nor_do_rates_beside_them() -> None:
    processes = Processes()
    for _ in range(30):
        processes.request(SMALL)
        processes.request(SMALL, READS)
    assert processes.calls == 60


def test_units_of_a_failed_or_denied_call_are_owed_again() -> None:
    processes = Processes()
    for _ in range(MAX_UNCHARGED_UNITS + 1):
        processes.request(READS)
    processes.unavailable = True
    for _ in range(3):
        try:
            processes.request(READS)
        except ConnectionError:
            continue
        raise AssertionError("the limiter is unavailable")
    processes.unavailable = False
    processes.tats_us["reads", "me"] = processes.now_us + READS.tolerance_us  # by other processes
    assert not processes.request(READS)[0].allowed
    processes.now_us += READS.tolerance_us
    processes.request(READS)
    assert (
        processes.tats_us["reads", "me"]
        == processes.now_us + (MAX_UNCHARGED_UNITS + 1) * READS.interval_us
    )


def test_a_long_outage_of_the_limiter_leaves_a_debt_that_can_be_paid() -> None:
    processes, charges = Processes(), [Charge(READS, "me")]
    credit = processes.credits[0]
    processes.request(READS)
    costs = []

    class Unavailable:
        async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
            costs.append(charges[0].cost)
            while credit.spend(charges, processes.now_us):
                """Other requests come while the limiter does not answer."""
            raise ConnectionError

    for _ in range(300):
        with pytest.raises(ConnectionError):
            run_to_end(credit.charge(Unavailable(), charges, lambda: processes.now_us))
        processes.now_us += 1_000_000
    assert max(costs) <= MAX_UNCHARGED_UNITS + 1


def test_the_least_recently_used_account_is_dropped() -> None:
    processes = Processes()
    for n in range(1_000):
        processes.request(READS, subject=str(n))
    assert processes.calls == 1_000
    processes.request(READS, subject="999")
    assert processes.calls == 1_000
    processes.request(READS, subject="5")
    assert processes.calls == 1_001


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400), st.integers(0, 5_000_000)), max_size=25),
)  # fmt: skip
def test_no_limit_is_exceeded_by_more_than_the_debt_that_processes_may_have(
    count: int, bursts: list[tuple[int, int, int]]
) -> None:
    processes, allowed = Processes(count), 0
    started_us = processes.now_us
    for process, requests, pause_us in bursts:
        for _ in range(requests):
            reads, address = processes.request(READS, ADDRESS, process=process % count)
            allowed += reads.allowed and address.allowed
        earned = (processes.now_us - started_us) // READS.interval_us
        assert allowed <= READS.burst + earned + MAX_UNCHARGED_UNITS * count
        processes.now_us += pause_us
