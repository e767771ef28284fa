"""No address and no key is left anywhere: a visitor is planted, and everything that was written is searched.

Two edges, a crash with clicks in flight, a restart on the same folder, a clean stop, and the day's end.
Searched are all files of the data folder (journals, AOF, WAL, tables, logs), every row of every table, the
engine's own output, and what the API and the metrics say.
"""

import base64
import ipaddress
import shutil
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import asyncpg
import pytest

from engine.visits.daily_key import DAY_US, DailyKey, unpack_keys
from engine.visits.pseudonym import KEY_BYTES, Pseudonymiser
from storage.embedded import EmbeddedServers
from storage.visits.daily_keys import TmpfsKeyStore, is_in_memory, open_key_store
from tests.conftest import on_connection
from tests.kit.engines import Engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_in_memory(Path("/dev/shm")), reason="no file system in memory"),
]

AGENT = "PlantedAgent/7.7 (nobody)"
ADDRESSES = ("198.51.100.213", "2001:db8:73a1:be4f:9d2c:61f7:a80b:5e13")
MIDNIGHT_MARGIN_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    data = tmp_path / "data"
    yield data
    shelf = open_key_store(data)
    if shelf is not None:
        shutil.rmtree(shelf.folder)


def visit(engine: Engine) -> None:
    """Both visitors, each on connections of their own, so that both edges get some."""
    for address in ADDRESSES:
        headers = {"X-Forwarded-For": f"10.9.8.7, {address}", "User-Agent": AGENT}
        for _ in range(8):
            connection = HTTPConnection(engine.visitors.removeprefix("http://"), timeout=10)
            connection.request("GET", "/demo/spring?utm_source=planted", headers=headers)
            assert connection.getresponse().status == 302
            connection.close()


def forms(secret: bytes) -> set[bytes]:
    """The ways in which bytes are likely to be written down."""
    coded = (base64.b64encode(secret), base64.urlsafe_b64encode(secret), base64.b32encode(secret))
    return {secret, secret.hex().encode(), secret.hex().upper().encode()} | {
        one.rstrip(b"=") for one in coded
    }


def planted() -> dict[str, set[bytes]]:
    """What must not be found, by address."""
    found = {}
    for text in ADDRESSES:
        address = ipaddress.ip_address(text)
        written = {text, text.upper(), address.exploded}
        needles = {needle for form in written for needle in forms(form.encode())}
        needles |= forms(address.packed) | {address.packed[::-1], str(int(address)).encode()}
        if address.version == 6:
            needles |= forms(address.packed[:8]) | {b"2001:db8:73a1:be4f", b"db8:73a1:be4f"}
        found[text] = needles
    return found


def of_keys(shelf: TmpfsKeyStore) -> dict[str, set[bytes]]:
    keys = unpack_keys((shelf.folder / "keys").read_bytes())
    assert keys
    return {
        f"key of day {one.day}": forms(one.key) | {one.key[:16], one.key[16:], one.key[::-1]}
        for one in keys
    }


def rows(folder: Path) -> bytes:
    """Every row of every table that is not the server's own, partitions too."""

    async def dump(connection: "asyncpg.Connection[asyncpg.Record]") -> bytes:
        tables = await connection.fetch(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        assert len(tables) > 20
        found = []
        for table in tables:
            query = f"SELECT t::text AS row FROM ONLY {table['name']} t"
            found += [row["row"] for row in await connection.fetch(query)]
        return "\n".join(found).encode()

    return on_connection(EmbeddedServers(folder).database_url, dump)


def pseudonyms(folder: Path) -> set[int]:
    async def read(connection: "asyncpg.Connection[asyncpg.Record]") -> set[int]:
        return {
            row["visitor"] for row in await connection.fetch("SELECT visitor FROM waypost.clicks")
        }

    return on_connection(EmbeddedServers(folder).database_url, read)


def search(what: bytes, secrets: dict[str, set[bytes]], where: str) -> None:
    for name, needles in secrets.items():
        for needle in needles:
            at = what.find(needle)
            assert at < 0, f"{name} as {needle!r} in {where}: {what[max(0, at - 40) : at + 40]!r}"


def search_files(folder: Path, secrets: dict[str, set[bytes]]) -> set[str]:
    """The kinds of files that were searched; each content once, and no zeros at its end."""
    kinds, seen = set(), set()
    for file in [*folder.rglob("*"), *folder.parent.glob("*.log")]:
        if file.is_file():
            kinds.add(
                file.relative_to(folder.parent).parts[1 if file.is_relative_to(folder) else 0]
            )
            content = file.read_bytes().rstrip(b"\0")
            if content not in seen:
                search(content, secrets, str(file))
            seen.add(content)
    return kinds


def search_answers(engine: Engine, secrets: dict[str, set[bytes]]) -> None:
    with engine.api() as client:
        profile = client.get("/v1/profiles").json()["items"][0]["id"]
        for path in ("/metrics", "/readyz", f"/v1/profiles/{profile}/stats", "/v1/profiles"):
            search(client.get(path).content, secrets, path)
    search(engine.output().encode(), secrets, "the output")


def test_neither_address_nor_key_is_found_anywhere(folder: Path) -> None:
    if DAY_US // 1_000_000 - time.time() % 86_400 < MIDNIGHT_MARGIN_S:
        pytest.skip("the day ends amid it")
    hops = {"WAYPOST_TRUSTED_HOPS": "1"}
    first = Engine(folder, "--demo", "--edges", "2", **hops)
    shelf = open_key_store(folder)
    assert shelf is not None
    secrets = planted() | of_keys(shelf)
    try:
        visit(first)
        first.wait_committed()
        before = pseudonyms(folder)
        assert len(before) == len(ADDRESSES), "each visitor is one for both edges"
        search_answers(first, secrets)
        visit(first)
    finally:
        first.kill()  # with clicks in the journals and the stream
    searched = search_files(folder, secrets)
    assert searched >= {"postgres", "valkey", "logs", "journals", "data.log"}

    again = Engine(folder, "--edges", "2", **hops)
    try:
        visit(again)
        again.wait_committed()
        assert pseudonyms(folder) == before, "a restart keeps the key"
        assert of_keys(shelf).items() <= secrets.items()
        search_answers(again, secrets)
        dumped = rows(folder)
        search(dumped, secrets, "the tables")
        assert AGENT.encode() in dumped, "what is kept by design is found, so the search works"
        assert str(next(iter(before))).encode() in dumped
        assert again.stop() == 0
    finally:
        again.kill()
    after_the_day(folder, shelf, secrets, before, hops)


def kept_keys(store: TmpfsKeyStore) -> list[DailyKey]:
    return unpack_keys((store.folder / "keys").read_bytes()) or []


def after_the_day(
    folder: Path, shelf: TmpfsKeyStore, secrets: dict[str, set[bytes]], before: set[int],
    hops: dict[str, str],
) -> None:  # fmt: skip
    """The key is gone, and with it the way from a visitor to what was recorded."""
    (old,) = kept_keys(shelf)
    assert len(old.key) == KEY_BYTES
    shelf.exchange([], time.time_ns() // 1000 + 2 * DAY_US)
    for file in shelf.folder.iterdir():
        search(file.read_bytes(), secrets, str(file))
    later = Engine(folder, **hops)
    try:
        assert not of_keys(shelf).keys() - {f"key of day {old.day}"}
        fresh = kept_keys(shelf)
        assert [one.key for one in fresh] != [old.key]
        visit(later)
        later.wait_committed()
        assert len(pseudonyms(folder)) == 2 * len(ADDRESSES), "the same visitors are new ones"
        who = b"whatever is known of a visitor"
        assert Pseudonymiser(fresh[0].key).pseudonym(who) != Pseudonymiser(old.key).pseudonym(who)
        search(rows(folder), secrets | of_keys(shelf), "the tables")
        assert later.stop() == 0
    finally:
        later.kill()
    search_files(folder, secrets | of_keys(shelf))
