"""The log of changes: its entries, the filter of a list, and the cells of its CSV export."""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from engine.common.json_forms import id_text, time_text


class ActivityEntry(NamedTuple):
    """A change of an object. `before` is None if it created the object, `after` if it deleted it; their ids
    and times are texts.

    `seq` counts from 1 in its hash chain, without a gap. `hash` is the SHA-256 of the hash of the entry before
    it (none for the first) and of `hashed` in UTF-8: a JSON array of profile id, seq, microseconds since 1970,
    user id, key id, request id, action, type and id of the object, before and after.
    `email` is the user's, if the reader may see it.
    """

    seq: int
    at: datetime
    user_id: int | None
    email: str | None
    key_id: int | None
    request_id: str | None
    action: str
    object_type: str
    object_id: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: bytes
    hashed: str = ""


class ActivityFilter(NamedTuple):
    """The conditions of a list of entries; None: any. The time is half-open, [start, end)."""

    action: str | None = None
    object_type: str | None = None
    object_id: int | None = None
    user_id: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    key_id: int | None = None

    def matches(self, entry: ActivityEntry) -> bool:
        """Return whether the entry meets all conditions. storage/audit/audit_log.sql has them in SQL."""
        return (
            self.action in (None, entry.action)
            and self.object_type in (None, entry.object_type)
            and self.object_id in (None, entry.object_id)
            and self.user_id in (None, entry.user_id)
            and self.key_id in (None, entry.key_id)
            and (self.start is None or entry.at >= self.start)
            and (self.end is None or entry.at < self.end)
        )


COLUMNS: Final = (
    "id", "at", "user_id", "user_email", "key_id", "request_id", "action", "object_type", "object_id",
    "before", "after", "hash", "hashed",
)  # fmt: skip


def csv_row(entry: ActivityEntry) -> tuple[str, ...]:
    """Return the cells of an entry, one for each of COLUMNS."""
    return (
        str(entry.seq),
        time_text(entry.at.astimezone(UTC)),
        id_text(entry.user_id),
        entry.email or "",
        id_text(entry.key_id),
        entry.request_id or "",
        entry.action,
        entry.object_type,
        str(entry.object_id),
        _json(entry.before),
        _json(entry.after),
        entry.hash.hex(),
        entry.hashed,
    )


def _json(value: dict[str, Any] | None) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()
