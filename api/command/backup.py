"""`waypost backup`: all that this engine has, at one moment, in one file, while it runs."""

import fcntl
import os
import sys
import zlib
from contextlib import ExitStack
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import trio
from rich.filesize import decimal

from actors.operations.runtime import Stop
from api.command.servers import finish
from api.command.step_display import StepDisplay
from engine.operations.backup import (
    FORMAT,
    OWNER,
    POSTGRES,
    BackupError,
    BackupJournal,
    Manifest,
    pack_picture,
    picture_stream,
    segment_stream,
)
from engine.operations.settings import Settings
from storage import migrations
from storage.assets.local_files import LocalAssetFiles
from storage.assets.stores import FOLDER
from storage.clicks.held_segments import NEW, HeldSegment, HeldSegments
from storage.embedded import EmbeddedServers, FolderInUseError, lock_folder
from storage.embedded.folder import layout
from storage.embedded.wheel import PostgresWheel, postgres_client
from storage.operations.backup_dump import dump
from storage.operations.backup_file import GZIP, BackupWriter
from storage.operations.backup_snapshot import BackupSnapshot

ATTEMPTS: Final = 10
MIN_FREE_BYTES: Final = 1024**3
STANDARD_OUTPUT: Final = Path("-")


class _Pictures(NamedTuple):
    """Pictures whose files are in the backup, None if these are in a bucket; and those that have none."""

    stored: int | None
    missing: int


class BackupFile:
    """The file to write, mode 0600. It gets its name when all of it is on the disk, or leaves nothing.

    Raises WaypostError. The path `-` is standard output.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path = path
        self._force = force
        self._unfinished = path.with_name(f"{path.name}.unfinished")
        self._file: BinaryIO | None = None
        self._must_leave = 0

    def __enter__(self) -> "BackupFile":
        if self.path == STANDARD_OUTPUT:
            if sys.stdout.isatty():
                raise BackupError(
                    "a backup is not written to a terminal: name a file, or use a pipe"
                )
            return self
        self._require_new()
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(self._unfinished, flags, 0o600), "wb")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is_at(self._unfinished):
                raise BlockingIOError  # another run has just given it its name
            # A run that was killed may have left it, with any content and mode.
            os.ftruncate(self._file.fileno(), 0)
            os.fchmod(self._file.fileno(), 0o600)
        except BlockingIOError:
            self._close()
            raise BackupError(f"another backup is being written to {self.path}") from None
        except OSError as error:
            self._close()
            raise self._failure(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._unfinished.unlink(missing_ok=True)
            self._close()

    def leave_room_for(self, folder: Path) -> None:
        """Stop before the disk is full if `folder` is on the same one: its engine could record no clicks."""
        if self._file is not None and folder.is_dir():
            same = os.fstat(self._file.fileno()).st_dev == folder.stat().st_dev
            self._must_leave = MIN_FREE_BYTES if same else 0
            self._require_room()

    def _require_room(self) -> None:
        if self._file is None or not self._must_leave:
            return
        disk = os.fstatvfs(self._file.fileno())
        if disk.f_bavail * disk.f_frsize < self._must_leave:
            raise BackupError(
                f"less than {decimal(self._must_leave)} are free on the disk of {self.path}, and the engine "
                "needs them for clicks: name a file on another disk"
            )

    def write(self, data: bytes, /) -> int:
        try:
            if self._file is None:
                return sys.stdout.buffer.write(data)
            self._require_room()
            return self._file.write(data)
        except OSError as error:
            raise self._failure(error) from None

    def finish(self) -> None:
        """Bring all to the disk, and give the file its name."""
        try:
            if self._file is None:
                sys.stdout.buffer.flush()
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            self._require_new()
            self._unfinished.replace(self.path)
            self._close()
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failure(error) from None

    def _require_new(self) -> None:
        if not self._force and self.path.exists():
            raise BackupError(f"{self.path} exists: name another file, or replace it with --force")
        if self.path.is_dir():
            raise BackupError(f"{self.path} is a folder: name a file")

    def _is_at(self, path: Path) -> bool:
        assert self._file is not None
        return path.exists() and os.path.samestat(path.stat(), os.fstat(self._file.fileno()))

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            # What could not be written is still in the buffer, and closing fails once more.
            try:
                file.close()
            except OSError:
                pass

    def _failure(self, error: OSError) -> BackupError:
        name = (
            "standard output" if self._file is None and self.path == STANDARD_OUTPUT else self.path
        )
        return BackupError(f"{name} cannot be written: {error.strerror}")


class Backup:
    """A backup of the servers of the settings, or of the folder's, and of the folder. A context manager.

    Entering starts the embedded servers if `up` does not run them.
    """

    def __init__(self, settings: Settings, folder: Path, file: BackupFile) -> None:
        self.settings = settings
        self._layout = layout(folder)
        self._file = file
        self._display = StepDisplay()
        self._stack = ExitStack()

    def __enter__(self) -> "Backup":
        try:
            self._stack.enter_context(self._file)
            self._file.leave_room_for(self._layout.folder)
            if not self.settings.database_url:
                self._use_embedded()
            self._stack.enter_context(self._display)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _use_embedded(self) -> None:
        folder = self._layout.folder
        if not self._layout.postgres.is_dir():
            raise BackupError(
                f"{folder} is no data folder of an engine: name it with --data, or set DATABASE_URL"
            )
        servers = EmbeddedServers(folder)
        try:
            self._stack.enter_context(lock_folder(folder))
            self._stack.enter_context(servers)
        except FolderInUseError:
            pass  # `up` runs there, and so do its servers
        self.settings = replace(
            self.settings, database_url=servers.database_url, redis_url=servers.redis_url
        )

    async def run(self, stop: Stop) -> str:
        """Write the backup. Returns a line about it. Raises WaypostError; then there is no file."""
        return _line(
            await finish(self._write, stop, "stopped before the end: no backup was written")
        )

    async def _write(self) -> Manifest:
        if missing := await migrations.pending(self.settings.sessions_url):
            raise BackupError(
                f"the database lacks {', '.join(missing)}: run `waypost migrate` first"
            )
        self._display.step("taking a snapshot")
        snapshot = await BackupSnapshot.open(self.settings.sessions_url)
        segments = HeldSegments(self._layout.journals)
        try:
            await self._take(snapshot, segments)
            return await self._write_snapshot(snapshot, segments.needed(snapshot.journals))
        finally:
            segments.close()
            with trio.CancelScope(shield=True):
                await snapshot.close()

    async def _take(self, snapshot: BackupSnapshot, segments: HeldSegments) -> None:
        segments.hold()
        for _ in range(ATTEMPTS):
            await snapshot.take()
            segments.hold()
            if not segments.unsure(snapshot.journals):
                return
        raise BackupError(f"journals came and went during each of {ATTEMPTS} snapshots: try again")

    async def _write_snapshot(
        self, snapshot: BackupSnapshot, segments: list[HeldSegment]
    ) -> Manifest:
        client = postgres_client(snapshot.server_version // 10_000)
        moment = f"{snapshot.moment:%Y-%m-%d %H:%M:%S} UTC"
        self._display.step(f"the backup is as of {moment}; counting rows")
        rows = await snapshot.count_rows()
        writer = BackupWriter(self._file, int(snapshot.moment.timestamp()))
        await self._write_owner(writer)
        await self._write_postgres(writer, snapshot, client)
        await self._write_journals(writer, segments)
        pictures = await self._write_pictures(writer, await snapshot.pictures())
        manifest = Manifest(
            format=FORMAT,
            waypost=version(),
            moment=snapshot.moment,
            postgres=snapshot.server_version,
            migrations=[(file.name, file.sha256) for file in migrations.migrations()],
            rows=rows,
            clicks=sum(count for table, count in rows.items() if table.startswith("clicks_")),
            journals=_journals(snapshot, segments),
            members=[],
            pictures=pictures.stored,
            missing_pictures=pictures.missing,
        )
        self._display.step("writing the manifest")
        await trio.to_thread.run_sync(writer.finish, manifest)
        await trio.to_thread.run_sync(self._file.finish)
        return manifest

    async def _write_owner(self, writer: BackupWriter) -> None:
        try:
            writer.add(OWNER, (self._layout.folder / OWNER).read_bytes())
        except FileNotFoundError:
            pass  # on another machine, or deleted by a careful operator
        except OSError as error:
            raise BackupError(
                f"{self._layout.folder / OWNER} cannot be read: {error.strerror}"
            ) from None

    async def _write_postgres(
        self, writer: BackupWriter, snapshot: BackupSnapshot, client: PostgresWheel
    ) -> None:
        self._display.step("copying Postgres")
        stream = writer.stream(POSTGRES)

        async def sink(data: bytes) -> None:
            await trio.to_thread.run_sync(stream.write, data)
            self._display.advance(len(data))

        await dump(client, self.settings.sessions_url, snapshot.id, sink)
        await trio.to_thread.run_sync(stream.close)

    async def _write_journals(self, writer: BackupWriter, segments: list[HeldSegment]) -> None:
        self._display.step("copying journals", sum(segment.end for segment in segments))
        for segment in segments:
            stream = writer.stream(segment_stream(segment.journal_id, segment.first))
            zipper = zlib.compressobj(1, zlib.DEFLATED, GZIP)
            for chunk in segment.chunks():
                stream.write(await trio.to_thread.run_sync(zipper.compress, chunk))
                self._display.advance(len(chunk))
            stream.write(zipper.flush())
            await trio.to_thread.run_sync(stream.close)

    async def _write_pictures(self, writer: BackupWriter, hashes: list[str]) -> _Pictures:
        """Copy the files of pictures, unless these are in a bucket."""
        if self.settings.storage_url:
            return _Pictures(None, 0)
        self._display.step("copying pictures")
        files, missing = LocalAssetFiles(self._layout.folder / FOLDER), 0
        for hash_ in hashes:
            of_picture = await files.read_all(hash_)
            if not of_picture:
                missing += 1
                continue
            stream, data = writer.stream(picture_stream(hash_)), pack_picture(of_picture)
            await trio.to_thread.run_sync(stream.write, data)
            await trio.to_thread.run_sync(stream.close)
            self._display.advance(len(data))
        return _Pictures(len(hashes) - missing, missing)


def _line(manifest: Manifest) -> str:
    segments = sum(journal.kept for journal in manifest.journals)
    pictures = "no files of pictures, which are in the bucket of WAYPOST_STORAGE_URL"
    if manifest.pictures is not None:
        pictures = f"{manifest.pictures:,} pictures"
    if manifest.missing_pictures:
        pictures += f" ({manifest.missing_pictures:,} more have no files in this folder)"
    return (
        f"backed up what was counted until {manifest.moment:%Y-%m-%d %H:%M:%S} UTC "
        f"({manifest.clicks:,} raw clicks and views), {segments} segments of journals, and {pictures}"
    )


def _journals(snapshot: BackupSnapshot, segments: list[HeldSegment]) -> list[BackupJournal]:
    kept = [segment.journal_id for segment in segments]
    live = {id_ for id_, state in snapshot.journals.items() if not state.retired} | set(kept)
    states = {id_: snapshot.journals.get(id_, NEW) for id_ in sorted(live)}
    return [
        BackupJournal(
            id=id_,
            folded=state.folded,
            kept=kept.count(id_),
        )
        for id_, state in states.items()
    ]


def version() -> str:
    """Return the version of the installed package."""
    try:
        return metadata.version("waypost")
    except metadata.PackageNotFoundError:
        return "unknown"
