"""The key of a day's pseudonyms, and how edges that know nothing of each other come to have the same one.

Rules:

- A key is random, for one UTC day, prepared PREPARE_US before that day begins, and forgotten KEPT_US after it
  began: less than 48 hours in all.
- Of several keys for one day all edges choose alike: one that is in use before one that is not, then the one
  made first, then the lesser one. `used` is never taken back, so whoever speaks last, the choice ends the same.
- Whoever has no key makes a candidate, offers it, and uses what it knows best once others had time to answer.
- Edges greet each other with the fingerprint of what they have. Who has something else answers with an offer;
  who is offered something worse answers with its own; who is offered something better takes it.

So two edges that disagree in spite of it, since they could not hear each other, agree soon after they can, for
the rest of the day. A visitor of both, or of the one that changed, is then counted twice on that day.
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
    """`day` since 1970 in UTC; `created_us` when it was made, in Unix time."""

    day: int
    used: bool
    created_us: int
    key: bytes

    def is_better(self, than: "DailyKey") -> bool:
        """Whether it is to be chosen; False for the same key."""
        return self._rank() < than._rank()

    def _rank(self) -> tuple[bool, int, bytes]:
        return (not self.used, self.created_us, self.key)


class KeyAnnouncement(NamedTuple):
    """Somebody is there, and has the key with this fingerprint for the day."""

    day: int
    fingerprint: str


def wanted_days(now_us: int) -> list[int]:
    """The days that a key is needed for now: today, and near its end tomorrow."""
    today = now_us // DAY_US
    return [today, today + 1] if (now_us + PREPARE_US) // DAY_US > today else [today]


def is_kept(day: int, now_us: int) -> bool:
    """Whether a key of this day may be held now."""
    return day * DAY_US - PREPARE_US <= now_us < day * DAY_US + KEPT_US


def best(keys: Iterable[DailyKey], now_us: int) -> dict[int, DailyKey]:
    """For each day whose key may be held, the one to choose."""
    found: dict[int, DailyKey] = {}
    for one in keys:
        held = found.get(one.day)
        if is_kept(one.day, now_us) and (held is None or one.is_better(held)):
            found[one.day] = one
    return found


def fingerprint(key: bytes) -> str:
    """Tells two keys apart, and tells nothing of a random one."""
    return blake2b(b"visitor key", digest_size=8, key=key).hexdigest()


# ---- as bytes, for messages and for the file that edges of one machine share --------------------------


def pack_keys(keys: Iterable[DailyKey]) -> bytes:
    rows = [(k.day, k.used, k.created_us, binascii.hexlify(k.key).decode()) for k in keys]
    return msgspec.json.encode(rows)


def unpack_keys(data: bytes) -> list[DailyKey] | None:
    """None when the bytes are nothing that `pack_keys` wrote."""
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
    """What a message says; None when it is not one of ours."""
    keys = unpack_keys(message)
    if keys is not None:
        return keys
    try:
        found: Any = msgspec.json.decode(message, type=dict[str, int | str])
        day, has = found["day"], found["has"]
    except (msgspec.DecodeError, KeyError):
        return None
    return KeyAnnouncement(day, has) if isinstance(day, int) and isinstance(has, str) else None
