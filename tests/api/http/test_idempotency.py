"""`Idempotency-Key`: a request sent again gets the first response, and creates nothing."""

from typing import Any

import pytest
import trio

from storage.accounts.keys import ensure_owner
from storage.audit.memory_audit_log import MemoryActivityReader
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from tests.kit.consoles import Console
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened

CREATES: list[tuple[str, Any]] = [
    ("/v1/profiles", {"handle": "b"}),
    ("/v1/profiles/{id}/links", {"slug": "spring", "target": "https://example.com/"}),
    (
        "/v1/profiles/{id}/links/bulk",
        {"operations": [{"op": "create", "slug": "x", "target": "https://example.com/"}, None]},
    ),
]


@pytest.mark.parametrize(("path", "body"), CREATES)
async def test_the_response_of_every_create_is_replayed(path: str, body: Any) -> None:
    console = Console()
    profile = await console.profile()
    path = path.format(id=profile["id"])
    first = await console.call("POST", path, body, Idempotency_Key="k")
    assert first.status in (200, 201)
    assert "Idempotency-Replayed" not in first.headers
    announced = len(console.announcer.changes)
    for _ in range(2):
        again = await console.call("POST", path, body, Idempotency_Key="k")
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.status, again.body) == (first.status, first.body)
        for name in ("ETag", "Location", "Content-Type"):
            assert again.headers.get(name) == first.headers.get(name)
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert len(console.announcer.changes) == announced


async def test_without_a_key_each_request_is_its_own() -> None:
    console = Console()
    assert (await console.call("POST", "/v1/profiles", {"handle": "b"})).status == 201
    (await console.call("POST", "/v1/profiles", {"handle": "b"})).problem(409)


async def test_another_request_with_the_key_is_refused() -> None:
    console = Console()
    await console.call("POST", "/v1/profiles", {"handle": "b"}, Idempotency_Key="k")
    for path, body in (
        ("/v1/profiles", {"handle": "c"}),
        ("/v1/profiles", b'{"handle":  "b"}'),
    ):
        response = await console.call("POST", path, body, Idempotency_Key="k")
        assert response.problem(422).keys() == {"Idempotency-Key"}
    response = await console.call(
        "POST", "/v1/profiles", {"handle": "c"}, key="two", Idempotency_Key="k"
    )
    assert response.status == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9"])
async def test_an_invalid_key_is_refused(key: str) -> None:
    console = Console()
    response = await console.call("POST", "/v1/profiles", {"handle": "b"}, Idempotency_Key=key)
    assert response.problem(422).keys() == {"Idempotency-Key"}
    assert (await console.call("GET", "/v1/profiles")).json["items"] == []


async def test_a_refused_request_may_be_corrected_under_its_key() -> None:
    console = Console()
    await console.profile("taken")
    for body, status in (({"handle": "-"}, 422), ({"handle": "taken"}, 409)):
        (await console.call("POST", "/v1/profiles", body, Idempotency_Key="k")).problem(status)
    response = await console.call("POST", "/v1/profiles", {"handle": "b"}, Idempotency_Key="k")
    assert response.status == 201


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_twenty_creates_at_once_make_one_profile(database_url: str) -> None:
    """On real Postgres, with fewer connections than requests."""
    async with opened(database_url) as open_database:
        database = await open_database("waypost_app")
        owner = await ensure_owner(database, "owner@example.com", FAST)
        assert owner is not None
        console = Console(
            profiles=PostgresProfileStore(database), activity=MemoryActivityReader(MemoryProfiles())
        )
        console.keys.add("owner", owner.caller)
        answers = []

        async def post() -> None:
            answers.append(
                await console.call(
                    "POST", "/v1/profiles", {"handle": "demo"}, key="owner", Idempotency_Key="k"
                )
            )

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(post)
        assert {(a.status, a.body, a.headers["Location"]) for a in answers} == {
            (201, answers[0].body, answers[0].headers["Location"])
        }
        assert sum("Idempotency-Replayed" in a.headers for a in answers) == 19
        listed = (await console.call("GET", "/v1/profiles", key="owner")).json["items"]
        assert [item["handle"] for item in listed] == ["demo"]
        assert len(console.announcer.changes) == 1
