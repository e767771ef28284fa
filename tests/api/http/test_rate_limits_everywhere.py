"""Every route has a rate limit: once a client's limit is used up, none of them reaches its handler."""

import pytest

from api.http import rate_limits
from api.http.routes import is_api_path
from engine.limits.rate import Rate
from engine.operations.settings import Settings
from tests.api.http.test_auth_access import routes_of
from tests.kit.consoles import VISITORS, Console

ONE = {"units": 1, "period_s": 60}


@pytest.fixture
def used_up(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A console of which a client may ask one thing of each kind."""
    for name in ("PUBLIC", "NO_CREDENTIALS"):
        monkeypatch.setattr(rate_limits, name, Rate("narrow", **ONE))
    settings = Settings(visitors_url=VISITORS, api_reads_per_minute=1, api_writes_per_minute=1)
    return Console(settings=settings)


async def test_no_route_is_without_a_limit(used_up: Console, autojump_clock: object) -> None:
    await used_up.call("GET", "/healthz", key="")
    await used_up.call("GET", "/v1/profiles")
    await used_up.call("POST", "/v1/profiles", {"handle": "ada"})
    await used_up.call("POST", "/v1/session", {}, key="")
    routes = [(route.method, path, route.access) for route, path in routes_of(used_up)]
    routes += [("GET", path, "public") for path in ("/", "/docs", "/openapi.json", "/nowhere")]
    assert len(routes) > 80
    for method, path, access in routes:
        key = "" if access == "public" or not is_api_path(path) else "one"
        answered = await used_up.call(method, path, key=key)
        assert answered.status == 429, (method, path)
        assert int(answered.headers["Retry-After"]) >= 1


async def test_an_unknown_path_of_the_api_is_limited_too(
    used_up: Console, autojump_clock: object
) -> None:
    assert (await used_up.call("GET", "/v1/nowhere")).status == 404
    assert (await used_up.call("GET", "/v1/nowhere")).status == 429
