"""A delivery: one event on its way to one webhook. When it is tried again, and when no more.

The schedule is that of Standard Webhooks' example in its first half and ends after 28 hours; around it:
- a wait is spread by ±20 %, so that what failed together does not come back together;
- `Retry-After` lengthens a wait, up to twice;
- what says that the receiver has too much to do (429, 502, 504, no answer in time) waits a minute at least;
- 410 says that nobody listens there any more.
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
    """A delivery that is to be attempted, with all that takes. `token` fences whoever holds the webhook;
    `tries` have been made before, `number` is this attempt's among all; `max_concurrency` and `max_rate` are
    how many requests at once and a second the webhook takes, None: what is usual."""

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
    """An attempt as it is shown: a status, or why there was none, and the answer's first bytes."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    error: str
    response: bytes


class Delivery(NamedTuple):
    """A delivery as it is shown; its id is the event's. `made` are its newest attempts, oldest first."""

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
    """How many are sent again; `next_since` is from where to ask again when there are more."""

    replayed: int
    next_since: datetime | None


class AttemptResult(NamedTuple):
    """What came of an attempt: a status, or None with the reason in `error`."""

    status: int | None
    error: str = ""
    response: bytes = b""
    retry_after: str = ""
    timed_out: bool = False

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class RecordOutcome(NamedTuple):
    """How many attempts were refused as stale, and how many webhooks were disabled."""

    refused: int = 0
    disabled: int = 0


class Attempt(NamedTuple):
    """One attempt as it is recorded. `delay_s` is until the next one; None: there is none.

    `gone`: the receiver has said that it will never come back."""

    due: DueDelivery
    at: datetime
    duration_ms: int
    result: AttemptResult
    delay_s: float | None

    @property
    def state(self) -> DeliveryState:
        if self.result.delivered:
            return "delivered"
        return "failed" if self.delay_s is None else "pending"

    @property
    def gone(self) -> bool:
        return self.result.status == GONE


def delay_s(
    tries: int, answer: AttemptResult, now: datetime, jitter: Callable[[], float]
) -> float | None:
    """Seconds until the next attempt after `tries` of them; None when this was the last.

    `jitter()` is uniform in [-1, 1).
    """
    if answer.delivered or answer.status == GONE or tries >= MAX_TRIES:
        return None
    base = RETRY_SCHEDULE_S[tries]
    wait = base * (1 + JITTER * jitter())
    retry_after_s = parse_retry_after(answer.retry_after, now)
    if retry_after_s is not None:
        wait = max(wait, min(retry_after_s, 2 * base))
    if answer.timed_out or answer.status in OVERLOADED:
        wait = max(wait, OVERLOADED_BACKOFF_S)
    return wait
