"""The place of a client address: continent, country, region and city, as a click's record has them.

It is read from geo files with the schemas of MaxMind (GeoIP2, GeoLite2: City, Country) and DB-IP (City,
Country), and from flat ones with `country_code`. Text of a file is not trusted: it is cut, and control
characters are removed.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from engine.common.continent import CONTINENTS, continent_of

SEPARATOR: Final = "\x1f"
MAX_CITY_BYTES: Final = 48
MAX_REGION_BYTES: Final = 24
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def pack_place(continent: str, country: str, region: str = "", city: str = "") -> bytes:
    """Return the data of the record item PLACE (engine/clicks/record_items.py); empty when all parts are.

    A continent that is none is looked up by the country. A country that is no ISO code is left out.
    """
    if _COUNTRY.fullmatch(country) is None:
        country = region = ""
    if continent not in CONTINENTS:
        continent = continent_of(country)
    parts = (continent, country, _cut(region, MAX_REGION_BYTES), _cut(city, MAX_CITY_BYTES))
    return SEPARATOR.join(parts).encode("utf-8") if any(parts) else b""


def unpack_place(data: bytes) -> tuple[str, str, str, str]:
    """Return (continent, country, region, city) of an item's data; unknown parts are empty."""
    parts = data.decode("utf-8", "replace").split(SEPARATOR)
    continent, country, region, city = [*parts, "", "", "", ""][:4]
    return continent, country, region, city


def place_of_record(record: object) -> bytes:
    """Return the packed place of a geo file's record; empty when that has another shape."""
    if not isinstance(record, Mapping):
        return b""
    country = _text(record, "country", "iso_code") or _text(record, "country_code")
    continent = _text(record, "continent", "code") or _text(record, "continent_code")
    city = _text(record, "city", "names", "en") or _text(record, "city")
    divisions = record.get("subdivisions")
    first = divisions[0] if isinstance(divisions, list) and divisions else None
    # The largest division, by its code or, as DB-IP has none, its name.
    region = ""
    if isinstance(first, Mapping):
        region = _text(first, "iso_code") or _text(first, "names", "en")
    return pack_place(continent, country, region, city)


def _text(record: Mapping[str, Any], *path: str) -> str:
    value: Any = record
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _cut(text: str, limit: int) -> str:
    return _CONTROL.sub("", text).encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
