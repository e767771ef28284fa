"""A small engine's database and folder to back up, and what must be the same after a restore."""

from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import msgspec

from actors.operations.runtime import Stop
from api.command.backup import Backup, BackupFile
from api.command.restore import Restore, RestoreResult
from engine.clicks.batch import Batch
from engine.clicks.journal_format import encode_record
from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from engine.operations.backup import Manifest
from engine.operations.settings import Settings
from storage.accounts.keys import ensure_owner
from storage.clicks.journal import Journal
from storage.clicks.ledger import PostgresClickLedger
from storage.links.profiles import PostgresProfileStore
from storage.operations.backup_file import BackupReader
from tests.conftest import on_connection
from tests.kit.hosted import hosted_run
from tests.kit.shipped_batches import click
from tests.kit.stores import FAST, opened

RECORDED: Final = 60
FOLDED: Final = 40
MIB: Final = 1024 * 1024


class BackedUp(NamedTuple):
    """An engine's database and folder: FOLDED clicks are in raw rows, RECORDED in a journal that is still
    written. `api_key` is the owner's, and in owner.json."""

    database_url: str
    folder: Path
    journal: Journal
    api_key: str

    def record(self, count: int) -> None:
        first = self.journal.appended + 1
        clicks = [click(link_id=n) for n in range(first, first + count)]
        assert self.journal.append([encode_record(one_click) for one_click in clicks])


def fill(database_url: str, folder: Path) -> BackedUp:
    """Make one. The journal's segments take 2 MiB each."""
    folder.mkdir()
    journal = Journal(folder / "journals", segment_bytes=2 * MIB, max_bytes=64 * MIB, sync_ms=100)
    journal.open()

    async def work() -> BackedUp:
        async with opened(database_url) as open_role:
            app = await open_role("waypost_app")
            owner = await ensure_owner(app, "owner@example.com", FAST)
            assert owner is not None
            content = {"email": owner.email, "password": owner.password, "api_key": owner.api_key}
            (folder / "owner.json").write_bytes(msgspec.json.encode(content))
            profiles = PostgresProfileStore(app)
            for handle in ("one", "two"):
                profile = await profiles.create_profile(owner.caller, ProfileDraft(handle=handle))
                # Texts that COPY and JSON escape.
                draft = LinkDraft(slug="ä", target="https://example.com/", title='"\\N \t$$ü😀\\.')
                await profiles.create_link(owner.caller, profile.id, draft)
            engine = BackedUp(database_url, folder, journal, owner.api_key)
            await PostgresClickLedger(await open_role("waypost_edge")).register(journal.id)
            ledger = PostgresClickLedger(await open_role("waypost_aggregator"))
            engine.record(FOLDED)
            await journal.sync()
            await fold(ledger, journal, FOLDED)
            engine.record(RECORDED - FOLDED)
            await journal.sync()
            return engine

    return hosted_run(work)


async def fold(ledger: PostgresClickLedger, journal: Journal, last: int) -> None:
    """Commit the journal's synced clicks to raw rows: `last` is the last of them."""
    (lease,) = [held for held in await ledger.lease("w", 10, 10.0) if held.journal_id == journal.id]
    while lease.folded < last:
        batch = journal.read(lease.folded, 1)
        assert batch is not None
        lease = await ledger.commit(lease, [Batch(*batch)])
    await ledger.release("w")


def settings(database_url: str = "", redis_url: str = "") -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url)


def back_up(engine: BackedUp, file: Path, *, force: bool = False) -> Manifest:
    """Back up with `waypost backup`'s own code. Returns the manifest, read from the file."""
    target = BackupFile(file, force=force)
    with Backup(settings(engine.database_url, "redis://127.0.0.1:1"), engine.folder, target) as run:
        hosted_run(lambda: run.run(Stop()))
    return manifest_of(file)


def restore(config: Settings, folder: Path, file: Path) -> RestoreResult:
    with Restore(config, folder, file) as run:
        return hosted_run(lambda: run.run(Stop()))


def manifest_of(file: Path) -> Manifest:
    with file.open("rb") as content:
        return BackupReader(content).verify()


def contents(database_url: str) -> dict[str, list[str]]:
    """Return all rows of all tables as text, without the transaction ids, which belong to a cluster."""

    async def read(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, list[str]]:
        names = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'waypost'::regnamespace AND relkind = 'r'"
        )
        tables = {}
        for (name,) in names:
            row = "(to_jsonb(t) - 'xid')::text"
            query = f"SELECT {row} FROM waypost.{name} AS t ORDER BY 1"
            tables[name] = [record[0] for record in await connection.fetch(query)]
        return tables

    return on_connection(database_url, read)
