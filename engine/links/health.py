"""Whether a link's target is there: which request is next, and what the answers come to. No I/O.

Rules:
- HEAD first; whatever but success makes it a GET of the first bytes, since servers that refuse or fail a HEAD
  are many;
- at most MAX_HOPS redirects are followed, each to an http or https URL without credentials;
- `ok` is a success. `broken` is an answer that says there is nothing (404, 410 and other refusals of the
  request as such), at once; and what may pass by itself (no answer, an error of the server) when it was so
  twice, an hour apart. Those that answer, but not to machines (401, 403, 429 and the like), leave it `unknown`.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import ada_url
import msgspec

from engine.links.target import MAX_TARGET_CHARS

CHECK_PERIOD: Final = timedelta(hours=24)
RETRY_AFTER: Final = timedelta(hours=1)
MAX_HOPS: Final = 5
MAX_REASON_CHARS: Final = 200
GET_BYTES: Final = 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Who asks may not, or not now, or not like this; 999 is LinkedIn's.
_NOT_FOR_MACHINES: Final = frozenset(
    {401, 402, 403, 405, 406, 407, 418, 423, 425, 426, 429, 451, 999}
)

LinkHealthState = Literal["unknown", "ok", "broken"]
ProbeMethod = Literal["HEAD", "GET"]


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the last check of a link's target came to. `status` is the last answer's, null when there was none;
    `since` is when it came to be in this state."""

    state: LinkHealthState
    status: int | None
    reason: str
    checked_at: datetime
    since: datetime


class Probe(NamedTuple):
    """One request to be sent."""

    method: ProbeMethod
    url: str


class ProbeResult(NamedTuple):
    """What came of it: a status, with a redirect's location; or None and why. `passing`: it may be better
    another time. `ours`: it says nothing of the target."""

    status: int | None
    location: str = ""
    reason: str = ""
    transient: bool = False
    local_error: bool = False


class CheckResult(NamedTuple):
    """`passing`: it may be better another time, so once is not enough to call it broken."""

    state: LinkHealthState
    status: int | None
    reason: str
    transient: bool = False


class DueCheck(NamedTuple):
    """A target whose time has come. `failures`: how many in a row that may pass; links of the tenant to the
    same target share it."""

    tenant_id: int
    target: str
    state: LinkHealthState
    failures: int


class CheckOutcome(NamedTuple):
    """What to write down of a check."""

    check: DueCheck
    state: LinkHealthState
    status: int | None
    reason: str
    failures: int
    next_at: datetime


class TargetCheck:
    """One check of a target: send `probe`, then `take` its answer, until there is none and a `verdict`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._url = target
        self._hops = 0
        self.probe: Probe | None = Probe("HEAD", target)
        self.result: CheckResult | None = None

    def receive(self, answer: ProbeResult) -> None:
        asked, self.probe = self.probe, None
        assert asked is not None
        status = answer.status
        if status in _REDIRECTS and answer.location:
            self._follow(asked, answer)
        elif status is not None and status < 400:
            self.result = CheckResult("ok", status, "")
        elif status is not None and asked.method == "HEAD":
            self.probe = Probe("GET", asked.url)
        elif status is None:
            state: LinkHealthState = "unknown" if answer.local_error else "broken"
            reason = answer.reason[:MAX_REASON_CHARS]
            self.result = CheckResult(state, None, reason, answer.transient)
        elif status == 416:  # it is there, and has fewer bytes than were asked for
            self.result = CheckResult("ok", status, "")
        elif status in _NOT_FOR_MACHINES:
            self.result = CheckResult(
                "unknown", status, f"it answers {status}, maybe to machines only"
            )
        else:
            self.result = CheckResult("broken", status, f"it answers {status}", status >= 500)

    def _follow(self, asked: Probe, answer: ProbeResult) -> None:
        self._hops += 1
        if self._hops > MAX_HOPS:
            self.result = CheckResult("broken", answer.status, f"more than {MAX_HOPS} redirects")
            return
        url = resolve_redirect(asked.url, answer.location)
        if url is None:
            self.result = CheckResult("broken", answer.status, "it redirects to what is no URL")
        else:
            self.probe = Probe(asked.method, url)


def resolve_redirect(url: str, location: str) -> str | None:
    """Where a redirect leads, without its fragment; None where no request may go."""
    try:
        found = ada_url.URL(location, base=url)
    except ValueError:
        return None
    if found.protocol not in ("http:", "https:") or found.username or found.password:
        return None
    found.hash = ""
    href = str(found.href)
    return href if len(href) <= MAX_TARGET_CHARS and href.isascii() else None


def outcome_of(check: DueCheck, verdict: CheckResult, now: datetime) -> CheckOutcome:
    """What becomes of a target: a failure that may pass is believed the second time."""
    due = next_check(check.tenant_id, check.target, now)
    if not (verdict.transient and verdict.state == "broken"):
        return CheckOutcome(check, verdict.state, verdict.status, verdict.reason, 0, due)
    failures = check.failures + 1
    if failures == 1:
        state = check.state if check.state == "broken" else "unknown"
        return CheckOutcome(check, state, verdict.status, verdict.reason, 1, now + RETRY_AFTER)
    return CheckOutcome(check, "broken", verdict.status, verdict.reason, min(failures, 1000), due)


def next_check(tenant_id: int, target: str, now: datetime) -> datetime:
    """When a target is due again: at its own fixed moment of each day, after half a day at least."""
    digest = hashlib.sha256(f"{tenant_id}:{target}".encode()).digest()
    length = int(CHECK_PERIOD.total_seconds())
    offset = int.from_bytes(digest[:8], "big") % length
    earliest = int((now + CHECK_PERIOD / 2).timestamp())
    return datetime.fromtimestamp(earliest + (offset - earliest) % length, UTC)
