"""Own events: what a page or a server reports of a visitor beside views and clicks, such as `signup`.

An event has a name and up to MAX_PROPERTIES properties, each a name and a value. Everywhere behind the visitor
server it is one text, its name and then `name=value` of each property, in the order of their names:

    signup <0x1F> plan=pro <0x1F> seats=3

In a record its UTF-8 bytes are cut into items of the tags EVENT to LAST_EVENT (engine/clicks/record_items.py).
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.clicks.record_items import EVENT, LAST_EVENT, MAX_ITEM_BYTES, item
from engine.common.text_rules import printable

MAX_PROPERTIES: Final = 10
MAX_NAME_CHARS: Final = 40  # of an event, and of a property
MAX_VALUE_CHARS: Final = 120
MARK: Final = "\x1f"
PROPERTY_NAME: Final = r"[A-Za-z0-9_.:-]{1,40}"

_property_name: Final = re.compile(PROPERTY_NAME).fullmatch
_TAGS: Final = range(EVENT, LAST_EVENT + 1)


class OwnEvent(NamedTuple):
    """An event; `properties` are `name=value`, in the order of their names."""

    name: str
    properties: tuple[str, ...] = ()


def own_event(name: str, properties: Mapping[str, str]) -> OwnEvent | None:
    """Return the event that these texts of a visitor's browser say, or None without a name.

    Nothing here is trusted: unprintable characters are left out, texts are cut to their bounds, and properties
    without a valid name are left out, as are those beyond MAX_PROPERTIES.
    """
    event_name = _line(name, MAX_NAME_CHARS)
    if not event_name:
        return None
    valid = [key for key in properties if _property_name(key)][:MAX_PROPERTIES]
    return OwnEvent(
        event_name,
        tuple(f"{key}={_line(properties[key], MAX_VALUE_CHARS)}" for key in sorted(valid)),
    )


def is_property_name(text: str) -> bool:
    return _property_name(text) is not None


def event_text(event: OwnEvent) -> str:
    """Return the text that stands for the event."""
    return MARK.join((event.name, *event.properties))


def parse_event(text: str) -> OwnEvent:
    """Return the event of a text; its name is '' for a click or view."""
    name, *properties = text.split(MARK)
    return OwnEvent(name, tuple(properties))


def event_items(text: bytes) -> bytes:
    """Return the items of an event's text, within the tags that there are."""
    parts = range(0, len(text), MAX_ITEM_BYTES)
    return b"".join(
        item(tag, text[start : start + MAX_ITEM_BYTES])
        for tag, start in zip(_TAGS, parts, strict=False)
    )


def text_of_items(data_by_tag: Mapping[int, bytes]) -> bytes:
    """Return the event's text of a record's items, b"" for a record of no event."""
    if EVENT not in data_by_tag:
        return b""
    return b"".join(data_by_tag[tag] for tag in _TAGS if tag in data_by_tag)


def readable(text: str) -> str:
    """Return an event's text as it is counted: printable, within its bounds."""
    name, *properties = text.split(MARK)
    lines = dict.fromkeys(map(_property, properties[:MAX_PROPERTIES]))
    return MARK.join((_line(name, MAX_NAME_CHARS), *lines))


def _property(text: str) -> str:
    name, equals, value = text.partition("=")
    return _line(name, MAX_NAME_CHARS) + equals + _line(value, MAX_VALUE_CHARS)


def _line(text: str, max_chars: int) -> str:
    return printable(text).strip()[:max_chars].rstrip()
