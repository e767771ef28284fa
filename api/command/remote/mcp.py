"""`waypost mcp`: the command; api/command/remote/mcp_server.py has the tools."""

import os
from pathlib import Path

import click

from api.command.remote.links import DATA
from engine.common.errors import WaypostError
from engine.operations import settings


@click.command()
@click.option("--http", "port", type=click.IntRange(1, 65535), metavar="PORT",
              help="port for streamable HTTP at /mcp; default: standard input and output")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="address for --http")
@DATA
def mcp(port: int | None, host: str, folder: Path) -> None:
    """Serve tools for assistants (Model Context Protocol).

    They create, find, change and delete links and read stats, through the console's API. Over standard input
    and output they have the key of WAYPOST_API_KEY, or of the owner of the data folder; over HTTP each caller
    sends a key of its own: Authorization: Bearer KEY. Needs the extra waypost[mcp].
    """
    from api.command.remote.console import access, console

    try:
        from api.command.remote.mcp_server import serve_http, serve_stdio
    except ImportError as error:
        raise WaypostError(f"pip install 'waypost[mcp]' first: {error}") from None
    if port is None:
        with console(folder) as client:
            serve_stdio(client)
    else:
        url, _ = access(settings.read(os.environ), folder)
        serve_http(url, host, port)
