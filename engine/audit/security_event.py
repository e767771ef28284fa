"""What concerns safety and changes nothing: the kinds of events, and what may be told of one.

An event says who (tenant, user, key) and by which request, never from where: no address, no e-mail, nor
a hash of either, which could be tried out.
"""

import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

SecurityEventKind = Literal[
    "login.succeeded",
    "login.failed",
    "login.throttled",
    "access.denied",
    "rate.limited",
    "key.used",
    "session.revoked",
    "password.changed",
    "key.revoked",
]
WITHHELD: Final = "(withheld)"
MAX_CHARS: Final = 100
MAX_DETAILS: Final = 8
NO_TENANT: Final = 0  # the tenant of events where nobody was recognised


class SecurityEvent(NamedTuple):
    """`at` is when it first happened, `times` how often since; `detail` is the first one's."""

    kind: str
    tenant_id: int
    user_id: int | None
    key_id: int | None
    request_id: str
    at: datetime
    times: int
    detail: dict[str, Any]


class StoredSecurityEvent(NamedTuple):
    """One as it is listed, by an id that grows with time."""

    id: int
    event: SecurityEvent


def redact_detail(detail: Mapping[str, str | int]) -> dict[str, Any]:
    """What of the detail may be kept: short texts and numbers, nothing that says where from."""
    return {
        name: value if isinstance(value, int) else _told(value)
        for name, value in list(detail.items())[:MAX_DETAILS]
    }


def _told(text: str) -> str:
    text = text[:MAX_CHARS]
    if "@" in text:
        return WITHHELD
    for word in text.replace(",", " ").split():
        try:
            ipaddress.ip_address(word.strip("[]"))
        except ValueError:
            continue
        return WITHHELD
    return text.replace("\x00", "")
