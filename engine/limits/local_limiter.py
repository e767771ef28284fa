"""A rate limit of one process: the TATs of many subjects in bounded memory.

Guarantees:
- never more than `max_subjects` are held, whatever comes;
- a decision takes constant time in the worst case, as nothing is ever swept as a whole;
- a subject is forgotten only after its TAT has passed, when forgetting it changes no decision. So
  all decisions about held subjects are those of `engine.limits.rate.decide`.

Theory: a hand goes round the subjects (as in the clock algorithm of page replacement) and looks at
two of them whenever a new one comes, so it overtakes the newcomers, and what has passed takes up no
more room than what has not. When all room is taken it looks at more; when they are all in use, a
newcomer is answered by `when_full`, counted and not held: those that are known stay limited.

Rejected: an order by last use (costs more each time, and one subject with a long TAT at its front
keeps all behind it), two generations swapped each period (frees 100,000 entries in one step, which
is a stall of milliseconds on the visitors' path).
"""

from collections.abc import Hashable
from typing import Final, Literal

from engine.limits.rate import Quota, RateDecision, decide

_LOOKS: Final = 2
_LOOKS_WHEN_FULL: Final = 16


class LocalRateLimiter:
    """One quota for many subjects. `when_full` says what becomes of a subject without room."""

    def __init__(
        self, quota: Quota, max_subjects: int, when_full: Literal["allow", "deny"]
    ) -> None:
        if max_subjects < 1:
            raise ValueError("max_subjects must be at least 1")
        self._quota = quota
        self._max_subjects = max_subjects
        self._when_full = when_full
        self._tats_us: dict[Hashable, int] = {}
        # The keys of the dict once more, for the hand to walk: a dict cannot be entered midway.
        self._ring: list[Hashable] = []
        self._hand = 0
        self._counts = dict.fromkeys(("denied", "forgotten", "full"), 0)

    def metrics(self) -> dict[str, int]:
        """`denied` decisions; subjects `forgotten` as their TAT had passed; newcomers answered by
        `when_full`."""
        return {"subjects": len(self._ring), **self._counts}

    def decide(self, subject: Hashable, now_us: int, cost: int = 1) -> RateDecision:
        """As `engine.limits.rate.decide`, with what is held of `subject`. `now_us` is a monotonic clock's."""
        tat_us = self._tats_us.get(subject)
        if tat_us is None:
            return self._decide_new(subject, now_us, cost)
        decision = decide(self._quota, tat_us, now_us, cost)
        self._tats_us[subject] = now_us + decision.reset_after_us
        if not decision.allowed:
            self._counts["denied"] += 1
        return decision

    def _decide_new(self, subject: Hashable, now_us: int, cost: int) -> RateDecision:
        decision = decide(self._quota, now_us, now_us, cost)
        if not decision.allowed:
            self._counts["denied"] += 1
        elif decision.reset_after_us:
            self._forget_passed(now_us, _LOOKS)
            if len(self._ring) >= self._max_subjects:
                self._forget_passed(now_us, _LOOKS_WHEN_FULL)
            if len(self._ring) >= self._max_subjects:
                return self._full(decision)
            self._tats_us[subject] = now_us + decision.reset_after_us
            self._ring.append(subject)
        return decision

    def _full(self, decision: RateDecision) -> RateDecision:
        self._counts["full"] += 1
        if self._when_full == "allow":
            return decision
        self._counts["denied"] += 1
        interval_us = self._quota.interval_us
        return RateDecision(False, self._quota.burst, 0, interval_us, self._quota.tolerance_us)

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
            self._counts["forgotten"] += 1
