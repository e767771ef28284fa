"""The daily key of pseudonyms, and how edges that know nothing of each other come to share one.

Rules:

- A key is random, for one UTC day, prepared PREPARE_US before that day begins, and forgotten KEPT_US after it
  began: less than 48 hours in all.
- Of several keys for one day all edges choose the same: a used one before an unused one, then the one made
  first, then the lesser one. `used` is never taken back, so the order of messages does not matter.
- An edge without a key makes a candidate, offers it, and uses the best key that it knows once other edges had
  time to answer.
- Edges greet each other with the fingerprint of their key. An edge with another key answers with an offer; an
  edge that is offered a worse key answers with its own; an edge that is offered a better key takes it.

So two edges that disagree nevertheless, as they could not hear each other, agree soon after they can, for the
rest of the day. A visitor of both, or of the one that changed, is then counted twice on that day.
"""

import binascii
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from engine.visits.pseudonym import KEY_BYTES

DAY_US: Final = 86_400_000_000
PREPARE_US: Final = 600_000_000
KEPT_US: Final = 47 * 3_600_000_000
MAX_DAYS: Final = 4  # yesterday, today and tomorrow, and one for clocks that differ


class DailyKey(NamedTuple):
    """The key of one day, counted since 1970 in UTC. `created_us` is Unix time in microseconds; `used`: an edge
    has made pseudonyms with it."""

    day: int
    used: bool
    created_us: int
    key: bytes

    def is_better(self, other: "DailyKey") -> bool:
        """Return whether edges choose this key over the other; False for the same key."""
        return self._rank() < other._rank()

    def _rank(self) -> tuple[bool, int, bytes]:
        return (not self.used, self.created_us, self.key)


class KeyAnnouncement(NamedTuple):
    """A greeting: the sender has the key with this fingerprint for the day."""

    day: int
    fingerprint: str


def wanted_days(now_us: int) -> list[int]:
    """Return the days that need a key: today, and near its end tomorrow."""
    today = now_us // DAY_US
    return [today, today + 1] if (now_us + PREPARE_US) // DAY_US > today else [today]


def is_kept(day: int, now_us: int) -> bool:
    """Return whether a key of this day may be in memory."""
    return day * DAY_US - PREPARE_US <= now_us < day * DAY_US + KEPT_US


def best(keys: Iterable[DailyKey], now_us: int) -> dict[int, DailyKey]:
    """Return the key to choose for each day whose key may be in memory."""
    chosen: dict[int, DailyKey] = {}
    for key in keys:
        rival = chosen.get(key.day)
        if is_kept(key.day, now_us) and (rival is None or key.is_better(rival)):
            chosen[key.day] = key
    return chosen


def fingerprint(key: bytes) -> str:
    """Return a text that tells two keys apart, and reveals nothing of a random one."""
    return blake2b(b"visitor key", digest_size=8, key=key).hexdigest()


# ---- as bytes, for messages and for the file that edges of one machine share --------------------------


def pack_keys(keys: Iterable[DailyKey]) -> bytes:
    rows = [(k.day, k.used, k.created_us, binascii.hexlify(k.key).decode()) for k in keys]
    return msgspec.json.encode(rows)


def unpack_keys(data: bytes) -> list[DailyKey] | None:
    """Return the keys; None for bytes that pack_keys() did not write."""
    try:
        rows = msgspec.json.decode(data, type=list[tuple[int, bool, int, str]])
        keys = [
            DailyKey(day, used, created, binascii.unhexlify(text))
            for day, used, created, text in rows
        ]
    except (msgspec.DecodeError, ValueError):
        return None
    return keys if all(len(k.key) == KEY_BYTES for k in keys) and len(keys) <= MAX_DAYS else None


def pack_greeting(greeting: KeyAnnouncement) -> bytes:
    return msgspec.json.encode({"day": greeting.day, "has": greeting.fingerprint})


def unpack(message: bytes) -> KeyAnnouncement | list[DailyKey] | None:
    """Return the content of a message: a greeting or offered keys; None when it is neither."""
    keys = unpack_keys(message)
    if keys is not None:
        return keys
    try:
        greeting: Any = msgspec.json.decode(message, type=dict[str, int | str])
        day, text = greeting["day"], greeting["has"]
    except (msgspec.DecodeError, KeyError):
        return None
    return KeyAnnouncement(day, text) if isinstance(day, int) and isinstance(text, str) else None
