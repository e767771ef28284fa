"""How often the API may be asked: by key or user and class of route, and by address.

Limits are kept in Redis, so that all consoles share them. Of who has plenty left, one request in ten asks it
(engine/limits/credit.py). While it does not answer, each console counts by
itself: the API goes on, at most as many times faster as there are consoles. What an address sends with bad
credentials is counted by each console alone, before anybody is asked whose they are.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Final

import trio
from quart import Quart, Response, g, request

from api.http import client_address, problems
from api.http.auth import caller_or_none
from api.http.guard import ConsoleMetrics
from engine.common.errors import UnavailableError
from engine.limits.credit import RateLimitCredit
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import Quota, RateDecision, header_fields
from engine.operations.settings import Settings
from engine.visits.client_address import network_of

PERIOD_S: Final = 60
STRANGER: Final = Quota("no-credentials", limit=60, period_s=PERIOD_S)
FAILURES: Final = Quota("bad-credentials", limit=300, period_s=PERIOD_S)
MAX_SUBJECTS: Final = 50_000
REDIS_REST_S: Final = 1.0
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiRateLimiter:
    """Counts each request under `/v1`, before it is handled."""

    def __init__(self, limiter: RateLimiter, settings: Settings, counters: ConsoleMetrics) -> None:
        self._counters = counters
        self._limiter = limiter
        self._hops = settings.trusted_hops
        self._reads = _quota("reads", settings.api_reads_per_minute)
        self._writes = _quota("writes", settings.api_writes_per_minute)
        both = settings.api_reads_per_minute + settings.api_writes_per_minute
        unlimited = not (settings.api_reads_per_minute and settings.api_writes_per_minute)
        self._address = _quota("address", 0 if unlimited else 2 * both)
        self._failures = LocalRateLimiter(FAILURES, MAX_SUBJECTS, "allow")
        self._local: dict[str, LocalRateLimiter] = {}
        self._credit = RateLimitCredit(MAX_SUBJECTS)
        self._rest_until = 0.0

    def register(self, app: Quart, check: Callable[[], Awaitable[None]]) -> None:
        """Have `app` count requests; `check` finds out who sends one."""

        async def before() -> Response | None:
            if not request.path.startswith("/v1"):
                return None
            refused = self._after_failures()
            if refused is None:
                await check()
                refused = await self._count()
            return refused

        async def after(response: Response) -> Response:
            if response.status_code == 401 and request.path.startswith("/v1"):
                self._failures.decide(self._subject(), _now_us())
            for name, value in header_fields(g.get("rate_decided", ())):
                response.headers[name] = value
            return response

        app.before_request(before)
        app.after_request(after)

    def _after_failures(self) -> Response | None:
        """What to answer an address that has sent too many bad credentials."""
        decision = self._failures.decide(self._subject(), _now_us(), 0)
        if decision.remaining:
            return None
        wait_us = decision.reset_after_us - (FAILURES.burst - 1) * FAILURES.interval_us
        decision = decision._replace(allowed=False, retry_after_us=max(wait_us, 1))
        return self._refuse([(FAILURES, decision)])

    async def _count(self) -> Response | None:
        charges = self._charges()
        if not charges:
            return None
        decisions = await self._decide(charges)
        decided = [(one.quota, decision) for one, decision in zip(charges, decisions, strict=True)]
        if all(decision.allowed for decision in decisions):
            g.rate_decided = decided
            return None
        return self._refuse(decided)

    def _refuse(self, decided: Sequence[tuple[Quota, RateDecision]]) -> Response:
        self._counters.limited += 1
        g.rate_decided = decided
        names = ", ".join(quota.name for quota, decision in decided if not decision.allowed)
        return problems.response(429, f"too many requests ({names}); see Retry-After")

    def _charges(self) -> list[Charge]:
        caller, address = caller_or_none(), self._subject()
        if caller is None:
            return [Charge(STRANGER, address)]
        quota = self._reads if request.method in _READS else self._writes
        who = f"user:{caller.user_id}" if caller.key_id is None else f"key:{caller.key_id}"
        wanted = ((quota, who), (self._address, address))
        return [Charge(quota, subject) for quota, subject in wanted if quota is not None]

    async def _decide(self, charges: list[Charge]) -> list[RateDecision]:
        if (known := self._credit.spend(charges, _now_us())) is not None:
            return known
        if trio.current_time() >= self._rest_until:
            try:
                return await self._ask(charges)
            except UnavailableError:
                self._rest_until = trio.current_time() + REDIS_REST_S
        self._counters.limited_alone += 1
        now_us = _now_us()
        return [self._locally(one.quota).decide(one.subject, now_us) for one in charges]

    async def _ask(self, charges: list[Charge]) -> list[RateDecision]:
        asked = self._credit.charged(charges)
        try:
            decisions = await self._limiter.decide(asked)
        except BaseException:
            self._credit.give_back(charges, asked)
            raise
        self._credit.settle(charges, asked, decisions, _now_us())
        return decisions

    def _locally(self, quota: Quota) -> LocalRateLimiter:
        found = self._local.get(quota.name)
        if found is None:
            found = self._local[quota.name] = LocalRateLimiter(quota, MAX_SUBJECTS, "allow")
        return found

    def _subject(self) -> str:
        return _network(client_address.address(self._hops))


_network: Final = lru_cache(maxsize=1_024)(network_of)


def _quota(name: str, per_minute: int) -> Quota | None:
    return Quota(name, limit=per_minute, period_s=PERIOD_S) if per_minute else None


def _now_us() -> int:
    return int(trio.current_time() * 1_000_000)
