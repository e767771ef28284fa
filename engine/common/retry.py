"""Waits before another attempt: exponential backoff, and the wait that a server asks for."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def backoff_s(attempt: int, *, first_s: float, limit_s: float) -> float:
    """Return an exponential backoff: `first_s` for attempt 1, doubled each time, `limit_s` at most.

    The caller multiplies it by a random factor where many clients could retry in step.
    """
    return float(min(limit_s, first_s * 2 ** min(attempt - 1, 60)))


def parse_retry_after(header: str, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110 10.2.3); None if it is malformed."""
    text = header.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    date = parse_http_date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())


def parse_http_date(text: str) -> datetime | None:
    """Return the time of an HTTP date (RFC 9110 5.6.7), in UTC if it names no zone; None if malformed."""
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
