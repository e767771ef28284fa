"""Owner of a new engine, created at the first start, with credentials in a file only for its user."""

import os
from pathlib import Path
from typing import Final

import msgspec

from engine.common.errors import WaypostError
from engine.operations.settings import Settings
from storage.accounts.keys import ensure_owner
from storage.postgres.database import Database

FILE: Final = "owner.json"
EMAIL: Final = "owner@localhost"


class OwnerFile(msgspec.Struct):
    """Content of DIR/owner.json."""

    email: str
    password: str
    api_key: str
    visitors_url: str
    console_url: str


async def ensure(database: Database, settings: Settings, folder: Path) -> None:
    """Create the owner if the database has none, and bring the file's URLs up to date.

    The database has only digests, so a lost file cannot be written again. Raises WaypostError.
    """
    path = folder / FILE
    credentials = await ensure_owner(database, EMAIL)
    if credentials is not None:
        content = OwnerFile(
            email=credentials.email,
            password=credentials.password,
            api_key=credentials.api_key,
            visitors_url=settings.visitors_url,
            console_url=settings.console_url,
        )
    elif path.exists():
        try:
            content = msgspec.json.decode(path.read_bytes(), type=OwnerFile)
        except (OSError, msgspec.MsgspecError) as error:
            raise WaypostError(f"{path} cannot be read: {error}") from None
        content.visitors_url = settings.visitors_url
        content.console_url = settings.console_url
    else:
        return
    write(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def write(path: Path, data: bytes) -> None:
    """Write the file atomically, with mode 0600 from its first byte. Raises WaypostError."""
    unfinished = path.with_suffix(".new")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError as error:
        raise WaypostError(f"{path} cannot be written: {error.strerror}") from None
