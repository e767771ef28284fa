"""Record items: the tagged optional parts at the end of a record (engine/clicks/record_layout.py).

    u8 tag | u8 length | data

An absent item takes no byte, and a reader skips a tag that it does not know. No item holds a control
character that a visitor chose, as bytes that look like the mark of a frame would slow the search behind damage
(storage/clicks/recovery.py): the visitor server accepts hosts and queries of printable bytes only.

| tag | data |
|---|---|
| place | continent, country, region, city, joined by 0x1F: `EU`, `DE`, `BY`, `Munich` |
| host | the host of the request, lower case, no port |
| utm | the query's `utm_…` parameters as they came, joined by `&` |
| trigger | one byte of Trigger; absent: the link itself |
| exposures | the variants that the visitor was shown: a VariantRef each, 11 bytes |
| outcomes | the variants for which this click is a success: a VariantRef each |
| cookie | of experiments that assign by cookie: the visitor's pseudonym by it (8 bytes), then a byte each for
exposures and outcomes with a bit for those of such experiments, the lowest for the first |
| hit | 16 bytes that stand for the id of a hit that a server reported (engine/visits/hit.py) |
| event, 9 to 30 | the text of an own event in pieces, in the order of tags (engine/clicks/own_event.py) |
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
HIT: Final = 8
EVENT: Final = 9
LAST_EVENT: Final = 30

HIT_ID_BYTES: Final = 16
MAX_ITEM_BYTES: Final = 255

_VARIANT_REF: Final = Struct(">qHB")
MAX_HOST_BYTES: Final = 96  # so that a record has room for the rest
MAX_KNOWN_HOSTS: Final = 256
MAX_VARIANT_REFS: Final = 8  # of one record


class Trigger(IntEnum):
    """The thing that the visitor followed."""

    LINK = 0
    PAGE = 1
    QR = 2


class VariantRef(NamedTuple):
    """A variant of an experiment in one phase; `phase` grows with each change of its weights."""

    experiment_id: int
    phase: int
    variant: int


NO_VARIANT_REF: Final = VariantRef(0, 0, 0)


def item(tag: int, data: bytes) -> bytes:
    """Return one item, b"" for empty data. Raises ValueError beyond 255 bytes."""
    return bytes((tag, len(data))) + data if data else b""


TRIGGER_ITEMS: Final = {trigger: item(TRIGGER, bytes((trigger,))) for trigger in Trigger}


class HostItems(dict[bytes, bytes]):
    """The item of each host, made when it is first seen; empty for a host that is too long for a record.
    Bounded, and emptied when full."""

    def __missing__(self, host: bytes) -> bytes:
        if len(self) >= MAX_KNOWN_HOSTS:
            self.clear()
        host_item = self[host] = item(HOST, host) if len(host) <= MAX_HOST_BYTES else b""
        return host_item


def items(packed: bytes) -> dict[int, bytes]:
    """Return the data of items by tag: the last of a tag that comes twice, nothing of a cut-off item."""
    data_by_tag: dict[int, bytes] = {}
    position = 0
    while position + 2 <= len(packed):
        end = position + 2 + packed[position + 1]
        if end > len(packed):
            break
        data_by_tag[packed[position]] = packed[position + 2 : end]
        position = end
    return data_by_tag


def pack_variant_refs(variants: Iterable[VariantRef]) -> bytes:
    return b"".join(_VARIANT_REF.pack(*variant) for variant in variants)


def unpack_variant_refs(data: bytes) -> Iterator[VariantRef]:
    """Yield the references in `data`; a cut-off one is left out."""
    for start in range(0, len(data) - _VARIANT_REF.size + 1, _VARIANT_REF.size):
        yield VariantRef(*_VARIANT_REF.unpack_from(data, start))
