"""The owner: made on the first start, with credentials in a file that only its user can read."""

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
    """What DIR/owner.json holds."""

    email: str
    password: str
    api_key: str
    visitors_url: str
    console_url: str


async def ensure(database: Database, settings: Settings, folder: Path) -> None:
    """Make the owner if the database has none, and bring the file's URLs up to date.

    Only digests are in the database, so a file that was lost cannot be written again.
    """
    path = folder / FILE
    made = await ensure_owner(database, EMAIL)
    if made is not None:
        content = OwnerFile(
            email=made.email,
            password=made.password,
            api_key=made.api_key,
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
    """Whole or not at all, mode 0600 from its first byte."""
    draft = path.with_suffix(".new")
    try:
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        raise WaypostError(f"{path} cannot be written: {error.strerror}") from None
