"""Access that each route declares: the server enforces it, and the reference shows it."""

import re
from collections.abc import Iterator

from api.http.key_cache import KeyCache
from api.http.routes import Route
from tests.kit.consoles import Console

SCHEMES: dict[str, list[dict[str, list[str]]]] = {
    "key": [{"key": []}, {"session": []}],
    "shared": [{"key": []}, {"session": []}, {"share": []}],
    "session": [{"session": []}],
    "optional": [{"key": []}, {"session": []}, {}],
    "public": [],
}


def routes_of(console: Console) -> Iterator[tuple[Route, str]]:
    """Yield every route of the domains, with a path that it takes."""
    for route in console.routes(KeyCache(console.keys)):
        yield route, re.sub("<[^>]+>", "1", route.rule)


async def test_a_request_without_credentials_is_refused_where_the_route_demands_them() -> None:
    console = Console()
    for route, path in routes_of(console):
        response = await console.call(route.method, path, key="")
        refused = response.status == 401
        assert refused == (route.access in ("key", "shared", "session")), (route.method, path)


async def test_a_key_is_refused_where_the_route_demands_a_session() -> None:
    console = Console()
    sessions = [(route, path) for route, path in routes_of(console) if route.access == "session"]
    assert len(sessions) >= 4
    for route, path in sessions:
        response = await console.call(route.method, path)
        response.problem(403)
        assert response.json["detail"] == "this takes a session, not a key", (route.method, path)


async def test_an_invalid_key_is_401_except_where_the_route_is_public() -> None:
    console = Console()
    for route, path in routes_of(console):
        response = await console.call(route.method, path, key="bad")
        assert (response.status == 401) == (route.access != "public"), (route.method, path)


def test_every_route_outside_of_v1_is_public() -> None:
    for route, path in routes_of(Console()):
        assert route.access == "public" or path.startswith("/v1/"), path


async def test_the_reference_shows_the_access_of_each_route() -> None:
    console = Console()
    paths = (await console.call("GET", "/openapi.json", key="")).json["paths"]
    for route, _ in routes_of(console):
        operation = paths[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule)][route.method.lower()]
        assert operation["security"] == SCHEMES[route.access], route.rule


async def test_an_unknown_path_under_v1_is_404_only_with_credentials() -> None:
    console = Console()
    for path in ("/v1", "/v1/nothing"):
        (await console.call("GET", path, key="")).problem(401)
        (await console.call("GET", path)).problem(404)
    (await console.call("GET", "/nothing", key="")).problem(404)
    (await console.call("PUT", "/v1/session", key="")).problem(401)
