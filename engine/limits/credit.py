"""Credit: units that a process lets a subject use at once and charges to the shared limiter later, so that
requests of a subject with plenty left need no round trip.

The process continues from the limiter's last decision, for at most MAX_UNCHARGED_UNITS units and only while
half of the burst is left. The next call of the limiter charges them. So no rate is exceeded by more than
MAX_UNCHARGED_UNITS per process, and near its limit a subject is decided by the limiter alone.
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
    """The credit account of a subject: its TAT by this process's clock, the units `owed` (used and not charged
    yet), and the units `pending` in a call of the limiter. Owed and pending units stay within
    MAX_UNCHARGED_UNITS in sum: otherwise each failed call would add to a debt that no burst can pay."""

    __slots__ = ("owed", "pending", "tat_us")

    def __init__(self) -> None:
        self.tat_us: int | None = None
        self.owed = 0
        self.pending = 0

    def end_call(self, units: int, *, charged: bool) -> None:
        """Settle `units` of debt in a call that has ended: charged, or owed again if the limiter refused."""
        self.pending = max(0, self.pending - units)
        self.owed += 0 if charged else units


class RateLimitCredit:
    """Credit accounts of at most `max_subjects` subjects. The least recently used account is dropped, and its
    debt with it."""

    def __init__(self, max_subjects: int) -> None:
        self._max_subjects = max_subjects
        self._accounts: OrderedDict[tuple[str, str], _Account] = OrderedDict()

    def spend(self, charges: Sequence[Charge], now_us: int) -> list[RateDecision] | None:
        """Return a decision for each charge; None, with nothing spent, if the limiter has to decide.

        `now_us` is a monotonic clock's time.
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
        """Return the limiter's decision for each charge, plus the units owed by its subject.

        Errors of the limiter are raised again; then the units are owed again.
        """
        charges_with_debt = self._add_debt(charges)
        try:
            decisions = await limiter.decide(charges_with_debt)
        except BaseException:
            for charge, sent in zip(charges, charges_with_debt, strict=True):
                if sent.cost != charge.cost:
                    self._account(charge).end_call(sent.cost - charge.cost, charged=False)
            raise
        self._settle(charges, charges_with_debt, decisions, clock_us())
        return decisions

    def _add_debt(self, charges: Sequence[Charge]) -> list[Charge]:
        """Return the charges plus the units still owed, which become pending."""
        charges_with_debt = []
        for charge in charges:
            account = self._accounts.get((charge.rate.name, charge.subject))
            if account is not None and account.owed:
                charge = charge._replace(cost=charge.cost + account.owed)
                account.pending, account.owed = account.pending + account.owed, 0
            charges_with_debt.append(charge)
        return charges_with_debt

    def _settle(
        self,
        charges: Sequence[Charge],
        charges_with_debt: Sequence[Charge],
        decisions: Sequence[RateDecision],
        now_us: int,
    ) -> None:
        """Update the accounts by the limiter's decisions. The debt in a denied charge is owed again."""
        for charge, sent, decision in zip(charges, charges_with_debt, decisions, strict=True):
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
