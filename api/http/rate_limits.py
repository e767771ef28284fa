"""Rate limits of the console. No path is without one; docs/limits.md lists them.

Under `/v1` they are per API key or user, for reads and for changes, per share, and per client address. All
consoles share them in Redis, and each decides on credit in between; while Redis does not answer, each console
decides alone (engine/limits/layered_limiter.py). Each console counts bad credentials by itself, per address,
and refuses an address over this limit before it looks credentials up.

All other paths, unknown ones too, have one limit per address in each console's memory, so that monitoring
works without Redis. A route may have a narrower one of its own (api/experiments/conversion_ingest.py).
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Final, cast

import trio
from quart import Quart, Response, g, request

from api.http import client_address
from api.http.auth import caller_or_none, share_or_none
from api.http.guard import ConsoleMetrics
from api.http.protocol import Scope
from api.http.routes import is_api_path
from engine.accounts.access import Caller
from engine.limits.layered_limiter import LayeredRateLimiter
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.ports import Charge, RateLimiter
from engine.limits.rate import Rate, RateDecision, header_fields, require_allowed
from engine.operations.settings import Settings
from engine.visits.client_address import network_of

PERIOD_S: Final = 60
SHARED: Final = Rate("share", units=1_200, period_s=PERIOD_S)  # of one share, whoever has its token
PREFLIGHTS: Final = Rate("preflights", units=600, period_s=PERIOD_S)
NO_CREDENTIALS: Final = Rate("no-credentials", units=60, period_s=PERIOD_S)
BAD_CREDENTIALS: Final = Rate("bad-credentials", units=300, period_s=PERIOD_S)
# `/readyz` and `/metrics` ask every process of the machine.
PUBLIC: Final = Rate("public", units=3_000, period_s=PERIOD_S)
MAX_SUBJECTS: Final = 50_000
_DECISIONS: Final = (
    "waypost.rate_decisions"  # the ASGI scope has them if they are made before the app
)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class ApiRateLimiter:
    """Rate limiter of requests. A request over its limit raises TooSoonError."""

    def __init__(self, limiter: RateLimiter, settings: Settings, counters: ConsoleMetrics) -> None:
        self._counters = counters
        self._limiter = LayeredRateLimiter(
            limiter, MAX_SUBJECTS, now_us, counters.count_local_decision
        )
        self._trusted_hops = settings.trusted_hops
        reads, writes = settings.api_reads_per_minute, settings.api_writes_per_minute
        self._reads = _per_minute("reads", reads)
        self._writes = _per_minute("writes", writes)
        self._address = _per_minute("address", 2 * (reads + writes) if reads and writes else 0)
        self._bad_credentials = LocalRateLimiter(BAD_CREDENTIALS, MAX_SUBJECTS, "allow")
        self._preflights = LocalRateLimiter(PREFLIGHTS, MAX_SUBJECTS, "allow")
        self._public = LocalRateLimiter(PUBLIC, MAX_SUBJECTS, "allow")

    def register(self, app: Quart, authenticate: Callable[[], Awaitable[None]]) -> None:
        """Have `app` authenticate each request of the API by `authenticate`, and charge every request."""

        async def before() -> None:
            if not is_api_path(request.path):
                decision = self._public.decide(self._subject(), now_us())
                self._require_allowed([PUBLIC], [decision])
                return
            bad = self._bad_credentials.peek(self._subject(), now_us())
            if not bad.allowed:
                self._require_allowed([BAD_CREDENTIALS], [bad])
            await authenticate()
            await self._charge()

        async def after(response: Response) -> Response:
            if response.status_code == 401 and is_api_path(request.path):
                self._bad_credentials.decide(self._subject(), now_us())
            for name, value in header_fields(g.get("rate_decisions", ())):
                response.headers[name] = value
            return response

        app.before_request(before)
        app.after_request(after)

    async def charge_read(self, scope: Scope, caller: Caller) -> list[tuple[str, str]] | None:
        """Charge a read that is answered before the app. Returns the fields of its answer.

        None: a limit denies it, and the app answers. It does not charge the request again.
        """
        subject = _network(client_address.address_of(scope, self._trusted_hops))
        if not self._bad_credentials.peek(subject, now_us()).allowed:
            return None
        charges = self._caller_charges(caller, self._reads, subject)
        if not charges:
            return []
        decisions = await self._limiter.decide(charges)
        if not all(decision.allowed for decision in decisions):
            scope[_DECISIONS] = decisions
            return None
        rates = [charge.rate for charge in charges]
        return header_fields(list(zip(rates, decisions, strict=True)))

    def charge_preflight(self) -> None:
        """Charge a preflight to its client. Raises TooSoonError."""
        decision = self._preflights.decide(self._subject(), now_us())
        self._require_allowed([PREFLIGHTS], [decision])

    async def _charge(self) -> None:
        charges = self._charges()
        if not charges:
            return
        known: list[RateDecision] | None = cast(Scope, request.scope).get(_DECISIONS)
        decisions = known or await self._limiter.decide(charges)
        self._require_allowed([charge.rate for charge in charges], decisions)

    def _charges(self) -> list[Charge]:
        caller, share, address = caller_or_none(), share_or_none(), self._subject()
        if share is not None:
            return self._with_address(SHARED, f"share:{share.share.id}", address)
        if caller is None:
            return [Charge(NO_CREDENTIALS, address)]
        rate = self._reads if request.method in _READS else self._writes
        return self._caller_charges(caller, rate, address)

    def _caller_charges(self, caller: Caller, rate: Rate | None, address: str) -> list[Charge]:
        subject = f"user:{caller.user_id}" if caller.key_id is None else f"key:{caller.key_id}"
        return self._with_address(rate, subject, address)

    def _with_address(self, rate: Rate | None, subject: str, address: str) -> list[Charge]:
        pairs = ((rate, subject), (self._address, address))
        return [Charge(rate, subject) for rate, subject in pairs if rate is not None]

    def _require_allowed(self, rates: Sequence[Rate], decisions: Sequence[RateDecision]) -> None:
        g.rate_decisions = list(zip(rates, decisions, strict=True))
        self._counters.limited += not all(decision.allowed for decision in decisions)
        require_allowed(rates, decisions)

    def _subject(self) -> str:
        return _network(client_address.address(self._trusted_hops))


_network: Final = lru_cache(maxsize=1_024)(network_of)


def _per_minute(name: str, units: int) -> Rate | None:
    return Rate(name, units, PERIOD_S) if units else None


def now_us() -> int:
    """Return the time of trio's clock, in microseconds."""
    return int(trio.current_time() * 1_000_000)
