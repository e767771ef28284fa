"""No address and no daily key is written anywhere: the test plants visitors and searches all that was written.

The engine has two edges, crashes with clicks in flight, restarts on the same folder, stops cleanly, and lives
through the end of a day. The test searches all files of the data folder (journals, AOF, WAL, tables, logs),
every row of every table, the engine's output, and responses of API and metrics.
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
from tests.kit.engines import Engine, eventually
from tests.kit.midnight import wait_past_midnight

pytestmark = [
    pytest.mark.thorough,
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
    key_store = open_key_store(data)
    if key_store is not None:
        shutil.rmtree(key_store.folder)


def visit(engine: Engine) -> None:
    """Send 8 clicks of each visitor, each on a new connection, so that both edges get some."""
    for address in ADDRESSES:
        headers = {"X-Forwarded-For": f"10.9.8.7, {address}", "User-Agent": AGENT}
        for _ in range(8):
            connection = HTTPConnection(engine.visitors.removeprefix("http://"), timeout=10)
            connection.request("GET", "/demo/spring?utm_source=planted", headers=headers)
            assert connection.getresponse().status == 302
            connection.close()
    report(engine)


def report(engine: Engine) -> None:
    """Report a click of each visitor as a server does that shows the profile itself."""
    events = [
        {"id": f"{time.monotonic_ns()}-{n}", "type": "click", "slug": "spring", "address": address,
         "user_agent": AGENT, "url": "https://front.example/?utm_source=planted"}
        for n, address in enumerate(ADDRESSES)
    ]  # fmt: skip
    with engine.api() as client:
        profile = client.get("/v1/profiles").json()["items"][0]["id"]

        def outcomes() -> list[str]:
            answer = client.post(f"/v1/profiles/{profile}/events", json={"events": events})
            return [result["outcome"] for result in answer.json().get("results", ())]

        assert eventually(outcomes) == ["recorded"] * len(ADDRESSES)


def forms(secret: bytes) -> set[bytes]:
    """Return the forms in which bytes are likely to be written: raw, hex, base64 and base32."""
    coded = (base64.b64encode(secret), base64.urlsafe_b64encode(secret), base64.b32encode(secret))
    return {secret, secret.hex().encode(), secret.hex().upper().encode()} | {
        value.rstrip(b"=") for value in coded
    }


def planted() -> dict[str, set[bytes]]:
    """Return the byte strings that must not be written, by address."""
    needles_by_address = {}
    for text in ADDRESSES:
        address = ipaddress.ip_address(text)
        written = {text, text.upper(), address.exploded}
        needles = {needle for form in written for needle in forms(form.encode())}
        needles |= forms(address.packed) | {address.packed[::-1], str(int(address)).encode()}
        if address.version == 6:
            needles |= forms(address.packed[:8]) | {b"2001:db8:73a1:be4f", b"db8:73a1:be4f"}
        needles_by_address[text] = needles
    return needles_by_address


def of_keys(key_store: TmpfsKeyStore) -> dict[str, set[bytes]]:
    keys = unpack_keys((key_store.folder / "keys").read_bytes())
    assert keys
    return {
        f"key of day {key.day}": forms(key.key) | {key.key[:16], key.key[16:], key.key[::-1]}
        for key in keys
    }


def rows(folder: Path) -> bytes:
    """Return every row of every table of Waypost as text, partitions included."""

    async def dump(connection: "asyncpg.Connection[asyncpg.Record]") -> bytes:
        tables = await connection.fetch(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        assert len(tables) > 20
        dumped_rows = []
        for table in tables:
            query = f"SELECT t::text AS row FROM ONLY {table['name']} t"
            dumped_rows += [row["row"] for row in await connection.fetch(query)]
        return "\n".join(dumped_rows).encode()

    return on_connection(EmbeddedServers(folder).database_url, dump)


def pseudonyms(folder: Path) -> set[int]:
    async def read(connection: "asyncpg.Connection[asyncpg.Record]") -> set[int]:
        return {
            row["visitor"] for row in await connection.fetch("SELECT visitor FROM waypost.clicks")
        }

    return on_connection(EmbeddedServers(folder).database_url, read)


def search(content: bytes, secrets: dict[str, set[bytes]], place: str) -> None:
    for name, needles in secrets.items():
        for needle in needles:
            at = content.find(needle)
            assert at < 0, (
                f"{name} as {needle!r} in {place}: {content[max(0, at - 40) : at + 40]!r}"
            )


def search_files(folder: Path, secrets: dict[str, set[bytes]]) -> set[str]:
    """Search each file, equal contents once, without zeros at the end. Returns the kinds of files."""
    kinds, contents = set(), set()
    for file in [*folder.rglob("*"), *folder.parent.glob("*.log")]:
        if file.is_file():
            kinds.add(
                file.relative_to(folder.parent).parts[1 if file.is_relative_to(folder) else 0]
            )
            content = file.read_bytes().rstrip(b"\0")
            if content not in contents:
                search(content, secrets, str(file))
            contents.add(content)
    return kinds


def search_answers(engine: Engine, secrets: dict[str, set[bytes]]) -> None:
    with engine.api() as client:
        profile = client.get("/v1/profiles").json()["items"][0]["id"]
        for path in ("/metrics", "/readyz", f"/v1/profiles/{profile}/stats", "/v1/profiles"):
            search(client.get(path).content, secrets, path)
    search(engine.output().encode(), secrets, "the output")


def test_neither_addresses_nor_keys_are_written(folder: Path) -> None:
    wait_past_midnight(MIDNIGHT_MARGIN_S)
    hops = {"WAYPOST_TRUSTED_HOPS": "1"}
    first = Engine(folder, "--demo=links", "--edges", "2", **hops)
    key_store = open_key_store(folder)
    assert key_store is not None
    secrets = planted() | of_keys(key_store)
    try:
        visit(first)
        first.wait_committed()
        first_pseudonyms = pseudonyms(folder)
        assert len(first_pseudonyms) == len(ADDRESSES), "each visitor is one for both edges"
        search_answers(first, secrets)
        visit(first)
    finally:
        first.kill()  # with clicks in the journals and the stream
    searched = search_files(folder, secrets)
    assert searched >= {"postgres", "valkey", "logs", "journals", "data.log"}

    restarted = Engine(folder, "--edges", "2", **hops)
    try:
        visit(restarted)
        restarted.wait_committed()
        assert pseudonyms(folder) == first_pseudonyms, "a restart keeps the key"
        assert of_keys(key_store).items() <= secrets.items()
        search_answers(restarted, secrets)
        dumped = rows(folder)
        search(dumped, secrets, "the tables")
        assert AGENT.encode() in dumped, "what is kept by design is found, so the search works"
        assert str(next(iter(first_pseudonyms))).encode() in dumped
        assert restarted.stop() == 0
    finally:
        restarted.kill()
    after_the_day(folder, key_store, secrets, hops)


def kept_keys(store: TmpfsKeyStore) -> list[DailyKey]:
    return unpack_keys((store.folder / "keys").read_bytes()) or []


def after_the_day(
    folder: Path,
    key_store: TmpfsKeyStore,
    secrets: dict[str, set[bytes]],
    hops: dict[str, str],
) -> None:
    """Prove that after the day its key is gone, so that a visitor's old clicks cannot be found."""
    (old,) = kept_keys(key_store)
    assert len(old.key) == KEY_BYTES
    key_store.exchange([], time.time_ns() // 1000 + 2 * DAY_US)
    for file in key_store.folder.iterdir():
        search(file.read_bytes(), secrets, str(file))
    later = Engine(folder, **hops)
    try:
        eventually(lambda: kept_keys(key_store))  # an edge that is ready may not have made it yet
        assert not of_keys(key_store).keys() - {f"key of day {old.day}"}
        (new,) = kept_keys(key_store)
        assert new.key != old.key
        visit(later)
        later.wait_committed()
        assert len(pseudonyms(folder)) == 2 * len(ADDRESSES), "the same visitors are new ones"
        visitor = b"attributes of a visitor"
        new_pseudonym = Pseudonymiser(new.key).pseudonym(visitor)
        assert new_pseudonym != Pseudonymiser(old.key).pseudonym(visitor)
        search(rows(folder), secrets | of_keys(key_store), "the tables")
        assert later.stop() == 0
    finally:
        later.kill()
    search_files(folder, secrets | of_keys(key_store))
