"""The outcome of a synchronisation with GitHub: the link's new state, and the time of the next attempt."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from engine.common.errors import ConflictError, TooSoonError
from engine.github.conversation import SyncResult
from engine.github.repository import (
    GONE_PERIOD,
    SYNC_PERIOD,
    SYNC_REQUEST_INTERVAL_S,
    RememberedRepository,
    SyncState,
    next_due_at,
)

SYNC_KIND: Final = "github.sync"
SYNC_QUEUE: Final = "github"
# Waits after transient failures in a row; later attempts follow once per period.
RETRIES: Final = tuple(timedelta(minutes=n) for n in (1, 5, 30, 120))


class DueSync(NamedTuple):
    """A link to synchronise. `periodic`: once per period, not only when a member requests it. `failures` counts
    transient failures in a row."""

    tenant_id: int
    link_id: int
    profile_id: int
    target: str
    periodic: bool
    failures: int
    remembered: RememberedRepository


class SyncOutcome(NamedTuple):
    """A link's new state. `failures` counts transient failures in a row. `will_retry`: the synchronisation is
    tried again at `next_at`, even if the link is not synchronised periodically."""

    state: SyncState
    reason: str
    remembered: RememberedRepository
    failures: int
    next_at: datetime
    will_retry: bool = False


class RequestLease(NamedTuple):
    """A lease on sending requests. `now` is the database's time; `consecutive_pauses` counts escalating pauses
    without a good response since."""

    now: datetime
    consecutive_pauses: int


class PauseState(NamedTuple):
    """A pause of requests in force, its reason and the seconds until it ends."""

    retry_after_s: float
    reason: str


def outcome_of(
    result: SyncResult,
    failures: int,
    tenant_id: int,
    repository_key: str,
    now: datetime,
    paused_until: datetime | None,
) -> SyncOutcome:
    """Return a link's new state. `failures` are those before; `paused_until` is the end of GitHub's pause, if
    there is one."""
    ending, reason, remembered = result
    next_period = next_due_at(tenant_id, repository_key, now, SYNC_PERIOD)
    if ending == "synced":
        return SyncOutcome("synced", "", remembered, 0, next_period)
    if ending == "limited":
        due = paused_until or now + RETRIES[0]
        return SyncOutcome("queued", reason, remembered, failures, due, will_retry=True)
    if ending == "retry" and failures < len(RETRIES):
        due = now + RETRIES[failures]
        return SyncOutcome("failed", reason, remembered, failures + 1, due, will_retry=True)
    if ending == "retry":
        # By the next period the facts are old, so that attempt reads the repository again.
        remembered = msgspec.structs.replace(remembered, release_due=False)
        return SyncOutcome("failed", reason, remembered, failures, next_period)
    due = next_due_at(tenant_id, repository_key, now, GONE_PERIOD)
    return SyncOutcome("failed", reason, remembered, 0, due)


def require_sync_allowed(
    state: SyncState, since_request_s: float | None, job_created: bool
) -> None:
    """Raise an error unless a member may request a link's synchronisation now.

    `since_request_s` are the seconds since the last request. `job_created` is False if a job was there already:
    a queued one that became due by itself serves the request.
    Raises ConflictError while an earlier requested one is queued or any one runs, and TooSoonError.
    """
    recently = since_request_s is not None and since_request_s < SYNC_REQUEST_INTERVAL_S
    if not job_created and (state != "queued" or recently):
        raise ConflictError("github", "a synchronisation is queued or runs")
    if recently and since_request_s is not None:
        retry_after_s = SYNC_REQUEST_INTERVAL_S - since_request_s
        raise TooSoonError("this link's synchronisation was just requested", retry_after_s)
