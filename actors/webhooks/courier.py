"""The courier: turns events into deliveries, attempts them at the webhook receivers, and records the results.

Three loops run side by side: one makes deliveries of new events, one claims due deliveries up to the courier's
capacity, one records finished attempts. Each attempt is a task. A circuit breaker per webhook
(engine/webhooks/circuit_breaker.py) limits its attempts, so that a receiver that hangs delays its own
deliveries only.

A delivery is in flight from its claim until its result is recorded. A courier that dies in between leaves it
pending, and it is attempted again with the same `webhook-id`: each event is delivered at least once.
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
from engine.operations.progress import Progress
from engine.webhooks import signature
from engine.webhooks.circuit_breaker import CircuitBreaker
from engine.webhooks.delivery import ATTEMPT_TIMEOUT_S, Attempt, AttemptResult, DueDelivery, delay_s
from engine.webhooks.events import encode_body, event_id
from engine.webhooks.ports import DeliveryQueue, InFlightDelivery, WebhookSender

logger = logging.getLogger("waypost.courier")

FAN_OUT_EVENTS: Final = 500
RECORD_ATTEMPTS: Final = 500
BATCH_DELAY_S: Final = 0.01
# After this number of rounds without work, a loop waits IDLE_S between rounds.
EMPTY_ROUNDS: Final = 25
IDLE_S: Final = 0.5
SHUTDOWN_S: Final = 3.0
MAX_BREAKERS: Final = 10_000
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
LOOPS: Final = ("events to deliver", "deliveries to attempt", "attempts to record")
_OUTCOMES: Final = {"delivered": "delivered", "pending": "retried", "failed": "given_up"}


class CourierLimits(NamedTuple):
    """Limits of a courier. `in_flight` counts all its deliveries.

    `max_concurrency` and `rate_per_s` are the highest of one webhook, which may set lower ones. Delays are
    divided by `time_scale`: 1, except in benchmarks that let an hour pass in a minute.
    """

    in_flight: int = 256
    max_concurrency: int = 8
    rate_per_s: float = 50.0
    exchange_s: float = ATTEMPT_TIMEOUT_S
    lease_ttl_s: float = 30.0
    poll_s: float = 0.2
    time_scale: float = 1.0


DEFAULT_LIMITS: Final = CourierLimits()


class Wakeup:
    """A signal to one loop: ends its current wait, or its next one."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def notify(self) -> None:
        self._event.set()

    async def wait(self, limit_s: float) -> bool:
        """Wait for the signal, at most `limit_s`, and then BATCH_DELAY_S for more work to arrive. Returns
        whether the signal came."""
        with trio.move_on_after(limit_s):
            await self._event.wait()
        notified = self._event.is_set()
        self._event = trio.Event()
        await trio.sleep(BATCH_DELAY_S)
        return notified


class Courier:
    """Actor that delivers events to webhooks. `now` is an aware clock, `jitter()` uniform in [-1, 1)."""

    def __init__(
        self,
        owner: str,
        queue: DeliveryQueue,
        sender: WebhookSender,
        *,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
        limits: CourierLimits = DEFAULT_LIMITS,
    ) -> None:
        self._owner = owner
        self._queue = queue
        self._sender = sender
        self._now = now
        self._jitter = jitter
        self._limits = limits
        self._in_flight: dict[InFlightDelivery, DueDelivery] = {}
        self._unrecorded: list[Attempt] = []
        self._breakers: dict[tuple[int, int], CircuitBreaker] = {}
        self._start_wakeup = Wakeup()
        self._record_wakeup = Wakeup()
        self._draining = False
        self._progress = {loop: Progress() for loop in LOOPS}
        self.events = 0
        self.attempts = {"delivered": 0, "pending": 0, "failed": 0}
        self.stale = 0
        self.disabled = 0
        self.last_error = ""

    async def run(self) -> None:
        """Deliver until cancelled; then record finished attempts and release the leases.

        The leases of an earlier courier with this owner name are released first: deliveries are then claimed
        under a new fencing token, and late results of the earlier courier are refused.
        """
        self._in_flight.clear()
        self._unrecorded.clear()
        self._breakers.clear()
        await self._release()
        try:
            async with trio.open_nursery() as nursery:
                fan_out_wakeup = Wakeup()
                fan_out = partial(self._fan_out, fan_out_wakeup)
                start_due = partial(self._start_due, nursery)
                events, deliveries, attempts = (self._progress[loop] for loop in LOOPS)
                nursery.start_soon(self._run_loop, fan_out, fan_out_wakeup, events)
                nursery.start_soon(self._run_loop, self._record, self._record_wakeup, attempts)
                await self._run_loop(start_due, self._start_wakeup, deliveries)
        finally:
            with trio.move_on_after(SHUTDOWN_S, shield=True), suppress(WaypostError):
                while await self._record():
                    pass
                await self._release()

    async def drain(self, limit_s: float) -> None:
        """Claim no more, and wait until all attempts have ended and are recorded, at most `limit_s`."""
        self._draining = True
        with trio.move_on_after(limit_s):
            while self._in_flight:  # noqa: ASYNC110  # bounded, at the end only
                await trio.sleep(0.02)

    def status(self) -> ActorStatus:
        """Return the courier's status; its mailbox is the finished attempts not recorded yet."""
        lag = {"in_flight_deliveries": len(self._in_flight)}
        return ActorStatus(len(self._unrecorded), lag, self.last_error)

    def stalls(self) -> list[str]:
        """Return a line for each loop whose step has not succeeded for long."""
        now = trio.current_time()
        return [
            progress.stall(now, loop, self.last_error) for loop, progress in self._progress.items()
        ]

    def samples(self) -> list[Sample]:
        circuits_open = sum(breaker.is_open for breaker in self._breakers.values())
        return [
            IN_FLIGHT.sample(len(self._in_flight)),
            CIRCUIT_OPEN.sample(circuits_open),
            EVENTS.sample(self.events),
            STALE_DELIVERIES.sample(self.stale),
            DISABLED.sample(self.disabled),
            *(ATTEMPTS.sample(self.attempts[state], label) for state, label in _OUTCOMES.items()),
        ]

    # ---- loops ----------------------------------------------------------------------------------

    async def _run_loop(
        self, step: Callable[[], Awaitable[bool]], wakeup: Wakeup, progress: Progress
    ) -> None:
        """Run `step` for ever: at once while it has more to do, else when notified or after a pause."""
        failures = empty_rounds = 0
        progress.moved(trio.current_time())
        while True:
            try:
                has_more = await step()
                failures = 0
                progress.moved(trio.current_time())
            except UnavailableError as error:
                failures += 1
                self.last_error = str(error)
                await trio.sleep(backoff_s(failures, first_s=0.05, limit_s=1.0))
                continue
            empty_rounds = 0 if has_more else empty_rounds + 1
            pause_s = (
                self._limits.poll_s
                if empty_rounds < EMPTY_ROUNDS
                else max(IDLE_S, self._limits.poll_s)
            )
            if await wakeup.wait(0 if has_more else pause_s):
                empty_rounds = 0

    async def _fan_out(self, wakeup: Wakeup) -> bool:
        if self._draining:
            return False
        events = await self._queue.fan_out(FAN_OUT_EVENTS)
        if events:
            self.events += events
            self._start_wakeup.notify()
            wakeup.notify()  # more events are likely to follow
        return events == FAN_OUT_EVENTS

    async def _record(self) -> bool:
        if not self._unrecorded:
            return False
        attempts, self._unrecorded = (
            self._unrecorded[:RECORD_ATTEMPTS],
            self._unrecorded[RECORD_ATTEMPTS:],
        )
        try:
            refused, disabled = await self._queue.record(self._owner, attempts)
        except BaseException:
            # The attempts may be recorded or not; to record them twice changes nothing.
            self._unrecorded = attempts + self._unrecorded
            raise
        self.stale += refused
        self.disabled += disabled
        for attempt in attempts:
            del self._in_flight[_key(attempt.due)]
        self._start_wakeup.notify()
        return bool(self._unrecorded)

    async def _start_due(self, nursery: trio.Nursery) -> bool:
        """Claim due deliveries and start their attempts. Returns whether more are likely to be due.

        Without free capacity, a claim still renews the leases of the deliveries in flight: an attempt may take
        longer than a lease lasts.
        """
        capacity = 0 if self._draining else self._limits.in_flight - len(self._in_flight)
        if not capacity and not self._in_flight:
            return False
        now_s = trio.current_time()
        blocked = [key for key, breaker in self._breakers.items() if not breaker.permits(now_s)]
        claimed = await self._queue.claim(
            self._owner,
            self._limits.lease_ttl_s,
            capacity,
            self._limits.max_concurrency,
            list(self._in_flight),
            blocked,
        )
        started = False
        for due in claimed:
            breaker = self._breaker(due)
            # A webhook that failed meanwhile gets fewer attempts than were claimed: the rest is claimed again.
            if breaker.permits(now_s):
                breaker.begin(now_s)
                self._in_flight[_key(due)] = due
                nursery.start_soon(self._attempt, due, breaker, name=f"deliver-{due.event_id}")
                started = True
        return started and len(claimed) == capacity

    def _breaker(self, due: DueDelivery) -> CircuitBreaker:
        key = (due.tenant_id, due.webhook_id)
        breaker = self._breakers.get(key)
        if breaker is None:
            if len(self._breakers) >= MAX_BREAKERS:
                self._breakers = {k: v for k, v in self._breakers.items() if not v.is_idle}
            breaker = self._breakers[key] = CircuitBreaker(
                self._limits.max_concurrency, self._limits.rate_per_s
            )
        highest_concurrency, rate_per_s = self._limits.max_concurrency, self._limits.rate_per_s
        breaker.set_limits(
            min(highest_concurrency, due.max_concurrency or highest_concurrency),
            min(rate_per_s, due.max_rate or rate_per_s),
        )
        return breaker

    async def _release(self) -> None:
        with trio.move_on_after(SHUTDOWN_S), suppress(WaypostError):  # otherwise the leases expire
            await self._queue.release(self._owner)

    # ---- one attempt ----------------------------------------------------------------------------

    async def _attempt(self, due: DueDelivery, breaker: CircuitBreaker) -> None:
        at, started = self._now(), trio.current_time()
        result = await self._send(due, at)
        ended = trio.current_time()
        retry_s = delay_s(due.tries + 1, result, self._now(), self._jitter)
        breaker.end(ended, succeeded=result.delivered, scale=1 / self._limits.time_scale)
        attempt = Attempt(
            due,
            at,
            round((ended - started) * 1000),
            result,
            None if retry_s is None else retry_s / self._limits.time_scale,
            breaker.failures,
            breaker.rest_s(ended),
        )
        self.attempts[attempt.state] += 1
        self._unrecorded.append(attempt)
        self._record_wakeup.notify()

    async def _send(self, due: DueDelivery, at: datetime) -> AttemptResult:
        """Send one request. Every error becomes a result, because no delivery may end the courier."""
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
