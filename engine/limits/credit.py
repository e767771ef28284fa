"""Rate limits that are spent first and charged after: of a subject with plenty left, a process does not ask
the shared limiter each time.

What the limiter decided last is carried on by the process itself, for AHEAD units at most and only while half
of the burst is left. They are charged with the next decision that is asked for. So no limit is exceeded by
more than AHEAD units for each process, and one that is close to its end is decided by the limiter alone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from engine.limits.ports import Charge
from engine.limits.rate import RateDecision, decide

MAX_UNCHARGED_UNITS: Final = 9
# Of a smaller quota, AHEAD would be a large part.
MIN_BURST: Final = 1_000


class _Account:
    """What is known of one subject: its TAT on this process's clock, what is not charged yet, and what the
    limiter is being asked for. The last two are AHEAD at most: or while the limiter is away, each question in
    vain would add to a debt that no quota can pay in the end."""

    __slots__ = ("asked", "owed", "tat_us")

    def __init__(self) -> None:
        self.tat_us: int | None = None
        self.owed = 0
        self.asked = 0

    def answered(self, cost: int, *, charged: bool) -> None:
        """That of what was owed, `cost` has been charged or not."""
        self.asked = max(0, self.asked - cost)
        self.owed += 0 if charged else cost


class RateLimitCredit:
    """Of `max_subjects` at most; who was away longest is forgotten first, with what it owes. `now_us` is a
    monotonic clock's."""

    def __init__(self, max_subjects: int) -> None:
        self._max_subjects = max_subjects
        self._accounts: OrderedDict[tuple[str, str], _Account] = OrderedDict()

    def spend(self, charges: Sequence[Charge], now_us: int) -> list[RateDecision] | None:
        """Decisions of all `charges`; None, with nothing spent, where the limiter has to be asked."""
        found: list[tuple[_Account, Charge, RateDecision]] = []
        for charge in charges:
            account = self._accounts.get((charge.quota.name, charge.subject))
            if account is None or account.tat_us is None:
                return None
            if account.owed + account.asked + charge.cost > MAX_UNCHARGED_UNITS:
                return None
            decision = decide(charge.quota, account.tat_us, now_us, charge.cost)
            if 2 * decision.remaining < charge.quota.burst:
                return None
            found.append((account, charge, decision))
        for account, charge, decision in found:
            account.tat_us = now_us + decision.reset_after_us
            account.owed += charge.cost
        return [decision for *_, decision in found]

    def charged(self, charges: Sequence[Charge]) -> list[Charge]:
        """The same with what is owed on top, which is not owed any more: to ask the limiter for. Then
        either `settle` or `give_back`."""
        asked = []
        for charge in charges:
            account = self._accounts.get((charge.quota.name, charge.subject))
            if account is not None and account.owed:
                charge = charge._replace(cost=charge.cost + account.owed)
                account.asked, account.owed = account.asked + account.owed, 0
            asked.append(charge)
        return asked

    def settle(
        self, charges: Sequence[Charge], asked: Sequence[Charge], decisions: Sequence[RateDecision],
        now_us: int,
    ) -> None:  # fmt: skip
        """Note what the limiter has decided. What it has refused was not charged, so it is owed again."""
        for charge, whole, decision in zip(charges, asked, decisions, strict=True):
            if charge.quota.burst < MIN_BURST:
                continue
            account = self._account(charge)
            account.answered(whole.cost - charge.cost, charged=decision.allowed)
            unpaid_us = account.owed * charge.quota.interval_us
            account.tat_us = now_us + decision.reset_after_us + unpaid_us

    def give_back(self, charges: Sequence[Charge], asked: Sequence[Charge]) -> None:
        """The limiter was asked in vain."""
        for charge, whole in zip(charges, asked, strict=True):
            if whole.cost != charge.cost:
                self._account(charge).answered(whole.cost - charge.cost, charged=False)

    def _account(self, charge: Charge) -> _Account:
        key = charge.quota.name, charge.subject
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account()
            if len(self._accounts) > self._max_subjects:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(key)
        return account
