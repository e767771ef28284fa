"""Rate limits of one process: the TATs of many subjects in bounded memory.

Guarantees:
- at most `max_subjects` subjects are kept;
- a decision takes constant time in the worst case, as no decision sweeps all subjects;
- a subject is forgotten only after its TAT has passed, when forgetting it changes no decision. So
  all decisions about kept subjects are those of `engine.limits.rate.decide`.

Theory: a hand goes round the subjects (as in the clock algorithm of page replacement) and looks at
two of them for each new subject. So it overtakes the new ones, and subjects with a passed TAT take no
more room than the others. When the limiter is full, the hand looks at more subjects; if none has a
passed TAT, `when_full` decides the new subject, which is counted and not kept: kept subjects stay
limited.

Rejected: an order by last use (costs more each time, and a subject with a long TAT at its front
keeps all behind it), two generations swapped each period (frees 100,000 entries in one step, which
is a stall of milliseconds on the visitors' path).
"""

from collections.abc import Hashable, Sequence
from typing import Final, Literal

from engine.limits.ports import Charge
from engine.limits.rate import Rate, RateDecision, decide

WhenFull = Literal["allow", "deny"]

_LOOKS: Final = 2
_LOOKS_WHEN_FULL: Final = 16


class LocalRateLimiter:
    """A limiter of one rate for many subjects. `when_full` decides a new subject when there is no room."""

    def __init__(self, rate: Rate, max_subjects: int, when_full: WhenFull) -> None:
        if max_subjects < 1:
            raise ValueError("max_subjects must be at least 1")
        self._rate = rate
        self._interval_us, self._tolerance_us = rate.interval_us, rate.tolerance_us
        self._max_subjects = max_subjects
        self._when_full = when_full
        self._tats_us: dict[Hashable, int] = {}
        # The subjects once more, for the hand: a dict cannot be entered midway.
        self._ring: list[Hashable] = []
        self._hand = 0
        # Decisions `denied`, subjects `forgotten` after their TAT, new subjects decided by `when_full`
        # (`full`).
        self.counts = dict.fromkeys(("denied", "forgotten", "full"), 0)

    @property
    def subjects(self) -> int:
        """The number of kept subjects."""
        return len(self._ring)

    def decide(self, subject: Hashable, now_us: int, cost: int = 1) -> RateDecision:
        """Decide and charge `cost` units of `subject`. `now_us` is a monotonic clock's time. Raises ValueError
        if the cost is negative."""
        tat_us = self._tats_us.get(subject)
        if tat_us is None:
            return self._decide_new(subject, now_us, cost)
        decision = decide(self._rate, tat_us, now_us, cost)
        self._tats_us[subject] = now_us + decision.reset_after_us
        if not decision.allowed:
            self.counts["denied"] += 1
        return decision

    def admits(self, subject: Hashable, now_us: int) -> bool:
        """Charge one unit of `subject`, as decide() does. Returns whether it was allowed."""
        tat_us = self._tats_us.get(subject)
        if tat_us is not None:
            ahead_us = tat_us - now_us
            after_us = self._interval_us + ahead_us if ahead_us > 0 else self._interval_us
            if after_us <= self._tolerance_us:
                self._tats_us[subject] = now_us + after_us
                return True
        return self.decide(subject, now_us).allowed

    def peek(self, subject: Hashable, now_us: int, cost: int = 1) -> RateDecision:
        """Return the decision that decide() would make, and charge nothing."""
        return decide(self._rate, self._tats_us.get(subject, now_us), now_us, cost)

    def _decide_new(self, subject: Hashable, now_us: int, cost: int) -> RateDecision:
        decision = decide(self._rate, now_us, now_us, cost)
        if not decision.allowed:
            self.counts["denied"] += 1
        elif decision.reset_after_us:
            self._forget_passed(now_us, _LOOKS)
            if len(self._ring) >= self._max_subjects:
                self._forget_passed(now_us, _LOOKS_WHEN_FULL)
            if len(self._ring) >= self._max_subjects:
                return self._decide_when_full(decision)
            self._tats_us[subject] = now_us + decision.reset_after_us
            self._ring.append(subject)
        return decision

    def _decide_when_full(self, decision: RateDecision) -> RateDecision:
        self.counts["full"] += 1
        if self._when_full == "allow":
            return decision
        self.counts["denied"] += 1
        interval_us = self._rate.interval_us
        return RateDecision(False, self._rate.burst, 0, interval_us, self._rate.tolerance_us)

    def _forget_passed(self, now_us: int, looks: int) -> None:
        ring, tats_us = self._ring, self._tats_us
        for _ in range(min(looks, len(ring))):
            if self._hand >= len(ring):
                self._hand = 0
            subject = ring[self._hand]
            if tats_us[subject] > now_us:
                self._hand += 1
                continue
            del tats_us[subject]
            last = ring.pop()
            if self._hand < len(ring):
                ring[self._hand] = last
            self.counts["forgotten"] += 1


class LocalRateLimiters:
    """Limiters of many rates. The LocalRateLimiter of a rate is made at its first charge."""

    def __init__(self, max_subjects: int, when_full: WhenFull) -> None:
        self._max_subjects = max_subjects
        self._when_full: WhenFull = when_full
        self._limiters: dict[str, LocalRateLimiter] = {}

    def decide(self, charges: Sequence[Charge], now_us: int) -> list[RateDecision]:
        """Return a decision for each charge, in their order. Raises ValueError for a negative cost."""
        return [
            self._limiter(rate).decide(subject, now_us, cost) for rate, subject, cost in charges
        ]

    def clear(self) -> None:
        """Forget all subjects."""
        self._limiters.clear()

    def _limiter(self, rate: Rate) -> LocalRateLimiter:
        limiter = self._limiters.get(rate.name)
        if limiter is None:
            limiter = LocalRateLimiter(rate, self._max_subjects, self._when_full)
            self._limiters[rate.name] = limiter
        return limiter
