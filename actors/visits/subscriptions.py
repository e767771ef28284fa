"""Addresses that visitors enter into forms of pages: checked, limited, and kept off the hot path."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qs

import trio

from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.operations.metrics import Metric, Sample
from engine.pages.subscriber import SubscriptionSink, normalised_email
from engine.visits.request import ClientInfo, VisitRequest

MAX_WAITING: Final = 64
SUBSCRIPTIONS_OF_CLIENT: Final = Rate("subscription-client", units=10, period_s=60)
SUBSCRIPTIONS_OF_PROFILE: Final = Rate("subscription-profile", units=120, period_s=60)
MAX_SUBJECTS: Final = 20_000

SUBSCRIPTIONS: Final = Metric(
    "waypost_page_subscriptions_total",
    "Addresses that visitors entered into forms of pages, by result (full: the profile has no room)",
    ("result",),
)
Outcome = Literal["kept", "invalid", "full"]
Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]


class _EnteredAddress(NamedTuple):
    """An address to be kept. `waiter` and `route` go back to the visitor server."""

    waiter: Any
    route: Any
    request: VisitRequest
    block: str
    email: str


class Subscriptions:
    """The subscriptions of one edge. Run `run` as a task; `monotonic` is the clock of the limits."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._of_client = LocalRateLimiter(SUBSCRIPTIONS_OF_CLIENT, MAX_SUBJECTS, "deny")
        self._of_profile = LocalRateLimiter(SUBSCRIPTIONS_OF_PROFILE, MAX_SUBJECTS, "deny")
        self._waiting: deque[_EnteredAddress] = deque()
        self._event = trio.Event()
        self.results = dict.fromkeys(("kept", "invalid", "full", "limited", "refused"), 0)

    def wait(
        self, waiter: Any, route: Any, request: VisitRequest, client: ClientInfo, at_us: int
    ) -> int:
        """Have the address of a request's form kept; run() then delivers the waiter with its route.

        Returns 0 if the visitor has to wait, 200 if `request.form_outcome` says the outcome already, or the
        status to refuse the request with: 404 for a form that the page does not have, 429 after too many
        addresses, 503 while too many wait.
        """
        form = _fields(request.form)
        if not route.actor.page.has_form(form.get("block", ""), at_us):
            return 404
        email = normalised_email(form.get("email", ""))
        if email is None:
            self.results["invalid"] += 1
            request.form_outcome = "invalid"
            return 200
        now_us = int(self._monotonic() * 1_000_000)
        if not (
            self._of_client.decide((route.actor.profile_id, client.network), now_us).allowed
            and self._of_profile.decide(route.actor.profile_id, now_us).allowed
        ):
            self.results["limited"] += 1
            return 429
        if len(self._waiting) >= MAX_WAITING:
            self.results["refused"] += 1
            return 503
        self._waiting.append(_EnteredAddress(waiter, route, request, form["block"], email))
        self._event.set()
        return 0

    async def run(self, sink: SubscriptionSink, deliver: Deliver) -> None:
        """Keep addresses, one after the other, for ever."""
        while True:
            while not self._waiting:
                self._event = trio.Event()
                await self._event.wait()
            subscription = self._waiting.popleft()
            waiter, route, request, block, email = subscription
            key = route.actor.tenant_id, route.actor.profile_id
            try:
                is_kept = await sink.subscribe(*key, block, email)
            except UnavailableError:
                self.results["refused"] += 1
                deliver([([waiter], None)], False)
                continue
            outcome: Outcome = "kept" if is_kept else "full"
            self.results[outcome] += 1
            request.form_outcome = outcome
            deliver([([waiter], route)], True)

    def samples(self) -> list[Sample]:
        return SUBSCRIPTIONS.by_label(self.results)


def _fields(form: bytes) -> dict[str, str]:
    """Return the form's fields that stand once in it; none of a form with too many."""
    try:
        fields = parse_qs(form.decode("utf-8", "replace"), True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}
