"""What follows from a synchronisation with GitHub: the link's state, and when it is tried again."""

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
# After failures that may pass by themselves; from then on, once a period.
RETRIES: Final = tuple(timedelta(minutes=n) for n in (1, 5, 30, 120))


class DueSync(NamedTuple):
    """A link that is to be synchronised. `kept`: again and again, not only when somebody asks."""

    tenant_id: int
    link_id: int
    profile_id: int
    target: str
    periodic: bool
    failures: int
    remembered: RememberedRepository


class SyncOutcome(NamedTuple):
    """What to store of a link. `failures`: how many in a row that may pass by themselves. `soon`: it is
    not settled, but tried again at `next_at` whether it is kept in step or not."""

    state: SyncState
    reason: str
    remembered: RememberedRepository
    failures: int
    next_at: datetime
    will_retry: bool = False


class RequestLease(NamedTuple):
    """The right to send requests. `in_a_row`: how many pauses there were without a good answer since."""

    now: datetime
    consecutive_pauses: int


class PauseState(NamedTuple):
    """A pause of requests: GitHub may be asked again after `retry_after_s`, and why not before."""

    retry_after_s: float
    reason: str


def outcome_of(
    result: SyncResult,
    failures: int,
    tenant_id: int,
    key: str,
    now: datetime,
    paused: datetime | None,
) -> SyncOutcome:
    """`paused`: until when GitHub may not be asked, where it has said so."""
    ending, reason, known = result
    if ending == "synced":
        return SyncOutcome("synced", "", known, 0, next_due_at(tenant_id, key, now, SYNC_PERIOD))
    if ending == "limited":
        until = paused or now + RETRIES[0]
        return SyncOutcome("queued", reason, known, failures, until, will_retry=True)
    if ending == "retry" and failures < len(RETRIES):
        due = now + RETRIES[failures]
        return SyncOutcome("failed", reason, known, failures + 1, due, will_retry=True)
    if ending == "retry":
        # Next time from the beginning: what was read is old by then.
        known = msgspec.structs.replace(known, release_due=False)
        return SyncOutcome(
            "failed", reason, known, failures, next_due_at(tenant_id, key, now, SYNC_PERIOD)
        )
    return SyncOutcome("failed", reason, known, 0, next_due_at(tenant_id, key, now, GONE_PERIOD))


def require_sync_allowed(state: SyncState, asked_s: float | None, no_job: bool) -> None:
    """Whether somebody may have a link synchronised now, who last did so `asked_s` ago.

    A queued job whose time had just come is as good as a new one. Raises ConflictError while one runs or
    waits because of an earlier call, and TooSoonError.
    """
    recently = asked_s is not None and asked_s < SYNC_REQUEST_INTERVAL_S
    if not no_job and (state != "queued" or recently):
        raise ConflictError("github", "a synchronisation is queued or runs")
    if recently and asked_s is not None:
        retry_after_s = SYNC_REQUEST_INTERVAL_S - asked_s
        raise TooSoonError("this link's synchronisation was asked for a moment ago", retry_after_s)
