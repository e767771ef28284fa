"""`waypost mcp`: tools for assistants over the Model Context Protocol, which call the console's API."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import msgspec
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from api.command.remote.console import profile_of
from api.command.remote.link_search import link_of
from engine.common.errors import WaypostError
from waypost_client import Link, LinkFields, Stats, WaypostClient, WaypostClientError

MAX_FOUND: Final = 100
INSTRUCTIONS: Final = (
    "Waypost makes short links and counts their clicks. A link is named by its slug, HANDLE/SLUG, the address "
    "that visitors use, or its id. Profiles are named by their handle; without one, the oldest is used."
)
READS: Final = ToolAnnotations(read_only_hint=True)
DELETES: Final = ToolAnnotations(destructive_hint=True, idempotent_hint=False)
CHANGES: Final = ToolAnnotations(destructive_hint=False)

Clients = Callable[[Context], Any]
# Fields that are arguments of the tools.
_ARGUMENTS: Final = frozenset({"slug", "title", "tags"})
_OPTIONS: Final = sorted(LinkFields.__optional_keys__ - _ARGUMENTS)


@contextmanager
def _client_of_caller(console_url: str, context: Context) -> Iterator[WaypostClient]:
    """Yield a client with the API key that the HTTP caller sends. Raises ToolError without one."""
    scheme, _, key = (context.headers or {}).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ToolError("send an API key of Waypost: Authorization: Bearer KEY")
    with WaypostClient(console_url, key.strip()) as client:
        yield client


@contextmanager
def _one_client(client: WaypostClient, context: Context) -> Iterator[WaypostClient]:
    yield client


class LinkTools:
    """Tools over the API. `clients` yields the client for one call."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def add_to(self, server: MCPServer) -> None:
        server.add_tool(self.create_link, annotations=CHANGES)
        server.add_tool(self.find_links, annotations=READS)
        server.add_tool(self.update_link, annotations=CHANGES)
        server.add_tool(self.delete_link, annotations=DELETES)
        server.add_tool(self.link_stats, annotations=READS)

    def create_link(
        self,
        context: Context,
        target: str,
        slug: str | None = None,
        title: str = "",
        tags: list[str] | None = None,
        profile: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Create a short link to `target`, a URL. Without a slug it gets a short one. `options` has further
        fields as the API names them, such as active_until, click_limit, password, rules or utm."""
        with self._call(context) as client:
            profile_id = None
            if profile is not None and (chosen := profile_of(client, profile)) is not None:
                profile_id = chosen.id
            fields = _with_options({"slug": slug, "title": title, "tags": tags or []}, options)
            link = client.create_link(target, profile_id, **fields)
        return _plain(link)

    def find_links(
        self,
        context: Context,
        text: str = "",
        tag: str = "",
        profile: str | None = None,
        limit: int = 20,
    ) -> dict[str, Any]:
        """Find links by a text in their slug, title, target, notes or external id, and by a tag. The newest
        come first, at most 100; with neither text nor tag, all are listed."""
        filters = (
            {"sort": "-created"} | ({"q": text} if text else {}) | ({"tag": tag} if tag else {})
        )
        links: list[dict[str, Any]] = []
        with self._call(context) as client:
            chosen = profile_of(client, profile)
            for each in client.profiles() if chosen is None else [chosen]:
                for link in client.links(each.id, **filters):
                    if len(links) == max(1, min(limit, MAX_FOUND)):
                        return {"links": links, "more": True}
                    links.append(_plain(link))
        return {"links": links, "more": False}

    def update_link(
        self,
        context: Context,
        link: str,
        target: str | None = None,
        slug: str | None = None,
        title: str | None = None,
        tags: list[str] | None = None,
        options: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Change the fields of a link that are given; the others stay as they are. `options` has further ones
        as the API names them, such as paused, notes, active_until, click_limit, password or rules; null takes
        one back."""
        named = {"slug": slug, "title": title, "tags": tags}
        given = {name: value for name, value in named.items() if value is not None}
        with self._call(context) as client:
            fields = _with_options(given, options)
            changed = client.update_link(link_of(client, link, None).id, target=target, **fields)
        return _plain(changed)

    def delete_link(self, context: Context, link: str) -> dict[str, Any]:
        """Delete a link. Visitors then get 404; its counts stay."""
        with self._call(context) as client:
            chosen = link_of(client, link, None)
            client.delete_link(chosen.id)
        return {"deleted": chosen.address}

    def link_stats(
        self,
        context: Context,
        link: str | None = None,
        profile: str | None = None,
        period: str = "28d",
        group: str = "",
    ) -> dict[str, Any]:
        """Count clicks of a link, or of a whole profile. `period` is a number of days up to today, such as
        7d, or day, week, month, quarter, year or all; `group` is country, device, browser, source or link."""
        question = {"period": period} | ({"group": group} if group else {"interval": "day"})
        with self._call(context) as client:
            if link is not None:
                chosen = link_of(client, link, profile)
                stats = client.stats(chosen.profile_id, link=chosen.id, **question)
            else:
                whole = profile_of(client, profile) or next(client.profiles(), None)
                if whole is None:
                    raise ToolError("there is no profile")
                stats = client.stats(whole.id, **question)
        return _plain(stats)

    @contextmanager
    def _call(self, context: Context) -> Iterator[WaypostClient]:
        """Yield the client of a call. Raises ToolError with one line for what the console refuses."""
        try:
            with self._clients(context) as client:
                yield client
        except (WaypostClientError, WaypostError) as error:
            raise ToolError(str(error)) from None


def _with_options(fields: dict[str, Any], options: dict[str, Any] | None) -> LinkFields:
    """Return the fields of a link with its options. Raises ToolError for a name that a link does not have, or
    that is an argument of its own."""
    unknown = sorted((options or {}).keys() - set(_OPTIONS))
    if unknown:
        raise ToolError(f"options: {unknown[0][:64]!r} is none; there are {', '.join(_OPTIONS)}")
    return cast(LinkFields, fields | (options or {}))


def _plain(value: Link | Stats) -> dict[str, Any]:
    """Return the object as JSON has it."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def _server(clients: Clients) -> MCPServer:
    server = MCPServer("waypost", instructions=INSTRUCTIONS, log_level="WARNING")
    LinkTools(clients).add_to(server)
    return server


def serve_stdio(client: WaypostClient) -> None:
    """Serve one assistant on standard input and output, with this client, until it closes them."""
    _server(partial(_one_client, client)).run("stdio")


def serve_http(console_url: str, host: str, port: int) -> None:
    """Serve assistants at `/mcp`, each with the API key that it sends, until SIGINT or SIGTERM."""
    clients = partial(_client_of_caller, console_url)
    _server(clients).run("streamable-http", host=host, port=port, stateless_http=True)
