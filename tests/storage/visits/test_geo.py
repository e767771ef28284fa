"""Places by a geo file: both vendors' schemas, exchanged while in use, and never by a broken one."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from engine.visits.place import pack_place, unpack_place
from engine.visits.ports import PlaceLookup
from storage.visits.geo import GeoFile, GeoPlaceLookup, load
from storage.visits.geo_check import GeoReport
from storage.visits.memory_geo import MemoryPlaceLookup

pytestmark = pytest.mark.slow

MUNICH = {
    "continent": {"code": "EU"},
    "country": {"iso_code": "DE", "names": {"en": "Germany"}},
    "subdivisions": [{"iso_code": "BY", "names": {"en": "Bavaria"}}],
    "city": {"names": {"de": "München", "en": "Munich"}},
}
NAMELESS = {"continent": {"code": "EU"}, "country": {"iso_code": "DE"}}
FROM_DB_IP = {
    "continent": {"code": "NA", "names": {"en": "North America"}},
    "country": {"iso_code": "US", "names": {"en": "United States"}},
    "subdivisions": [{"names": {"en": "California"}}],
    "city": {"names": {"en": "Mountain View"}},
}
NETWORKS = {"203.0.113.0/28": MUNICH, "203.0.113.16/28": NAMELESS, "2001:db8::/32": FROM_DB_IP}


def write(path: Path, networks: dict[str, Any], *, version: int = 6) -> Path:
    """Write a geo file and put it in place as an updater does. Returns its path."""
    writer = MMDBWriter(ip_version=version, ipv4_compatible=version == 6, database_type="Test-City")
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    new = path.with_suffix(".new")
    writer.to_db_file(str(new))
    new.replace(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "city.mmdb", NETWORKS)


@pytest.fixture
async def places(file: Path) -> GeoPlaceLookup:
    lookup = GeoPlaceLookup(str(file))
    assert await lookup.refresh()  # the first file is in use at once
    assert not await lookup.refresh()  # and is checked afterwards
    return lookup


@pytest.fixture(params=["memory", "file"])
def contract(request: pytest.FixtureRequest) -> PlaceLookup:
    if request.param == "file":
        return GeoPlaceLookup(str(request.getfixturevalue("file")))
    memory = MemoryPlaceLookup()
    memory.set_place("203.0.113.9", "DE", "Munich")
    return memory


async def test_every_text_has_a_place_or_none(contract: PlaceLookup) -> None:
    assert await contract.refresh()
    continent, country, _, city = unpack_place(contract.place("203.0.113.9"))
    assert (continent, country, city) == ("EU", "DE", "Munich")
    for text in ("198.51.100.1", "2001:db9::1", "unix", "", "203.0.113.9:80", "é"):
        assert contract.place(text) == b""
    assert not await contract.refresh()


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.0", ("EU", "DE", "BY", "Munich")),
        ("203.0.113.15", ("EU", "DE", "BY", "Munich")),
        ("203.0.113.16", ("EU", "DE", "", "")),
        ("203.0.113.32", ("", "", "", "")),
        ("2001:db8::1", ("NA", "US", "California", "Mountain View")),
    ],
)
async def test_every_part_of_a_place(
    address: str, place: tuple[str, ...], places: GeoPlaceLookup
) -> None:
    assert unpack_place(places.place(address)) == place


async def test_a_new_file_is_in_use_without_a_restart(places: GeoPlaceLookup, file: Path) -> None:
    write(file, {"203.0.113.0/24": NAMELESS | {"city": {"names": {"en": "Elsewhere"}}}})
    assert await places.refresh()
    assert unpack_place(places.place("203.0.113.9"))[3] == "Elsewhere"
    assert places.counts["loaded"] == 2
    assert not await places.refresh()


def damage(file: Path, how: str) -> None:
    """Damage a file, mostly in place: the file in use must not be a map of it."""
    data = file.read_bytes()
    if how == "no places":
        write(file, {"203.0.113.0/24": {"autonomous_system_number": 64496}})
    elif how == "gone":
        file.unlink()
    elif how == "record":  # the tree and the metadata stay intact
        at = data.index(b"Munich")
        file.write_bytes(data[: at - 1] + b"\x1f" * 7 + data[at + 6 :])
    elif how == "truncated":
        os.truncate(file, len(data) // 2)
    else:
        file.write_bytes(b"" if how == "empty" else b"text" * 500)


@pytest.mark.parametrize("how", ["record", "truncated", "empty", "text", "no places", "gone"])
async def test_a_broken_file_is_refused_and_the_old_one_stays(
    how: str, places: GeoPlaceLookup, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(file, how)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not await places.refresh()
    assert [r.event for r in caplog.records] == ["geo_refused"]  # type: ignore[attr-defined]
    assert places.counts["refused"] == 1
    assert unpack_place(places.place("203.0.113.9"))[3] == "Munich"

    write(file, NETWORKS)
    assert await places.refresh()
    assert unpack_place(places.place("203.0.113.9"))[3] == "Munich"


async def test_a_file_that_arrives_during_the_check_of_a_broken_one_is_loaded(
    places: GeoPlaceLookup, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = GeoFile.check

    async def check(self: GeoFile) -> GeoReport:
        write(file, {"203.0.113.0/24": NAMELESS | {"city": {"names": {"en": "Elsewhere"}}}})
        return await original(self)

    damage(file, "record")
    with monkeypatch.context() as patch:
        patch.setattr(GeoFile, "check", check)
        assert not await places.refresh()
    assert await places.refresh()
    assert unpack_place(places.place("203.0.113.9"))[3] == "Elsewhere"


async def test_a_first_file_that_is_broken_is_dropped(file: Path) -> None:
    damage(file, "record")
    places = GeoPlaceLookup(str(file))
    assert await places.refresh()
    assert places.place("203.0.113.9") == b""
    assert places.counts["unreadable"] == 1
    assert await places.refresh()
    assert places.database == "iptocc"
    assert not await places.refresh()


async def test_without_a_file_there_are_countries(tmp_path: Path) -> None:
    for path in ("", str(tmp_path / "none.mmdb")):
        places = GeoPlaceLookup(path)
        assert not await places.refresh()
        assert places.place("8.8.8.8") == pack_place("NA", "US")
        assert places.place("10.0.0.1") == places.place("x") == b""


async def test_a_file_for_ipv4_has_no_places_of_ipv6(tmp_path: Path) -> None:
    places = GeoPlaceLookup(str(write(tmp_path / "v4.mmdb", {"203.0.113.0/24": MUNICH}, version=4)))
    assert await places.refresh()
    assert unpack_place(places.place("203.0.113.9"))[1] == "DE"
    assert places.place("2001:db8::1") == b""


async def test_replaced_files_are_closed(places: GeoPlaceLookup, file: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        write(file, {"203.0.113.0/24": NAMELESS | {"city": {"names": {"en": str(number)}}}})
        assert await places.refresh()
        damage(file, "text")
        assert not await places.refresh()
    loaded, _ = load(write(file, NETWORKS))
    del loaded
    assert len(os.listdir("/proc/self/fd")) == before
