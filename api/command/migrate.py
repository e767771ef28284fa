"""`waypost migrate`: the schema, the roles' rights, and the first account."""

from pathlib import Path

import click
import trio

from api.processes import owner
from engine.operations.settings import Settings
from storage.accounts.keys import first_owner
from storage.migrations import migrate as apply_migrations
from storage.operations.rights import require_rights
from storage.postgres.database import Database


async def migrate(settings: Settings, folder: Path | None) -> None:
    """Apply the missing migrations, check the rights, and create the first account in `folder`, if given.

    Raises WaypostError.
    """
    for name in await apply_migrations(settings.sessions_url):
        click.echo(f"applied {name}")
    await require_rights(settings.database_url)
    database = await Database.open(
        settings.database_url,
        role="waypost_app",
        size=1,
        query_timeout_ms=settings.query_timeout_ms,
    )
    try:
        if folder is not None and await owner.create(database, owner.with_urls(settings), folder):
            click.echo(f"the owner's password and API key are in {folder / owner.FILE}")
        elif await first_owner(database) is None:
            click.echo(
                "there is no account yet: the first `waypost serve` with the console creates it, or "
                "`waypost migrate --data DIR`"
            )
    finally:
        with trio.CancelScope(shield=True):
            await database.close()
    click.echo("the schema is up to date")
