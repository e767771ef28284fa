"""`waypost restore`: a backup into an empty folder, or into empty servers."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import click
import trio

from actors.operations.runtime import Stop
from api.command.servers import finish
from api.command.step_display import StepDisplay
from engine.operations.backup import (
    MAX_PICTURE_BYTES,
    POSTGRES,
    BackupError,
    BackupJournal,
    Manifest,
    picture_of,
    require_same_schema,
    unpack_picture,
)
from engine.operations.settings import Settings
from storage import migrations
from storage.assets.stores import asset_files
from storage.clicks.recovery import OrphanReader
from storage.embedded import EmbeddedServers, lock_folder
from storage.embedded.folder import layout
from storage.embedded.wheel import postgres_client
from storage.operations.backup_dump import SchemaDump, load
from storage.operations.backup_file import BackupReader
from storage.operations.restore_folder import RestoreFolder
from storage.operations.restore_servers import (
    require_empty_database,
    require_empty_redis,
    target_database,
)

READ_BYTES: Final = 256 * 1024


class UncountedClicks(NamedTuple):
    """Clicks and views in the restored journals that raw rows do not have, and those that cannot be read."""

    clicks: int
    lost: int


class RestoreResult(NamedTuple):
    """The manifest of what was restored, and the clicks in its journals that are not counted yet."""

    manifest: Manifest
    uncounted: UncountedClicks


class Restore:
    """A restore of the backup `file`. A context manager: entering refuses all that can be refused without a
    server, and starts the embedded servers unless the settings name others."""

    def __init__(self, settings: Settings, folder: Path, file: Path) -> None:
        self.settings = settings
        self._file = file
        self._folder = RestoreFolder(folder)
        self._journals = layout(folder).journals
        self._embedded = not settings.database_url
        self._display = StepDisplay()
        self._stack = ExitStack()
        self._finished = False

    def __enter__(self) -> "Restore":
        try:
            self._stack.enter_context(self._display)
            self._open()
            self._lock()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        """Read the whole file, and compare it with this engine."""
        try:
            file = self._stack.enter_context(self._file.open("rb"))
            self._backup = BackupReader(file)
            self._display.step(f"checking {self._file}", self._file.stat().st_size)
            self.manifest = self._backup.verify(self._display.reach)
            require_same_schema(
                self.manifest, [(file.name, file.sha256) for file in migrations.migrations()]
            )
        except OSError as error:
            raise BackupError(f"{self._file} cannot be read: {error.strerror}") from None
        except BackupError as error:
            raise BackupError(f"{self._file} cannot be restored: {error}") from None

    def _lock(self) -> None:
        """Take the folder. Start servers in it unless the settings name others."""
        try:
            self._folder.require_empty()
            self._stack.enter_context(lock_folder(self._folder.folder, for_restore=True))
            self._folder.require_empty()
            if self._embedded:
                self._begin()
        except OSError as error:
            raise self._unwritable(error) from None
        if self._embedded:
            servers = EmbeddedServers(self._folder.folder)
            self._stack.enter_context(servers)
            self.settings = replace(
                self.settings, database_url=servers.database_url, redis_url=servers.redis_url
            )

    def _begin(self) -> None:
        self._folder.begin(self._backup.manifest_sha256)
        # When the servers have stopped, and before the lock is released.
        self._stack.callback(self._abandon)

    def _abandon(self) -> None:
        """Leave the folder as empty as it was, unless all is in it."""
        if not self._finished:
            with suppress(OSError):
                self._folder.clear()

    def _unwritable(self, error: OSError) -> BackupError:
        return BackupError(f"{self._folder.folder} cannot be written: {error.strerror}")

    async def run(self, stop: Stop) -> RestoreResult:
        """Restore. Raises WaypostError; the folder and the servers are then as empty as before."""
        try:
            return await finish(self._restore, stop, "stopped before the end: nothing was restored")
        except OSError as error:
            raise self._unwritable(error) from None

    async def _restore(self) -> RestoreResult:
        comment = f"restored from the backup {self._backup.manifest_sha256}"
        target = await target_database(self.settings.sessions_url)
        if target.server_version // 10_000 < self.manifest.postgres // 10_000:
            raise BackupError(
                f"the backup is of Postgres {self.manifest.postgres // 10_000}, and the server is Postgres "
                f"{target.server_version // 10_000}: restore into the same version or a later one"
            )
        if target.comment == comment and self._folder.marked() == self._backup.manifest_sha256:
            # An earlier restore was killed behind its commit, which is its last step but the mark.
            self._folder.finish()
        else:
            await self._fill(target.server_version, comment)
        self._finished = True
        self._display.step("reading the journals")
        return RestoreResult(self.manifest, await trio.to_thread.run_sync(self._uncounted))

    async def _fill(self, server_version: int, comment: str) -> None:
        database_url = self.settings.sessions_url
        if not self._embedded:
            await require_empty_database(database_url)
            await require_empty_redis(self.settings.redis_url)
            self._begin()
        self._display.step("writing journals and pictures")
        files = asset_files(self.settings.storage_url, self._folder.folder)
        for stream in self._backup.streams():
            if (hash_ := picture_of(stream)) is not None:
                await files.write(hash_, await trio.to_thread.run_sync(self._picture, stream))
            elif stream != POSTGRES:
                await trio.to_thread.run_sync(self._folder.write, self._backup, stream)
        self._display.step("loading Postgres")
        # It makes the roles, which belong to the cluster; the schema is replaced.
        await migrations.migrate(database_url)
        schema = SchemaDump(self._sql(), self.manifest.rows, comment)
        await load(postgres_client(server_version // 10_000), database_url, server_version, schema)
        self._folder.finish()

    def _picture(self, stream: str) -> dict[str, bytes]:
        data = bytearray()
        for part in self._backup.parts(stream):
            data += part
            if len(data) > MAX_PICTURE_BYTES:
                raise BackupError(f"its stream {stream} is larger than any picture")
        self._display.advance(len(data))
        return unpack_picture(bytes(data))

    def _sql(self) -> Iterator[bytes]:
        for chunk in self._backup.unzipped(POSTGRES):
            self._display.advance(len(chunk))
            yield chunk

    def _uncounted(self) -> UncountedClicks:
        """Read the restored journals as an edge will, and count what is above the watermarks."""
        clicks = lost = 0
        for journal in self.manifest.journals:
            if journal.kept:
                more, damaged = uncounted(self._journals / journal.id.hex, journal)
                clicks += more
                lost += damaged
        return UncountedClicks(clicks, lost)


def uncounted(folder: Path, journal: BackupJournal) -> UncountedClicks:
    """Return what a journal's folder has above the watermarks. Raises OSError."""
    reader = OrphanReader(folder)
    if not reader.adopt():
        raise BackupError(f"the journal {folder} is in use")
    clicks, after = 0, journal.folded
    while (batch := reader.read(after, READ_BYTES)) is not None:
        if batch.payload:
            clicks += max(0, batch.last - max(batch.first - 1, journal.folded))
        after = batch.last
    lost = reader.dropped_clicks
    reader.close(remove=False)
    return UncountedClicks(clicks, lost)


def show(result: RestoreResult, folder: Path, now: datetime) -> None:
    """Print what was restored, and what is older than the backup or comes again."""
    manifest, uncounted = result
    elsewhere = sum(not journal.kept for journal in manifest.journals)
    click.echo(
        f"restored the state of {manifest.moment:%Y-%m-%d %H:%M:%S} UTC, {_age(now - manifest.moment)} ago"
    )
    rows = [
        ("counted", f"{manifest.clicks:,} raw clicks and views"),
        (
            "not yet",
            f"{uncounted.clicks:,} more are in journals; the first `waypost up` counts them",
        ),
        ("lost", "all that happened since, but for journals that other folders still have"),
        ("again", "events that waited then are sent to webhooks again, and jobs run again"),
        ("erased", "profiles that were erased since then are back: erase them again"),
        (
            "revoked",
            "keys, sessions, members and secrets that were removed since then are valid: remove them again",
        ),
    ]
    if manifest.pictures is None:
        text = (
            "files of pictures are in the bucket of WAYPOST_STORAGE_URL, and are not in the backup"
        )
        rows.append(("pictures", text))
    elif manifest.missing_pictures:
        text = (
            f"{manifest.missing_pictures:,} had no files in the folder: visitors get 404 for them"
        )
        rows.append(("pictures", text))
    if uncounted.lost:
        rows.append(("damaged", f"{uncounted.lost:,} clicks of the journals could not be read"))
    if elsewhere:
        text = f"{elsewhere:,} journals, of other machines or counted whole, are not in the backup"
        rows.append(
            ("elsewhere", f"{text}: those machines ship the rest once they use these servers")
        )
    for subject, text in rows:
        click.echo(f"  {subject:<9} {text}")
    click.echo(
        f"start it with `waypost up --data {folder}`; the original must use neither folder nor servers"
    )


def _age(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds())) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min"
