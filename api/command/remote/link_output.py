"""Links as the command line prints them."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.text import Text

from api.command.display.table import table_lines
from api.command.display.top import one_line
from waypost_client import Link

_COLUMNS: Final = ("address", "state", "created", "title", "target")


def show_link(link: Link, *, as_json: bool) -> None:
    """Print the link's address, and the warnings about it on standard error."""
    if as_json:
        click.echo(_json(link))
        return
    click.echo(link.address)
    for warning in link.warnings:
        field, reason = (one_line(warning.get(name, "")) for name in ("field", "reason"))
        click.echo(f"note: {field} {reason}", err=True)


def show_links(links: Sequence[Link], *, as_json: bool) -> None:
    """Print the links: a table on a terminal, else a line per link, as JSON or tab-separated columns."""
    if as_json:
        for link in links:
            click.echo(_json(link))
        return
    now = datetime.now(UTC)
    rows = [_cells(link, now) for link in links]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    console = Console()
    for line in table_lines(_COLUMNS, rows, console.width):
        style = "bold" if line.row is None else ""
        console.print(Text(line.text, style), soft_wrap=True)


def _cells(link: Link, now: datetime) -> tuple[str, ...]:
    created = f"{link.created_at:%Y-%m-%d}"
    return link.address, _state(link, now), created, one_line(link.title), one_line(link.target)


def _state(link: Link, now: datetime) -> str:
    if link.paused:
        return "paused"
    if link.active_until is not None and link.active_until <= now:
        return "over"
    if link.active_from is not None and link.active_from > now:
        return "scheduled"
    return "quarantined" if link.quarantined or link.engine_quarantine else "active"


def _json(link: Link) -> str:
    return msgspec.json.encode(link).decode()
