"""Check of every record of a geo file, in its own process: `python -m storage.visits.geo_check FILE`.

A large file takes half a minute to decode, during which an edge's interpreter would answer no visitor.
Prints one JSON object: the numbers of `networks` and `places`, and `error`, empty if every record is readable.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from maxminddb import MODE_MMAP_EXT, InvalidDatabaseError, open_database

from engine.visits.place import place_of_record


class GeoReport(msgspec.Struct, frozen=True):
    networks: int = 0
    places: int = 0
    error: str = ""


def check(records: Iterable[tuple[Any, Any]]) -> GeoReport:
    """Count the networks, and the networks whose record has a country or city."""
    networks = places = 0
    try:
        for _, record in records:
            networks += 1
            places += bool(place_of_record(record))
    except (InvalidDatabaseError, UnicodeDecodeError, ValueError) as error:
        return GeoReport(networks, places, str(error) or type(error).__name__)
    if not places:
        return GeoReport(networks, 0, "no network in it has a country or a city")
    return GeoReport(networks, places)


def main(path: str) -> None:
    os.nice(10)
    with open_database(path, MODE_MMAP_EXT) as reader:
        report = check(reader)
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    main(sys.argv[1])
