"""Checks of visitors' passwords for protected links, off the hot path and limited."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import trio

from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.operations.metrics import Metric, Sample
from engine.visits.request import ClientInfo, VisitRequest

MAX_WAITING: Final = 64
# Each client's attempts at one link, and all attempts at it: a password must not be guessed.
ATTEMPTS_OF_CLIENT: Final = Rate("link-password-client", units=10, period_s=60)
ATTEMPTS_AT_LINK: Final = Rate("link-password-link", units=120, period_s=60)
MAX_SUBJECTS: Final = 20_000
_AT_ONCE: Final = 2

CHECKED: Final = Metric(
    "waypost_link_passwords_total", "Passwords that visitors gave for links, by result", ("result",)
)

CheckPassword = Callable[[str, str], Awaitable[bool]]
Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]


class _PasswordAttempt(NamedTuple):
    """A password to be checked. `waiter` and `route` go back to the visitor server."""

    waiter: Any
    route: Any
    request: VisitRequest
    password: str
    password_hash: str


class PasswordChecks:
    """The attempts of one edge. Run `run` as a task; `monotonic` is the clock of the limits."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._of_client = LocalRateLimiter(ATTEMPTS_OF_CLIENT, MAX_SUBJECTS, "deny")
        self._at_link = LocalRateLimiter(ATTEMPTS_AT_LINK, MAX_SUBJECTS, "deny")
        self._attempts: deque[_PasswordAttempt] = deque()
        self._event = trio.Event()
        self.results = dict.fromkeys(("right", "wrong", "limited", "refused"), 0)

    def wait(
        self, waiter: Any, route: Any, request: VisitRequest, client: ClientInfo, password_hash: str
    ) -> int:
        """Have the password of a request's form checked; run() then delivers the waiter with its route.

        Returns 0, or the status to refuse the request with: 429 after too many attempts, 503 while too many
        wait.
        """
        now_us = int(self._monotonic() * 1_000_000)
        key = route.link_id, client.network
        if not (
            self._of_client.decide(key, now_us).allowed
            and self._at_link.decide(route.link_id, now_us).allowed
        ):
            self.results["limited"] += 1
            return 429
        if len(self._attempts) >= MAX_WAITING:
            self.results["refused"] += 1
            return 503
        password = _password(request.form)
        self._attempts.append(_PasswordAttempt(waiter, route, request, password, password_hash))
        self._event.set()
        return 0

    async def run(self, check: CheckPassword, deliver: Deliver) -> None:
        """Check what waits, some at a time. `check(password, hash)` may raise UnavailableError."""
        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(self._run_one, check, deliver)

    async def _run_one(self, check: CheckPassword, deliver: Deliver) -> None:
        while True:
            while not self._attempts:
                await self._event.wait()
                self._event = trio.Event() if self._event.is_set() else self._event
            attempt = self._attempts.popleft()
            try:
                is_right = await check(attempt.password, attempt.password_hash)
            except UnavailableError:
                self.results["refused"] += 1
                deliver([([attempt.waiter], None)], False)
                continue
            self.results["right" if is_right else "wrong"] += 1
            attempt.request.password_is_right = is_right
            deliver([([attempt.waiter], attempt.route)], True)

    def samples(self) -> list[Sample]:
        return CHECKED.by_label(self.results)


def _password(form: bytes) -> str:
    """Return the form's password; empty without one, or with several."""
    try:
        fields = parse_qs(form.decode("utf-8", "replace"), True, max_num_fields=20)
    except ValueError:  # too many fields
        return ""
    values = fields.get("password", [])
    return values[0] if len(values) == 1 else ""
