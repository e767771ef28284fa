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

from engine.target import MAX_TARGET_CHARS

PERIOD: Final = timedelta(hours=24)
AGAIN: Final = timedelta(hours=1)
MAX_HOPS: Final = 5
MAX_REASON_CHARS: Final = 200
GET_BYTES: Final = 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Who asks may not, or not now, or not like this; 999 is LinkedIn's.
_NOT_FOR_MACHINES: Final = frozenset(
    {401, 402, 403, 405, 406, 407, 418, 423, 425, 426, 429, 451, 999}
)

State = Literal["unknown", "ok", "broken"]
Method = Literal["HEAD", "GET"]


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the last check of a link's target came to. `status` is the last answer's, null when there was none;
    `since` is when it came to be in this state."""

    state: State
    status: int | None
    reason: str
    checked_at: datetime
    since: datetime


class Probe(NamedTuple):
    """One request to be sent."""

    method: Method
    url: str


class Answer(NamedTuple):
    """What came of it: a status, with a redirect's location; or None and why. `passing`: it may be better
    another time. `ours`: it says nothing of the target."""

    status: int | None
    location: str = ""
    reason: str = ""
    passing: bool = False
    ours: bool = False


class Verdict(NamedTuple):
    """`passing`: it may be better another time, so once is not enough to call it broken."""

    state: State
    status: int | None
    reason: str
    passing: bool = False


class Check(NamedTuple):
    """A target whose time has come. `failures`: how many in a row that may pass; links of the tenant to the
    same target share it."""

    tenant_id: int
    target: str
    state: State
    failures: int


class Checked(NamedTuple):
    """What to write down of a check."""

    check: Check
    state: State
    status: int | None
    reason: str
    failures: int
    next_at: datetime


class Inquiry:
    """One check of a target: send `probe`, then `take` its answer, until there is none and a `verdict`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._url = target
        self._hops = 0
        self.probe: Probe | None = Probe("HEAD", target)
        self.verdict: Verdict | None = None

    def take(self, answer: Answer) -> None:
        asked, self.probe = self.probe, None
        assert asked is not None
        status = answer.status
        if status in _REDIRECTS and answer.location:
            self._follow(asked, answer)
        elif status is not None and status < 400:
            self.verdict = Verdict("ok", status, "")
        elif status is not None and asked.method == "HEAD":
            self.probe = Probe("GET", asked.url)
        elif status is None:
            state: State = "unknown" if answer.ours else "broken"
            reason = answer.reason[:MAX_REASON_CHARS]
            self.verdict = Verdict(state, None, reason, answer.passing)
        elif status == 416:  # it is there, and has fewer bytes than were asked for
            self.verdict = Verdict("ok", status, "")
        elif status in _NOT_FOR_MACHINES:
            self.verdict = Verdict(
                "unknown", status, f"it answers {status}, maybe to machines only"
            )
        else:
            self.verdict = Verdict("broken", status, f"it answers {status}", status >= 500)

    def _follow(self, asked: Probe, answer: Answer) -> None:
        self._hops += 1
        if self._hops > MAX_HOPS:
            self.verdict = Verdict("broken", answer.status, f"more than {MAX_HOPS} redirects")
            return
        url = joined(asked.url, answer.location)
        if url is None:
            self.verdict = Verdict("broken", answer.status, "it redirects to what is no URL")
        else:
            self.probe = Probe(asked.method, url)


def joined(url: str, location: str) -> str | None:
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


def settle(check: Check, verdict: Verdict, now: datetime) -> Checked:
    """What becomes of a target: a failure that may pass is believed the second time."""
    due = next_check(check.tenant_id, check.target, now)
    if not (verdict.passing and verdict.state == "broken"):
        return Checked(check, verdict.state, verdict.status, verdict.reason, 0, due)
    failures = check.failures + 1
    if failures == 1:
        state = check.state if check.state == "broken" else "unknown"
        return Checked(check, state, verdict.status, verdict.reason, 1, now + AGAIN)
    return Checked(check, "broken", verdict.status, verdict.reason, min(failures, 1000), due)


def next_check(tenant_id: int, target: str, now: datetime) -> datetime:
    """When a target is due again: at its own fixed moment of each day, after half a day at least."""
    digest = hashlib.sha256(f"{tenant_id}:{target}".encode()).digest()
    length = int(PERIOD.total_seconds())
    offset = int.from_bytes(digest[:8], "big") % length
    earliest = int((now + PERIOD / 2).timestamp())
    return datetime.fromtimestamp(earliest + (offset - earliest) % length, UTC)
