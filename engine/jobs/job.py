"""Jobs: work that is written down with the change that calls for it, and done later by a worker.

A job is `queued` until its time has come, then `running` under a lease, then `succeeded`, `cancelled`,
or, when it has failed `max_attempts` times, `dead`. A failure before that puts it back into the queue.

`attempt` counts how often it was taken and is the fencing token: what a worker does under an older one
is refused. `failures` counts attempts that failed or whose worker died; one that was given back by a
worker that stops, or that asked to be run later, is no failure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import orjson

from engine.common.errors import WaypostError
from engine.common.retry import backoff_s

JobState = Literal["queued", "running", "succeeded", "dead", "cancelled"]
AttemptOutcome = Literal["succeeded", "failed", "dead", "snoozed", "returned", "cancelled"]
JOB_STATES: Final[tuple[JobState, ...]] = ("queued", "running", "succeeded", "dead", "cancelled")
SYSTEM_TENANT: Final = 0  # the tenant of jobs that belong to none
PRIORITIES: Final = range(-2, 3)  # higher ones are taken first
MAX_PAYLOAD_BYTES: Final = 16 * 1024
MAX_KEY_CHARS: Final = 200
MAX_ATTEMPTS: Final = 10
MAX_ERROR_CHARS: Final = 1000
FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 3600.0
KIND: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """A job to be enqueued. Raises ValueError for what breaks a bound: that is a mistake in our code.

    `payload` is JSON of at most MAX_PAYLOAD_BYTES. While a job with the same tenant, kind and
    `unique_key` is queued or running, no second one is made. It runs `delay_s` after it was enqueued by
    the database's clock, or at `run_at` (aware) if that is given.
    """

    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    queue: str = "default"
    priority: int = 0
    unique_key: str | None = None
    delay_s: float = 0.0
    run_at: datetime | None = None
    max_attempts: int = MAX_ATTEMPTS
    tenant_id: int = SYSTEM_TENANT
    profile_id: int | None = None

    def __post_init__(self) -> None:
        if not (KIND.fullmatch(self.kind) and KIND.fullmatch(self.queue)):
            raise ValueError(f"{self.kind!r} or {self.queue!r} is no name of a kind or queue")
        if self.priority not in PRIORITIES or not 1 <= self.max_attempts <= 100:
            raise ValueError("the priority or the number of attempts is out of bounds")
        if self.unique_key is not None and not 1 <= len(self.unique_key) <= MAX_KEY_CHARS:
            raise ValueError(f"a unique key has 1 to {MAX_KEY_CHARS} characters")
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError("run_at must say its time zone")
        if len(self.payload_json()) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a payload has at most {MAX_PAYLOAD_BYTES} bytes")

    def payload_json(self) -> str:
        return orjson.dumps(dict(self.payload)).decode()


class Lease(NamedTuple):
    """What a worker holds of a job; only under its newest attempt may anything be done to it."""

    tenant_id: int
    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it is stored. Times are aware; `progress` is how much is done, of how much, if told."""

    tenant_id: int
    id: int
    profile_id: int | None
    queue: str
    kind: str
    payload: Mapping[str, Any]
    priority: int
    unique_key: str | None
    state: JobState
    attempt: int
    failures: int
    max_attempts: int
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    progress: tuple[int, int] | None
    last_error: str
    worker: str

    @property
    def lease(self) -> Lease:
        return Lease(self.tenant_id, self.id, self.attempt)


class JobFilter(NamedTuple):
    """What to list; None: all."""

    state: JobState | None = None
    kind: str | None = None
    profile_id: int | None = None


class AttemptEnd(NamedTuple):
    """How an attempt ended. `delay_s`: until the next one, if there is one."""

    lease: Lease
    outcome: AttemptOutcome
    delay_s: float = 0.0
    error: str = ""


class Heartbeat(NamedTuple):
    """A sign of life of one attempt, with its progress so far."""

    lease: Lease
    progress: tuple[int, int] | None = None


class EnqueueResult(NamedTuple):
    """`created` False: a job with the same unique key was there already, and `job_id` is its id."""

    job_id: int
    created: bool


class SnoozeError(WaypostError):
    """Raised by a handler: not now; run the job again `delay_s` from now. No failure."""

    def __init__(self, delay_s: float, reason: str = "") -> None:
        super().__init__(reason or f"again in {delay_s:g} s")
        self.delay_s = delay_s


class GiveUpError(WaypostError):
    """Raised by a handler: no other attempt can help; the job is dead."""


def state_after(job: Job, outcome: AttemptOutcome) -> tuple[JobState, int]:
    """The state and the failures of a running job whose attempt ends like this."""
    failures = job.failures + (outcome in ("failed", "dead"))
    if outcome == "succeeded":
        return "succeeded", failures
    if outcome == "cancelled" or job.cancel_requested:
        return "cancelled", failures
    if outcome == "dead" or (outcome == "failed" and failures >= job.max_attempts):
        return "dead", failures
    return "queued", failures


def retry_delay_s(failures: int, random: float) -> float:
    """How long to wait after so many failures: exponential backoff with full jitter.

    `random` is from [0, 1). Source: Brooker, "Exponential Backoff And Jitter", AWS 2015.
    """
    return random * backoff_s(failures, first_s=FIRST_RETRY_S, limit_s=LONGEST_RETRY_S)


def storable_error(error: str) -> str:
    """An error's text as Postgres takes it: bounded, without NUL and lone surrogates."""
    return error[:MAX_ERROR_CHARS].replace("\0", "").encode(errors="replace").decode()
