"""Shared parts of the operator's commands: the servers' URLs, and the end at a stop."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import trio

from actors.operations.runtime import Stop
from engine.common.errors import StoppedError, UnavailableError, WaypostError
from engine.operations.settings import Settings
from storage.embedded import EmbeddedServers, FolderInUseError, lock_folder
from storage.operations.inspection import migrations_pending
from storage.operations.rights import require_rights

T = TypeVar("T")


def with_servers(settings: Settings, folder: Path) -> Settings:
    """Return the settings with the URLs of the servers: those set already, or those of a running `up`.

    Raises WaypostError if there are none.
    """
    if settings.database_url:
        return settings
    if folder.is_dir():
        try:
            lock_folder(folder).close()
        except FolderInUseError:
            servers = EmbeddedServers(folder)
            return replace(settings, database_url=servers.database_url, redis_url=servers.redis_url)
    raise WaypostError(
        f"nothing runs on {folder}: start `waypost up`, name its folder with --data, or set DATABASE_URL"
    )


async def finish(work: Callable[[], Awaitable[T]], stop: Stop, if_stopped: str) -> T:
    """Return the result of `work`.

    Raises its error as it is, StoppedError with the line `if_stopped` if `stop` was requested before.
    """
    results: list[T] = []
    errors: list[Exception] = []

    async def run() -> None:
        try:
            results.append(await work())
        except Exception as error:  # a nursery would wrap it in a group, which no `except` names
            errors.append(error)

    await run_until_stopped(run, stop)
    for error in errors:
        raise error
    if not results:
        raise StoppedError(if_stopped)
    return results[0]


async def prepared_servers(settings: Settings, folder: Path, *roles: str) -> Settings:
    """Do as with_servers(), once the schema is up to date and these roles have their rights.

    A role without BYPASSRLS would find no profile and no job. Raises WaypostError.
    """
    settings = with_servers(settings, folder)
    if await migrations_pending(settings.database_url):
        raise UnavailableError("the schema is not up to date: run `waypost migrate`")
    await require_rights(settings.database_url, roles)
    return settings


async def run_until_stopped(work: Callable[[], Awaitable[None]], stop: Stop) -> None:
    """Run `work` to its end, or cancel it when `stop` is requested."""

    async def run() -> None:
        await work()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await stop.wait()
        nursery.cancel_scope.cancel()
