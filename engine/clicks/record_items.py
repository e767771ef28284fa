"""What else is known of a click: the end of a journal's record, as tagged items.

    u8 tag | u8 length | data

Absent items cost nothing, and a tag that a reader does not know is passed over. None of it holds a control
character that a visitor chose: the door takes hosts and queries of printable bytes only, and what looks like
the mark of a frame would slow the search behind damage (storage/clicks/recovery.py).

| tag | data |
|---|---|
| place | continent, country, region, city, joined by 0x1F: `EU`, `DE`, `BY`, `Munich` |
| host | the name that was asked for, lower case, no port |
| utm | the query's `utm_…` parameters as they came, joined by `&` |
| trigger | one byte of Trigger; absent: the link itself |
| exposures | what was shown: 11 bytes each, of Arm |
| outcomes | what this click decides for: the same |
| cookie | of experiments that ask for one: the visitor's pseudonym by it (8 bytes), a byte each of exposures
and outcomes with a bit for those that are theirs, the lowest for the first |
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

PLACE: Final = 1
HOST: Final = 2
UTM: Final = 3
TRIGGER: Final = 4
EXPOSURES: Final = 5
OUTCOMES: Final = 6
COOKIE: Final = 7

_ARM: Final = Struct(">qHB")
MAX_HOST_BYTES: Final = 96  # so that a record has room for the rest
MAX_KNOWN_HOSTS: Final = 256
MAX_ARMS: Final = 8  # of one record


class Trigger(IntEnum):
    """What led to the click."""

    LINK = 0
    PAGE = 1
    QR = 2


class VariantRef(NamedTuple):
    """An experiment's arm: `phase` grows with each change of its weights."""

    experiment_id: int
    phase: int
    arm: int


NO_VARIANT_REF: Final = VariantRef(0, 0, 0)


def item(tag: int, data: bytes) -> bytes:
    """One item; empty data is no item. Raises ValueError beyond 255 bytes."""
    return bytes((tag, len(data))) + data if data else b""


class HostItems(dict[bytes, bytes]):
    """The item of each host, made when it is first seen; empty for a name that is too long for a record.
    Bounded, and emptied when full."""

    def __missing__(self, host: bytes) -> bytes:
        if len(self) >= MAX_KNOWN_HOSTS:
            self.clear()
        found = self[host] = item(HOST, host) if len(host) <= MAX_HOST_BYTES else b""
        return found


def items(extra: bytes) -> dict[int, bytes]:
    """Data by tag; of a tag that comes twice the last, and what is cut off is left out."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 2 <= len(extra):
        end = position + 2 + extra[position + 1]
        if end > len(extra):
            break
        found[extra[position]] = extra[position + 2 : end]
        position = end
    return found


def pack_variant_refs(arms: Iterable[VariantRef]) -> bytes:
    return b"".join(_ARM.pack(*arm) for arm in arms)


def unpack_variant_refs(data: bytes) -> Iterator[VariantRef]:
    """Whole ones only."""
    for start in range(0, len(data) - _ARM.size + 1, _ARM.size):
        yield VariantRef(*_ARM.unpack_from(data, start))
