"""`waypost reset-password`: a page that sets an account's password, for operators of engines without mail."""

from pathlib import Path

import msgspec
import trio

from api.command.servers import prepared_servers
from api.processes import owner
from engine.common.errors import NotFoundError
from engine.operations.settings import Settings
from storage.accounts.recovery import issue_reset_token
from storage.postgres.database import Database


async def reset_page(settings: Settings, folder: Path, email: str) -> str:
    """Return the URL of a page that sets the password of an account, once, for an hour.

    Raises NotFoundError for an address without an account, WaypostError when no server runs.
    """
    settings = await prepared_servers(settings, folder, "waypost_app")
    database = await Database.open(
        settings.database_url,
        role="waypost_app",
        size=1,
        query_timeout_ms=settings.query_timeout_ms,
    )
    try:
        issued = await issue_reset_token(database, email)
    finally:
        with trio.CancelScope(shield=True):
            await database.close()
    if issued is None:
        raise NotFoundError("there is no account with this address")
    return f"{_console_url(settings, folder).rstrip('/')}/reset#{issued.token}"


def _console_url(settings: Settings, folder: Path) -> str:
    """Return the console's URL: the setting, that of the engine that runs on the folder, or the default."""
    if settings.console_url:
        return settings.console_url
    try:
        content = (folder / owner.FILE).read_bytes()
        return msgspec.json.decode(content, type=owner.OwnerFile).console_url
    except (OSError, msgspec.MsgspecError):
        return owner.with_urls(settings).console_url
