"""Jobs: work that is enqueued in the transaction of the change that needs it, and done later by a worker.

A job is `queued` until it is due, then `running` under a lease, then `succeeded`, `cancelled` or, after
`max_attempts` failures, `dead`. Each failure before that puts it back into the queue.

`attempt` counts how often the job was claimed. With the time of the claim it is the fencing token: writes under
an older claim are refused. The number alone would be given twice by a database that went back in a failover: to
a worker that still runs the job, and to another one.

`failures` counts attempts that failed or lost their worker. An attempt that a stopping worker gave back, or
that its handler postponed (SnoozeError), is no failure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import orjson

from engine.common.errors import WaypostError
from engine.common.json_forms import with_text_ids
from engine.common.retry import backoff_s

JobState = Literal["queued", "running", "succeeded", "dead", "cancelled"]
AttemptOutcome = Literal["succeeded", "failed", "dead", "snoozed", "returned", "cancelled"]
JOB_STATES: Final[tuple[JobState, ...]] = ("queued", "running", "succeeded", "dead", "cancelled")
SYSTEM_TENANT: Final = 0  # the tenant of the engine's own jobs
PRIORITIES: Final = range(-2, 3)  # higher ones are claimed first
MAX_PAYLOAD_BYTES: Final = 16 * 1024
MAX_KEY_CHARS: Final = 200
MAX_ATTEMPTS: Final = 10
MAX_ERROR_CHARS: Final = 1000
FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 3600.0
KIND: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """A job to be enqueued. Raises ValueError for a value out of bounds, which is a programming error.

    `payload` is JSON of at most MAX_PAYLOAD_BYTES. While a job with the same tenant, kind and
    `unique_key` is queued or running, no second one is made. The job runs `delay_s` after it was enqueued,
    by the database's clock, or at `run_at` (aware) if that is set.
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
            raise ValueError(
                f"kind and queue must match {KIND.pattern}, not {self.kind!r} and {self.queue!r}"
            )
        if self.priority not in PRIORITIES or not 1 <= self.max_attempts <= 100:
            raise ValueError("priority must be from -2 to 2, and max_attempts from 1 to 100")
        if self.unique_key is not None and not 1 <= len(self.unique_key) <= MAX_KEY_CHARS:
            raise ValueError(f"unique_key must have 1 to {MAX_KEY_CHARS} characters")
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise ValueError("run_at must have a time zone")
        if len(self.payload_json()) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"payload must have at most {MAX_PAYLOAD_BYTES} bytes as JSON")

    def payload_json(self) -> str:
        """Return the payload as JSON, with its ids as texts."""
        return orjson.dumps(with_text_ids(self.payload), option=orjson.OPT_UTC_Z).decode()


class Lease(NamedTuple):
    """A worker's lease on a job. Only the lease of the job's newest claim allows writes."""

    tenant_id: int
    job_id: int
    attempt: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A stored job. Times are aware. `progress` is (units done, units in all), if its handler reports it."""

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
        """The lease of a job that is running. Raises ValueError for one that was never claimed."""
        if self.started_at is None:
            raise ValueError(f"job {self.id} was never claimed")
        return Lease(self.tenant_id, self.id, self.attempt, self.started_at)


class JobFilter(NamedTuple):
    """The conditions of a list of jobs; None: any."""

    state: JobState | None = None
    kind: str | None = None
    profile_id: int | None = None


class AttemptEnd(NamedTuple):
    """The end of an attempt. `delay_s` is the wait until the next one, if there is one."""

    lease: Lease
    outcome: AttemptOutcome
    delay_s: float = 0.0
    error: str = ""


class Heartbeat(NamedTuple):
    """A sign of life of one attempt, with its progress: (units done, units in all)."""

    lease: Lease
    progress: tuple[int, int] | None = None


class EnqueueResult(NamedTuple):
    """The id of an enqueued job. `created` is False if a job with the same unique key existed: then the id is
    that one's."""

    job_id: int
    created: bool


class SnoozeError(WaypostError):
    """A handler's request to run the job again `delay_s` from now. It is no failure."""

    def __init__(self, delay_s: float, reason: str = "") -> None:
        super().__init__(reason or f"runs again in {delay_s:g} s")
        self.delay_s = delay_s


class GiveUpError(WaypostError):
    """A failure that no other attempt can mend. Raised by a handler: the job is dead."""


def state_after(job: Job, outcome: AttemptOutcome) -> tuple[JobState, int]:
    """Return (state, failures) of a running job after an attempt with this outcome."""
    failures = job.failures + (outcome in ("failed", "dead"))
    if outcome == "succeeded":
        return "succeeded", failures
    if outcome == "cancelled" or job.cancel_requested:
        return "cancelled", failures
    if outcome == "dead" or (outcome == "failed" and failures >= job.max_attempts):
        return "dead", failures
    return "queued", failures


def retry_delay_s(failures: int, random: float) -> float:
    """Return the seconds to wait after this number of failures: exponential backoff with full jitter.

    `random` is from [0, 1). Source: Brooker, "Exponential Backoff And Jitter", AWS 2015.
    """
    return random * backoff_s(failures, first_s=FIRST_RETRY_S, limit_s=LONGEST_RETRY_S)


def storable_error(error: str) -> str:
    """Return an error's text as Postgres takes it: bounded, without NUL and lone surrogates."""
    return error[:MAX_ERROR_CHARS].replace("\0", "").encode(errors="replace").decode()
