"""Where an address is: continent, country, region and city, as a click's record keeps them.

Read from records of the schemas that MaxMind (GeoIP2, GeoLite2: City, Country) and DB-IP (City, Country) use,
and of flat ones with `country_code`. Text of a file is not trusted: it is cut, and control characters go.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from engine.visits.continent import CONTINENTS, continent_of

SEPARATOR: Final = "\x1f"
MAX_CITY_BYTES: Final = 48
MAX_REGION_BYTES: Final = 24
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def pack_place(continent: str, country: str, region: str = "", city: str = "") -> bytes:
    """The data of the item PLACE (engine/clicks/record_items.py); empty when nothing of it is known.

    A continent that is not one is looked up by the country. A country that is no ISO code is left out.
    """
    if _COUNTRY.fullmatch(country) is None:
        country = region = ""
    if continent not in CONTINENTS:
        continent = continent_of(country)
    parts = (continent, country, _cut(region, MAX_REGION_BYTES), _cut(city, MAX_CITY_BYTES))
    return SEPARATOR.join(parts).encode("utf-8") if any(parts) else b""


def unpack_place(data: bytes) -> tuple[str, str, str, str]:
    """Continent, country, region, city of an item's data; empty strings for what is not known."""
    found = data.decode("utf-8", "replace").split(SEPARATOR)
    continent, country, region, city = [*found, "", "", "", ""][:4]
    return continent, country, region, city


def place_of_record(record: object) -> bytes:
    """`place` of a geo file's record; empty when it has another shape."""
    if not isinstance(record, Mapping):
        return b""
    country = _text(record, "country", "iso_code") or _text(record, "country_code")
    continent = _text(record, "continent", "code") or _text(record, "continent_code")
    city = _text(record, "city", "names", "en") or _text(record, "city")
    divisions = record.get("subdivisions")
    first = divisions[0] if isinstance(divisions, list) and divisions else None
    # The largest division; of DB-IP's, which has no codes, the name.
    region = ""
    if isinstance(first, Mapping):
        region = _text(first, "iso_code") or _text(first, "names", "en")
    return pack_place(continent, country, region, city)


def _text(record: Mapping[str, Any], *path: str) -> str:
    found: Any = record
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _cut(text: str, limit: int) -> str:
    return _CONTROL.sub("", text).encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
