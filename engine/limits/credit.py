"""Credit: units that a process lets a subject use first and charges to the shared limiter later, so that a
subject with plenty left does not cost a round trip each time.

The process carries on the limiter's last decision by itself, for MAX_UNCHARGED_UNITS units at most and only
while half of the burst is left. They are charged with the next decision of the limiter. So no rate is
exceeded by more than MAX_UNCHARGED_UNITS for each process, and a subject near its limit is decided by the
limiter alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import RateDecision, decide

MAX_UNCHARGED_UNITS: Final = 9
# Of a smaller burst, MAX_UNCHARGED_UNITS would be a large part.
MIN_BURST: Final = 1_000


class _Account:
    """What a process knows of one subject: its TAT by this process's clock, the units `owed` that are not
    charged yet, and the units `pending` in a call of the limiter. Owed and pending units together stay
    within MAX_UNCHARGED_UNITS: otherwise each failed call would add to a debt that no burst can pay."""

    __slots__ = ("owed", "pending", "tat_us")

    def __init__(self) -> None:
        self.tat_us: int | None = None
        self.owed = 0
        self.pending = 0

    def end_call(self, units: int, *, charged: bool) -> None:
        """Note that a call with `units` owed ones has ended. Units that it did not charge are owed again."""
        self.pending = max(0, self.pending - units)
        self.owed += 0 if charged else units


class RateLimitCredit:
    """The accounts of at most `max_subjects`. The least recently used is forgotten first, with what it owes."""

    def __init__(self, max_subjects: int) -> None:
        self._max_subjects = max_subjects
        self._accounts: OrderedDict[tuple[str, str], _Account] = OrderedDict()

    def spend(self, charges: Sequence[Charge], now_us: int) -> list[RateDecision] | None:
        """Return decisions of all `charges`; None, with nothing spent, if the limiter has to decide.

        `now_us` is a monotonic clock's.
        """
        spendable: list[tuple[_Account, Charge, RateDecision]] = []
        for charge in charges:
            account = self._accounts.get((charge.rate.name, charge.subject))
            if account is None or account.tat_us is None:
                return None
            if account.owed + account.pending + charge.cost > MAX_UNCHARGED_UNITS:
                return None
            decision = decide(charge.rate, account.tat_us, now_us, charge.cost)
            if 2 * decision.remaining < charge.rate.burst:
                return None
            spendable.append((account, charge, decision))
        for account, charge, decision in spendable:
            account.tat_us = now_us + decision.reset_after_us
            account.owed += charge.cost
        return [decision for *_, decision in spendable]

    async def charge(
        self, limiter: RateLimiter, charges: Sequence[Charge], clock_us: Callable[[], int]
    ) -> list[RateDecision]:
        """Return the limiter's decisions of `charges`, each charged together with the units owed.

        An error of the limiter is raised on, and the units are owed again.
        """
        whole = self._with_owed(charges)
        try:
            decisions = await limiter.decide(whole)
        except BaseException:
            for charge, sent in zip(charges, whole, strict=True):
                if sent.cost != charge.cost:
                    self._account(charge).end_call(sent.cost - charge.cost, charged=False)
            raise
        self._settle(charges, whole, decisions, clock_us())
        return decisions

    def _with_owed(self, charges: Sequence[Charge]) -> list[Charge]:
        """Return the charges with the units owed on top, which are pending from here on."""
        whole = []
        for charge in charges:
            account = self._accounts.get((charge.rate.name, charge.subject))
            if account is not None and account.owed:
                charge = charge._replace(cost=charge.cost + account.owed)
                account.pending, account.owed = account.pending + account.owed, 0
            whole.append(charge)
        return whole

    def _settle(
        self, charges: Sequence[Charge], whole: Sequence[Charge], decisions: Sequence[RateDecision],
        now_us: int,
    ) -> None:  # fmt: skip
        """Note the limiter's decisions. A denied charge was not charged, so its units are owed again."""
        for charge, sent, decision in zip(charges, whole, decisions, strict=True):
            if charge.rate.burst < MIN_BURST:
                continue
            account = self._account(charge)
            account.end_call(sent.cost - charge.cost, charged=decision.allowed)
            unpaid_us = account.owed * charge.rate.interval_us
            account.tat_us = now_us + decision.reset_after_us + unpaid_us

    def _account(self, charge: Charge) -> _Account:
        key = charge.rate.name, charge.subject
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account()
            if len(self._accounts) > self._max_subjects:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(key)
        return account
