"""The courier: events → deliveries → attempts at the receivers.

Three loops run beside each other: new events become deliveries, what is due is claimed as far as there is
room, and what has ended is recorded. Attempts are tasks of their own; a lane per webhook (engine/webhooks/circuit_breaker.py) says
how many of them at once, so that a receiver that hangs holds up its own deliveries and nobody else's.

A delivery is at hand from its claim until what came of it is recorded. A courier that dies between the two
leaves it pending: it is attempted again, with the same `webhook-id`. So each is delivered at least once.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import trio

from engine.common.errors import UnavailableError, WaypostError
from engine.common.retry import backoff_s
from engine.operations.actor_tree import ActorStatus
from engine.operations.metrics import Metric, Sample
from engine.webhooks import signature
from engine.webhooks.circuit_breaker import CircuitBreaker
from engine.webhooks.delivery import ATTEMPT_TIMEOUT_S, Attempt, AttemptResult, DueDelivery, delay_s
from engine.webhooks.events import encode_body, event_id
from engine.webhooks.ports import DeliveryQueue, InFlightDelivery, WebhookSender

logger = logging.getLogger("waypost.courier")

FAN_OUT: Final = 500
RECORD: Final = 500
GATHER_S: Final = 0.01
# Where nothing was found so many times, it is looked for less often.
QUIET: Final = 25
IDLE_S: Final = 0.5
LAST_S: Final = 3.0
MAX_LANES: Final = 10_000
USER_AGENT: Final = "Waypost-Webhooks/1"

IN_FLIGHT: Final = Metric(
    "waypost_webhooks_in_flight", "Deliveries that are being attempted or wait to be recorded"
)
CIRCUIT_OPEN: Final = Metric(
    "waypost_webhooks_circuit_open", "Webhooks whose circuit breaker is open"
)
EVENTS: Final = Metric("waypost_webhooks_events_total", "Events that became deliveries")
ATTEMPTS: Final = Metric(
    "waypost_webhooks_attempts_total",
    "Attempts at deliveries that ended: delivered, retried or given_up",
    ("outcome",),
)
STALE_DELIVERIES: Final = Metric(
    "waypost_webhooks_stale_total",
    "Attempts at deliveries whose result was refused, as another worker held the lease",
)
DISABLED: Final = Metric(
    "waypost_webhooks_disabled_total",
    "Webhooks disabled, as they were gone or failed for five days",
)
_OUTCOMES: Final = {"delivered": "delivered", "pending": "retried", "failed": "given_up"}


class CourierLimits(NamedTuple):
    """How much a courier takes on. `each` and `rate_per_s` are the most of one webhook, which may ask for
    less. `pace` is how much faster than real time waits pass: 1, unless a benchmark lets an hour go by in a
    minute."""

    in_flight: int = 256
    max_concurrency: int = 8
    rate_per_s: float = 50.0
    exchange_s: float = ATTEMPT_TIMEOUT_S
    lease_ttl_s: float = 30.0
    poll_s: float = 0.2
    time_scale: float = 1.0


USUAL: Final = CourierLimits()


class Wakeup:
    """Wakes one loop, now or the next time that it waits."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def notify(self) -> None:
        self._event.set()

    async def wait(self, limit_s: float) -> bool:
        """Until it rings, `limit_s` at most, and at least as long as gathers what comes together; whether
        it rang."""
        with trio.move_on_after(limit_s):
            await self._event.wait()
        rang = self._event.is_set()
        self._event = trio.Event()
        await trio.sleep(GATHER_S)
        return rang


class Courier:
    """`now` is the clock: aware. `jitter()` is uniform in [-1, 1)."""

    def __init__(
        self,
        owner: str,
        queue: DeliveryQueue,
        sender: WebhookSender,
        *,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        limits: CourierLimits = USUAL,
    ) -> None:
        self._owner = owner
        self._queue = queue
        self._sender = sender
        self._now = now
        self._jitter = jitter
        self._limits = limits
        self._at_hand: dict[InFlightDelivery, DueDelivery] = {}
        self._ended: list[Attempt] = []
        self._lanes: dict[tuple[int, int], CircuitBreaker] = {}
        self._due = Wakeup()
        self._done = Wakeup()
        self._draining = False
        self.events = 0
        self.attempts = {"delivered": 0, "pending": 0, "failed": 0}
        self.stale = 0
        self.disabled = 0
        self.last_error = ""

    async def run(self) -> None:
        """Until cancelled; then give back what is held.

        What an earlier life of this owner still holds is given back first, so that it is claimed under a
        new token and whatever that life still reports is refused.
        """
        self._at_hand.clear()
        self._ended.clear()
        self._lanes.clear()
        await self._release()
        try:
            async with trio.open_nursery() as nursery:
                new = Wakeup()
                nursery.start_soon(self._run_loop, partial(self._fan_out, new), new)
                nursery.start_soon(self._run_loop, self._record, self._done)
                await self._run_loop(partial(self._start_due, nursery), self._due)
        finally:
            with trio.move_on_after(LAST_S, shield=True), suppress(WaypostError):
                while await self._record():
                    pass
                await self._release()

    async def drain(self, limit_s: float) -> None:
        """Claim no more, and wait until what is at hand has ended and is recorded; `limit_s` at most."""
        self._draining = True
        with trio.move_on_after(limit_s):
            while self._at_hand:  # noqa: ASYNC110  # bounded, at the end only
                await trio.sleep(0.02)

    def status(self) -> ActorStatus:
        """Its mailbox: attempts that have ended and are not recorded yet."""
        lag = {"in_flight_deliveries": len(self._at_hand)}
        return ActorStatus(len(self._ended), lag, self.last_error)

    def samples(self) -> list[Sample]:
        circuits_open = sum(lane.is_open for lane in self._lanes.values())
        return [
            IN_FLIGHT.sample(len(self._at_hand)),
            CIRCUIT_OPEN.sample(circuits_open),
            EVENTS.sample(self.events),
            STALE_DELIVERIES.sample(self.stale),
            DISABLED.sample(self.disabled),
            *(ATTEMPTS.sample(self.attempts[state], label) for state, label in _OUTCOMES.items()),
        ]

    # ---- loops ----------------------------------------------------------------------------------

    async def _run_loop(self, step: Callable[[], Awaitable[bool]], bell: Wakeup) -> None:
        """Take steps for ever: one after the other while there is more to do, else when the bell rings or
        it is time to look."""
        failures = quiet = 0
        while True:
            try:
                again = await step()
                failures = 0
            except UnavailableError as error:
                failures += 1
                self.last_error = str(error)
                await trio.sleep(backoff_s(failures, first_s=0.05, limit_s=1.0))
                continue
            quiet = 0 if again else quiet + 1
            pause_s = self._limits.poll_s if quiet < QUIET else max(IDLE_S, self._limits.poll_s)
            if await bell.wait(0 if again else pause_s):
                quiet = 0

    async def _fan_out(self, bell: Wakeup) -> bool:
        if self._draining:
            return False
        made = await self._queue.fan_out(FAN_OUT)
        if made:
            self.events += made
            self._due.notify()
            bell.notify()  # where something happened, more does
        return made == FAN_OUT

    async def _record(self) -> bool:
        if not self._ended:
            return False
        ended, self._ended = self._ended[:RECORD], self._ended[RECORD:]
        try:
            refused, disabled = await self._queue.record(self._owner, ended)
        except BaseException:
            # Nobody knows whether it was written; what is recorded twice is the same.
            self._ended = ended + self._ended
            raise
        self.stale += refused
        self.disabled += disabled
        for attempt in ended:
            del self._at_hand[_key(attempt.due)]
        self._due.notify()
        return bool(self._ended)

    async def _start_due(self, nursery: trio.Nursery) -> bool:
        """Without room for more, a claim still renews the leases of what is at hand: an attempt may take
        longer than a lease lasts."""
        room = 0 if self._draining else self._limits.in_flight - len(self._at_hand)
        if not room and not self._at_hand:
            return False
        now_s = trio.current_time()
        resting = [key for key, lane in self._lanes.items() if not lane.permits(now_s)]
        claimed = await self._queue.claim(
            self._owner,
            self._limits.lease_ttl_s,
            room,
            self._limits.max_concurrency,
            list(self._at_hand),
            resting,
        )
        started = False
        for due in claimed:
            lane = self._breaker(due)
            # One that has failed gets less than it was claimed for: it is claimed again.
            if lane.permits(now_s):
                lane.begin(now_s)
                self._at_hand[_key(due)] = due
                nursery.start_soon(self._attempt, due, lane, name=f"deliver-{due.event_id}")
                started = True
        return started and len(claimed) == room

    def _breaker(self, due: DueDelivery) -> CircuitBreaker:
        key = (due.tenant_id, due.webhook_id)
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                self._lanes = {k: v for k, v in self._lanes.items() if not v.is_idle}
            lane = self._lanes[key] = CircuitBreaker(
                self._limits.max_concurrency, self._limits.rate_per_s
            )
        each, rate_per_s = self._limits.max_concurrency, self._limits.rate_per_s
        lane.set_limits(
            min(each, due.max_concurrency or each), min(rate_per_s, due.max_rate or rate_per_s)
        )
        return lane

    async def _release(self) -> None:
        with trio.move_on_after(LAST_S), suppress(WaypostError):  # else they expire
            await self._queue.release(self._owner)

    # ---- one attempt ----------------------------------------------------------------------------

    async def _attempt(self, due: DueDelivery, lane: CircuitBreaker) -> None:
        at, started = self._now(), trio.current_time()
        answer = await self._exchange(due, at)
        ended = trio.current_time()
        wait = delay_s(due.tries + 1, answer, self._now(), self._jitter)
        attempt = Attempt(
            due,
            at,
            round((ended - started) * 1000),
            answer,
            None if wait is None else wait / self._limits.time_scale,
        )
        lane.end(ended, succeeded=answer.delivered, scale=1 / self._limits.time_scale)
        self.attempts[attempt.state] += 1
        self._ended.append(attempt)
        self._done.notify()

    async def _exchange(self, due: DueDelivery, at: datetime) -> AttemptResult:
        """Whatever goes wrong is an answer: nothing of one delivery may end the courier."""
        try:
            body = encode_body(due.type, at=due.at, data=due.data)
            headers = signature.headers(due.secrets, event_id(due.event_id), at, body)
            headers |= {"content-type": "application/json", "user-agent": USER_AGENT}
            with trio.move_on_after(self._limits.exchange_s):
                return await self._sender.post(due.url, headers, body)
        except Exception as error:
            logger.exception(
                "event %d could not be sent to webhook %d", due.event_id, due.webhook_id,
                extra={"event": "delivery_crashed", "webhook": due.webhook_id},
            )  # fmt: skip
            return AttemptResult(None, f"could not be sent: {type(error).__name__}")
        return AttemptResult(
            None, f"no answer within {self._limits.exchange_s:g} s", timed_out=True
        )


def _key(due: DueDelivery) -> InFlightDelivery:
    return InFlightDelivery(due.tenant_id, due.webhook_id, due.event_id)
