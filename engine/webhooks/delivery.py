"""A delivery: one event on its way to one webhook, its attempts and its retry schedule.

The schedule follows the example of Standard Webhooks in its first half and ends after 28 hours. In addition:
- waits are spread by ±20 %, so that deliveries that failed at the same time are not retried at the same time;
- `Retry-After` lengthens a wait, at most to twice its length;
- after a sign of overload (429, 502, 504, no response in time) the wait is at least a minute;
- 410 ends the delivery: the receiver is gone for good.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from engine.common.retry import parse_retry_after

RETRY_SCHEDULE_S: Final = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
MAX_TRIES: Final = len(RETRY_SCHEDULE_S)
JITTER: Final = 0.2
OVERLOADED: Final = frozenset({429, 502, 504})
OVERLOADED_BACKOFF_S: Final = 60.0
GONE: Final = 410
ATTEMPT_TIMEOUT_S: Final = 15.0
KEPT_RESPONSE_BYTES: Final = 4096
DISABLED_AFTER_S: Final = 5 * 86_400.0
RETENTION_DAYS: Final = 30
SHOWN_ATTEMPTS: Final = 20
REPLAYED_AT_ONCE: Final = 10_000

DeliveryState = Literal["pending", "delivered", "failed"]
DELIVERY_STATES: Final[tuple[str, ...]] = get_args(DeliveryState)


class DueDelivery(NamedTuple):
    """A claimed delivery, with the data of its request. `token` is the fencing token of the webhook's lease.

    `tries` counts the attempts since the last replay, `number` numbers this attempt among all.
    `max_concurrency` and `max_rate` (requests per second) are the webhook's own limits, None: the engine's.
    """

    tenant_id: int
    profile_id: int
    webhook_id: int
    event_id: int
    token: int
    tries: int
    number: int
    url: str
    ordered: bool
    max_concurrency: int | None
    max_rate: int | None
    secrets: tuple[str, ...]
    type: str
    at: datetime
    data: dict[str, object]


class RecordedAttempt(NamedTuple):
    """An attempt as members see it: the response's status, or the reason for none, and its first bytes."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    error: str
    response: bytes


class Delivery(NamedTuple):
    """A delivery as members see it. `recent_attempts` are its last SHOWN_ATTEMPTS, oldest first."""

    event_id: int
    type: str
    at: datetime
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    finished_at: datetime | None
    data: dict[str, object]
    recent_attempts: tuple[RecordedAttempt, ...]


class ReplayResult(NamedTuple):
    """The number of replayed deliveries, or of a dry run: that would be replayed. `next_since` is the start of
    the next replay if more are left."""

    replayed: int
    next_since: datetime | None


class AttemptResult(NamedTuple):
    """The response to an attempt: its status, or None with the reason in `error`."""

    status: int | None
    error: str = ""
    response: bytes = b""
    retry_after: str = ""
    timed_out: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300


class RecordOutcome(NamedTuple):
    """The numbers of attempts refused because of a lost lease, and of webhooks disabled."""

    refused: int = 0
    disabled: int = 0


class Attempt(NamedTuple):
    """An attempt to be recorded. `delay_s` are the seconds until the next one; None: there is none.

    `failures` and `rest_s` are its webhook's circuit breaker after it: failures in a row, seconds without
    attempts.
    """

    due: DueDelivery
    at: datetime
    duration_ms: int
    result: AttemptResult
    delay_s: float | None
    failures: int = 0
    rest_s: float = 0.0

    @property
    def state(self) -> DeliveryState:
        """The delivery's state after this attempt."""
        if self.result.delivered:
            return "delivered"
        return "failed" if self.delay_s is None else "pending"

    @property
    def gone(self) -> bool:
        """Whether the receiver answered that it is gone for good."""
        return self.result.status == GONE


def delay_s(
    tries: int, result: AttemptResult, now: datetime, jitter: Callable[[], float]
) -> float | None:
    """Return the seconds until the next attempt after `tries` attempts; None if this was the last.

    `jitter()` is uniform in [-1, 1).
    """
    if result.delivered or result.status == GONE or tries >= MAX_TRIES:
        return None
    base = RETRY_SCHEDULE_S[tries]
    wait = base * (1 + JITTER * jitter())
    retry_after_s = parse_retry_after(result.retry_after, now)
    if retry_after_s is not None:
        wait = max(wait, min(retry_after_s, 2 * base))
    if result.timed_out or result.status in OVERLOADED:
        wait = max(wait, OVERLOADED_BACKOFF_S)
    return wait
