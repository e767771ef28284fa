"""Reads every record of a geo file, in a process of its own: `python -m storage.visits.geo_check FILE`.

Half a minute of decoding for a large file, which must not take the interpreter from the visitors' door.
Prints one JSON object: `networks` and `places` counted, and `error`, empty when every record could be read.
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
    """All networks with their records; those that tell a place are counted."""
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
        found = check(reader)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(sys.argv[1])
