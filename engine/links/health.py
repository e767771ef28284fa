"""Checks of links' targets: the next probe, and the result of the responses. No I/O.

Rules:
- The first probe is a HEAD; unless it succeeds, a GET of the first bytes follows, because many servers refuse
  or fail a HEAD.
- At most MAX_HOPS redirects are followed, each to an http or https URL without credentials.
- The state is `ok` after a success. It is `broken` at once after a response that denies the resource (404, 410
  and other client errors), and after two transient failures (no response, a server error) an hour apart. It is
  `unknown` if the server may answer browsers but not machines (401, 403, 429 and the like).
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import ada_url
import msgspec

from engine.links.target import MAX_URL_CHARS

CHECK_PERIOD: Final = timedelta(hours=24)
RETRY_AFTER: Final = timedelta(hours=1)
MAX_HOPS: Final = 5
MAX_REASON_CHARS: Final = 200
GET_BYTES: Final = 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Statuses by which servers refuse machines, or this request now or in this form; 999 is LinkedIn's.
_NOT_FOR_MACHINES: Final = frozenset(
    {401, 402, 403, 405, 406, 407, 418, 423, 425, 426, 429, 451, 999}
)

LinkHealthState = Literal["unknown", "ok", "broken"]
ProbeMethod = Literal["HEAD", "GET"]


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the last check of a link's target. `status` is the last response's, null if there was none.
    `since` is the time at which the target came into this state."""

    state: LinkHealthState
    status: int | None
    reason: str
    checked_at: datetime
    since: datetime


class Probe(NamedTuple):
    """A request to be sent."""

    method: ProbeMethod
    url: str


class ProbeResult(NamedTuple):
    """The response to a probe: its status and a redirect's location, or None and the reason. `transient`: a
    later probe may succeed. `local_error`: the failure says nothing of the target."""

    status: int | None
    location: str = ""
    reason: str = ""
    transient: bool = False
    local_error: bool = False


class CheckResult(NamedTuple):
    """The result of a check. `transient`: a later check may succeed, so one failure does not make it broken."""

    state: LinkHealthState
    status: int | None
    reason: str
    transient: bool = False


class DueCheck(NamedTuple):
    """A target that is due. `failures` counts transient failures in a row. The tenant's links to the same
    target share one check."""

    tenant_id: int
    target: str
    state: LinkHealthState
    failures: int


class CheckOutcome(NamedTuple):
    """The new state of a target after a check."""

    check: DueCheck
    state: LinkHealthState
    status: int | None
    reason: str
    failures: int
    next_at: datetime


class TargetCheck:
    """A check of a target. Send `probe` and pass its response to receive(), until `probe` is None and
    `result` is set."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._url = target
        self._hops = 0
        self.probe: Probe | None = Probe("HEAD", target)
        self.result: CheckResult | None = None

    def receive(self, response: ProbeResult) -> None:
        """Process the response to `probe`, and set the next probe or the result."""
        probe, self.probe = self.probe, None
        assert probe is not None
        status = response.status
        if status in _REDIRECTS and response.location:
            self._follow(probe, response)
        elif status is not None and status < 400:
            self.result = CheckResult("ok", status, "")
        elif status is not None and probe.method == "HEAD":
            self.probe = Probe("GET", probe.url)
        elif status is None:
            state: LinkHealthState = "unknown" if response.local_error else "broken"
            reason = response.reason[:MAX_REASON_CHARS]
            self.result = CheckResult(state, None, reason, response.transient)
        elif status == 416:  # the target exists and has fewer bytes than the probe requested
            self.result = CheckResult("ok", status, "")
        elif status in _NOT_FOR_MACHINES:
            self.result = CheckResult(
                "unknown", status, f"it answers {status}, maybe to machines only"
            )
        else:
            self.result = CheckResult("broken", status, f"it answers {status}", status >= 500)

    def _follow(self, probe: Probe, response: ProbeResult) -> None:
        self._hops += 1
        if self._hops > MAX_HOPS:
            self.result = CheckResult("broken", response.status, f"more than {MAX_HOPS} redirects")
            return
        url = resolve_redirect(probe.url, response.location)
        if url is None:
            self.result = CheckResult("broken", response.status, "it redirects to an invalid URL")
        else:
            self.probe = Probe(probe.method, url)


def resolve_redirect(url: str, location: str) -> str | None:
    """Return the URL that a redirect leads to, without its fragment; None if no probe may be sent to it."""
    try:
        resolved = ada_url.URL(location, base=url)
    except ValueError:
        return None
    if resolved.protocol not in ("http:", "https:") or resolved.username or resolved.password:
        return None
    resolved.hash = ""
    href = str(resolved.href)
    return href if len(href) <= MAX_URL_CHARS and href.isascii() else None


def outcome_of(check: DueCheck, result: CheckResult, now: datetime) -> CheckOutcome:
    """Return the new state of a target. A transient failure makes it broken the second time."""
    due = next_check(check.tenant_id, check.target, now)
    if not (result.transient and result.state == "broken"):
        return CheckOutcome(check, result.state, result.status, result.reason, 0, due)
    failures = check.failures + 1
    if failures == 1:
        state = check.state if check.state == "broken" else "unknown"
        return CheckOutcome(check, state, result.status, result.reason, 1, now + RETRY_AFTER)
    return CheckOutcome(check, "broken", result.status, result.reason, min(failures, 1000), due)


def next_check(tenant_id: int, target: str, now: datetime) -> datetime:
    """Return a target's next due time: its own fixed moment of each day, at least half a day from `now`."""
    digest = hashlib.sha256(f"{tenant_id}:{target}".encode()).digest()
    length = int(CHECK_PERIOD.total_seconds())
    offset = int.from_bytes(digest[:8], "big") % length
    earliest = int((now + CHECK_PERIOD / 2).timestamp())
    return datetime.fromtimestamp(earliest + (offset - earliest) % length, UTC)
