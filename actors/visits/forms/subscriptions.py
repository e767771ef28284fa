"""Addresses that visitors enter into forms of pages, and links by which they confirm them or leave the list:
checked, limited, and kept off the hot path."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qs

import trio

from engine.common.errors import UnavailableError
from engine.limits.local_limiter import LocalRateLimiter
from engine.limits.rate import Rate
from engine.operations.metrics import Metric, Sample
from engine.pages.subscriber import SubscriptionSink, normalised_email
from engine.pages.subscription_token import Purpose, SubscriptionTokens, TokenScope
from engine.visits.request import ClientInfo, VisitRequest

MAX_WAITING: Final = 64
SUBSCRIPTIONS_OF_CLIENT: Final = Rate("subscription-client", units=10, period_s=60)
SUBSCRIPTIONS_OF_PROFILE: Final = Rate("subscription-profile", units=120, period_s=60)
MAX_SUBJECTS: Final = 20_000
_SECRET_RETRY_S: Final = 1.0

SUBSCRIPTIONS: Final = Metric(
    "waypost_page_subscriptions_total",
    "Forms of pages with an address, and links of mails that visitors followed, by result",
    ("result",),
)
Outcome = Literal["kept", "invalid", "full", "waiting", "busy", "confirmed", "left", "gone"]
Deliver = Callable[[list[tuple[list[Any], Any]], bool], None]
_PURPOSES: Final[tuple[Purpose, ...]] = ("confirm", "leave")


class SubscriptionLink(NamedTuple):
    """A link of a mail: its purpose and its token."""

    purpose: Purpose
    token: str


class _Step(NamedTuple):
    """A form that a visitor waits for. `waiter` and `route` go back to the visitor server."""

    waiter: Any
    route: Any
    request: VisitRequest
    take: Callable[[SubscriptionSink], Awaitable[Outcome]]


class Subscriptions:
    """The subscriptions of one edge. Run `run` as a task; `monotonic` is the clock of the limits.

    `tokens` is None until the deployment's secret is known.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._of_client = LocalRateLimiter(SUBSCRIPTIONS_OF_CLIENT, MAX_SUBJECTS, "deny")
        self._of_profile = LocalRateLimiter(SUBSCRIPTIONS_OF_PROFILE, MAX_SUBJECTS, "deny")
        self._waiting: deque[_Step] = deque()
        self._event = trio.Event()
        self.tokens: SubscriptionTokens | None = None
        outcomes = "kept", "invalid", "full", "waiting", "busy", "confirmed", "left", "gone"
        self.results = dict.fromkeys((*outcomes, "limited", "refused"), 0)

    def wait(
        self, waiter: Any, route: Any, request: VisitRequest, client: ClientInfo, at_us: int
    ) -> int:
        """Have what a request's form says carried out; run() then delivers the waiter with its route.

        Returns 0 if the visitor has to wait, 200 if `request.form_outcome` says the outcome already, or the
        status to refuse the request with: 404 for a form that the page does not have, 429 after too many
        forms, 503 while too many wait.
        """
        form = _fields(request.form.decode("utf-8", "replace"))
        link = _link_of(form, request)
        if link is not None:
            return self._wait_with_link(waiter, route, request, link, client, at_us)
        block = route.actor.page.form(form.get("block", ""), at_us)
        if block is None:
            return 404
        email = normalised_email(form.get("email", ""))
        if email is None:
            return self._answered(request, "invalid")
        key = route.actor.tenant_id, route.actor.profile_id, block.id, email
        take = partial(_requested if block.double_opt_in else _kept, key)
        return self._wait(_Step(waiter, route, request, take), client)

    def _wait_with_link(
        self,
        waiter: Any,
        route: Any,
        request: VisitRequest,
        link: SubscriptionLink,
        client: ClientInfo,
        at_us: int,
    ) -> int:
        if self.tokens is None:
            self.results["refused"] += 1
            return 503
        actor = route.actor
        request_id = self.request_id(link, actor.tenant_id, actor.profile_id, at_us)
        if request_id is None:
            return self._answered(request, "gone")
        take = _confirmed if link.purpose == "confirm" else _left
        key = actor.tenant_id, actor.profile_id, request_id
        return self._wait(_Step(waiter, route, request, partial(take, key)), client)

    def request_id(
        self, link: SubscriptionLink, tenant_id: int, profile_id: int, at_us: int
    ) -> int | None:
        """Return the request of a link; None if it has expired, is none of this page's, or its secret is not
        known yet."""
        if self.tokens is None:
            return None
        scope = TokenScope(link.purpose, tenant_id, profile_id)
        return self.tokens.request_id(scope, link.token, at_us // 1_000_000)

    def _answered(self, request: VisitRequest, outcome: Outcome) -> int:
        self.results[outcome] += 1
        request.form_outcome = outcome
        return 200

    def _wait(self, step: _Step, client: ClientInfo) -> int:
        now_us, profile_id = int(self._monotonic() * 1_000_000), step.route.actor.profile_id
        if not (
            self._of_client.decide((profile_id, client.network), now_us).allowed
            and self._of_profile.decide(profile_id, now_us).allowed
        ):
            self.results["limited"] += 1
            return 429
        if len(self._waiting) >= MAX_WAITING:
            self.results["refused"] += 1
            return 503
        self._waiting.append(step)
        self._event.set()
        return 0

    async def run(self, sink: SubscriptionSink, deliver: Deliver) -> None:
        """Carry out what visitors wait for, one after the other, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._learn_secret, sink)
            while True:
                while not self._waiting:
                    self._event = trio.Event()
                    await self._event.wait()
                step = self._waiting.popleft()
                try:
                    outcome = await step.take(sink)
                except UnavailableError:
                    self.results["refused"] += 1
                    deliver([([step.waiter], None)], False)
                    continue
                self._answered(step.request, outcome)
                deliver([([step.waiter], step.route)], True)

    async def _learn_secret(self, sink: SubscriptionSink) -> None:
        while self.tokens is None:
            try:
                self.tokens = SubscriptionTokens(await sink.token_secret())
            except UnavailableError:
                await trio.sleep(_SECRET_RETRY_S)

    def samples(self) -> list[Sample]:
        return SUBSCRIPTIONS.by_label(self.results)


async def _kept(key: tuple[int, int, str, str], sink: SubscriptionSink) -> Outcome:
    return "kept" if await sink.subscribe(*key) else "full"


async def _requested(key: tuple[int, int, str, str], sink: SubscriptionSink) -> Outcome:
    return await sink.request(*key)


async def _confirmed(key: tuple[int, int, int], sink: SubscriptionSink) -> Outcome:
    return await sink.confirm(*key)


async def _left(key: tuple[int, int, int], sink: SubscriptionSink) -> Outcome:
    await sink.unsubscribe(*key)
    return "left"


def link_of_query(query: bytes) -> SubscriptionLink | None:
    """Return the link that a query has; None without one."""
    return _link_in(_fields(query.decode("utf-8", "replace")))


def _link_of(form: dict[str, str], request: VisitRequest) -> SubscriptionLink | None:
    """Return the link that a form is sent for: by the page of the link, or by a mail program, which sends it to
    the link to leave itself, in either encoding of forms (RFC 8058)."""
    link = link_of_query(request.query)
    return link if link is not None and link.purpose == "leave" else _link_in(form)


def _link_in(fields: dict[str, str]) -> SubscriptionLink | None:
    return next(
        (SubscriptionLink(name, fields[name]) for name in _PURPOSES if name in fields), None
    )


def _fields(form: str) -> dict[str, str]:
    """Return the form's fields that stand once in it; none of a form with too many."""
    try:
        fields = parse_qs(form, True, max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items() if len(values) == 1}
