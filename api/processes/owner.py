"""Owner of a new engine, created at the first start, with credentials in a file only for its user.

The database has only digests, so credentials that no file holds are lost. So the file is written first, as
`owner.json.pending`, then the owner is committed, then the file gets its name. A crash in between leaves the
pending file, and the next run asks the database whether its key is known: it keeps the file, or deletes it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.accounts.recovery import GENERATED_EMAIL
from engine.common.errors import WaypostError
from engine.operations.settings import Settings
from storage.accounts.keys import OwnerCredentials, PostgresApiKeyStore, ensure_owner
from storage.file_system import DiskFileSystem, FileLock
from storage.postgres.database import Database

FILE: Final = "owner.json"
PENDING: Final = "owner.json.pending"
LOCK: Final = "owner.lock"
LOCK_WAIT_S: Final = 20.0


class OwnerFile(msgspec.Struct):
    """Content of DIR/owner.json."""

    email: str
    password: str
    api_key: str
    visitors_url: str
    console_url: str


async def create(database: Database, settings: Settings, folder: Path) -> bool:
    """Create the owner if the database has none. Returns whether it did. Raises WaypostError.

    Of machines that do so at once, one gets the file.
    """

    def keep(credentials: OwnerCredentials) -> None:
        content = OwnerFile(
            email=credentials.email,
            password=credentials.password,
            api_key=credentials.api_key,
            visitors_url=settings.visitors_url,
            console_url=settings.console_url,
        )
        _write(folder / PENDING, content)

    _make_folder(folder)
    async with _locked(folder):
        settled = await _settle(database, folder)
        created = await ensure_owner(database, GENERATED_EMAIL, keep=keep)
        if created is not None:
            _name(folder)
    return settled or created is not None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WaypostError(f"{folder} cannot be made: {error.strerror}") from None


async def _settle(database: Database, folder: Path) -> bool:
    """Keep the file of a run that crashed if the database has its owner, else delete it. Returns whether the
    file was kept."""
    pending = folder / PENDING
    if not pending.exists():
        return False
    try:
        content = msgspec.json.decode(pending.read_bytes(), type=OwnerFile)
    except (OSError, msgspec.MsgspecError):
        content = None  # the crash was during its write, before the commit
    known = content and await PostgresApiKeyStore(database).authenticate(content.api_key)
    if known is not None and content is not None:
        _name(folder)
        return True
    pending.unlink()
    return False


@asynccontextmanager
async def _locked(folder: Path) -> AsyncIterator[None]:
    """Keep others from this folder's files meanwhile: the pending file of a live run is not one of a crash."""
    lock = FileLock(folder / LOCK)
    try:
        with trio.fail_after(LOCK_WAIT_S):
            while not lock.acquire():  # noqa: ASYNC110  # another process
                await trio.sleep(0.05)
    except trio.TooSlowError:
        raise WaypostError(f"another process creates the owner in {folder}; try again") from None
    except OSError as error:
        raise WaypostError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def with_urls(settings: Settings) -> Settings:
    """Return the settings with the URLs that a machine with both roles and no other settings would have."""
    return replace(
        settings,
        visitors_url=settings.visitors_url
        or f"http://{settings.visitors_host}:{settings.visitors_port}",
        console_url=settings.console_url
        or f"http://{settings.console_host}:{settings.console_port}",
    )


def read(folder: Path) -> OwnerFile | None:
    """Return the content of the file, None if there is none. Raises WaypostError."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=OwnerFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise WaypostError(f"{path} cannot be read: {error}") from None


def refresh_urls(settings: Settings, folder: Path) -> None:
    """Bring the URLs in the file up to date, if there is one. Raises WaypostError."""
    content = read(folder)
    if content is None:
        return
    content.visitors_url = settings.visitors_url
    # A machine without the console does not know its URL.
    content.console_url = settings.console_url or content.console_url
    _write(folder / FILE, content)


def _name(folder: Path) -> None:
    """Give the pending file its name, durably. Raises WaypostError."""
    try:
        (folder / PENDING).rename(folder / FILE)
        DiskFileSystem().sync_folder(folder)
    except OSError as error:
        raise WaypostError(f"{folder / FILE} cannot be written: {error.strerror}") from None


def _write(path: Path, content: OwnerFile) -> None:
    """Write the file atomically and durably, with mode 0600 from its first byte. Raises WaypostError."""
    unfinished = path.with_name(f"{path.name}.new")
    data = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        DiskFileSystem().sync_folder(path.parent)
    except OSError as error:
        raise WaypostError(f"{path} cannot be written: {error.strerror}") from None
