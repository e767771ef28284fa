"""`waypost jobs`: jobs of all tenants and of the engine, for the operator."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec
import trio
from rich.console import Console
from rich.text import Text

from api.command.display.table import table_lines
from api.command.display.top import one_line
from api.command.servers import prepared_servers
from engine.common.json_forms import time_text, with_text_ids
from engine.jobs.job import SYSTEM_TENANT, Job, JobFilter
from engine.operations.settings import Settings
from storage.jobs.jobs import PostgresJobStore
from storage.postgres.database import Database

T = TypeVar("T")
_COLOURS: Final = {
    "queued": "cyan", "running": "yellow", "succeeded": "green", "dead": "red", "cancelled": "dim",
}  # fmt: skip


async def with_jobs(
    settings: Settings, folder: Path, work: Callable[[PostgresJobStore], Awaitable[T]]
) -> T:
    """Run `work` on the jobs of all tenants. Returns its result. Raises WaypostError when no server runs."""
    settings = await prepared_servers(settings, folder, "waypost_aggregator")
    database = await Database.open(
        settings.database_url,
        role="waypost_aggregator",
        size=1,
        query_timeout_ms=settings.query_timeout_ms,
    )
    try:
        return await work(PostgresJobStore(database))
    finally:
        with trio.CancelScope(shield=True):
            await database.close()


async def list_jobs(jobs: PostgresJobStore, job_filter: JobFilter, limit: int) -> list[Job]:
    page = await jobs.list_jobs(None, job_filter, 0, limit)
    return list(page.items)


def show_list(jobs: list[Job], *, as_json: bool) -> None:
    """Print the jobs: a table on a terminal, else a line per job, as JSON or tab-separated columns."""
    if as_json:
        for job in jobs:
            click.echo(_json(job))
    elif sys.stdout.isatty():
        console = Console()
        for line in table_lines(_COLUMNS, [_cells(job) for job in jobs], console.width):
            style = "bold" if line.row is None else _COLOURS[jobs[line.row].state]
            console.print(Text(line.text, style), soft_wrap=True)
    else:
        for job in jobs:
            click.echo("\t".join(_cells(job)))


def show(job: Job, *, as_json: bool) -> None:
    """Print all fields of one job."""
    if as_json:
        click.echo(_json(job))
        return
    for name, value in asdict(job).items():
        click.echo(f"{name:<17}{_printed(value)}")


_COLUMNS: Final = ("id", "tenant", "kind", "state", "attempt", "failures", "run at", "last error")


def _cells(job: Job) -> tuple[str, ...]:
    tenant = "–" if job.tenant_id == SYSTEM_TENANT else str(job.tenant_id)
    numbers = str(job.attempt), f"{job.failures}/{job.max_attempts}"
    return (
        str(job.id),
        tenant,
        job.kind,
        job.state,
        *numbers,
        _printed(job.run_at),
        _printed(job.last_error),
    )


def _printed(value: object) -> str:
    if isinstance(value, datetime):
        return time_text(value.astimezone(UTC).replace(microsecond=0))
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return one_line("" if value is None else str(value))


def _json(job: Job) -> str:
    return msgspec.json.encode(with_text_ids(asdict(job))).decode()
