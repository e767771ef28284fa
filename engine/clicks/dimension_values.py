"""Dimension values of a click, read out of its record, as they are counted and stand in its raw row.

Values are those of dimensions (engine/clicks/dimension.py), the same in raw rows and in counts: a region with
its country (`DE-BY`), a city with its country (`Munich, DE`), '' for what is not known.
"""

from typing import Final, NamedTuple

from engine.clicks import language as languages
from engine.clicks import own_event as own_events
from engine.clicks import referrer as referrers
from engine.clicks import utm as utms
from engine.clicks.dimension import Dimension
from engine.clicks.record_items import (
    EXPOSURES,
    HOST,
    OUTCOMES,
    PLACE,
    TRIGGER,
    UTM,
    Trigger,
    items,
)
from engine.clicks.user_agent import UserAgent
from engine.clicks.utm import UtmParameters
from engine.common.text_rules import printable

MAX_PLACE: Final = 100  # characters of one of its names


class Place(NamedTuple):
    continent: str = ""
    country: str = ""
    region: str = ""
    city: str = ""


class RecordItems(NamedTuple):
    """A record's items, parsed; `exposures` and `outcomes` stay packed (engine/clicks/record_items.py). `event`
    is the text of an own event (engine/clicks/own_event.py)."""

    trigger: int = Trigger.LINK
    place: Place = Place()
    domain: str = ""
    utm: UtmParameters = utms.NONE
    exposures: bytes = b""
    outcomes: bytes = b""
    event: str = ""


NO_ITEMS: Final = RecordItems()


def text(data: bytes) -> str:
    """Decode a visitor's bytes to what Postgres can hold: no NUL, no invalid UTF-8."""
    return data.decode("utf-8", "replace").replace("\0", "")


def parse_items(data: bytes) -> RecordItems:
    if not data:
        return NO_ITEMS
    data_by_tag = items(data)
    trigger = data_by_tag.get(TRIGGER, b"\0")[0]
    return RecordItems(
        trigger if trigger in TRIGGERS else Trigger.LINK,
        _place(data_by_tag.get(PLACE, b"")),
        printable(text(data_by_tag.get(HOST, b""))),
        utms.parse(data_by_tag.get(UTM, b"")),
        data_by_tag.get(EXPOSURES, b""),
        data_by_tag.get(OUTCOMES, b""),
        own_events.readable(text(own_events.text_of_items(data_by_tag))),
    )


TRIGGERS: Final = {Trigger.LINK: "link", Trigger.PAGE: "page", Trigger.QR: "qr"}


def _place(data: bytes) -> Place:
    names = [printable(name)[:MAX_PLACE] for name in text(data).split("\x1f")]
    continent, country, region, city = (*names, "", "", "", "")[:4]
    return Place(
        continent,
        country,
        f"{country}-{region}" if country and region else "",
        f"{city}, {country}" if country and city else city,
    )


def source(referrer_host: str, agent: UserAgent, utm_source: str) -> str:
    """Return the known source of a click, or ''."""
    return (
        referrers.source_of_host(referrer_host) or agent.app or referrers.source_of_utm(utm_source)
    )


def language(header: str) -> str:
    return languages.primary_language(header)


# Dimensions of which a click has one value, by the part of the record that names it.
AGENT_DIMENSIONS: Final = (Dimension.BROWSER, Dimension.OS, Dimension.DEVICE)
ITEM_DIMENSIONS: Final = (
    Dimension.CONTINENT, Dimension.COUNTRY, Dimension.REGION, Dimension.CITY, Dimension.UTM_SOURCE,
    Dimension.UTM_MEDIUM, Dimension.UTM_CAMPAIGN, Dimension.UTM_TERM, Dimension.UTM_CONTENT,
    Dimension.DOMAIN, Dimension.TRIGGER,
)  # fmt: skip


def item_values(items: RecordItems) -> tuple[str, ...]:
    """Return the values of ITEM_DIMENSIONS, in their order."""
    return (*items.place, *items.utm, items.domain, TRIGGERS[Trigger(items.trigger)])
