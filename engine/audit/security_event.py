"""Security events: facts about safety that change nothing, such as a failed login.

An event names the tenant, user, key and request, and never an address, an e-mail or a hash of either: a hash
could be reversed by trying addresses.
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
NO_TENANT: Final = 0  # the tenant of events without valid credentials


class SecurityEvent(NamedTuple):
    """Events with the same kind, tenant, user and API key, merged until they are written. `times` is their
    number; `request_id`, `at` and `detail` are those of the first one."""

    kind: str
    tenant_id: int
    user_id: int | None
    key_id: int | None
    request_id: str
    at: datetime
    times: int
    detail: dict[str, Any]


class StoredSecurityEvent(NamedTuple):
    """A security event as it is listed. `id` grows with time."""

    id: int
    event: SecurityEvent


def redact_detail(detail: Mapping[str, str | int]) -> dict[str, Any]:
    """Return the part of the detail that may be stored: short texts and numbers, addresses withheld."""
    return {
        name: value if isinstance(value, int) else _redacted(value)
        for name, value in list(detail.items())[:MAX_DETAILS]
    }


def _redacted(text: str) -> str:
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
