"""`POST /v1/links`: links whose callers name no profile."""

import trio

from tests.kit.consoles import VISITORS, Console

LINK = {"target": "https://example.com/"}


async def test_a_link_needs_no_profile() -> None:
    console = Console()
    links = [(await console.call("POST", "/v1/links", LINK)).json for _ in range(2)]
    profiles = (await console.call("GET", "/v1/profiles")).json["items"]
    assert [link["profile_id"] for link in links] == [profiles[0]["id"]] * 2
    assert links[0]["short_url"] == f"{VISITORS}/{links[0]['slug']}"
    other = (await console.call("POST", "/v1/links", LINK, key="two")).json
    assert other["profile_id"] != links[0]["profile_id"]


async def test_the_oldest_profile_is_taken() -> None:
    console = Console()
    first = await console.profile("first")
    await console.profile("second")
    created = await console.call("POST", "/v1/links", {**LINK, "slug": "x"})
    assert (created.status, created.json["profile_id"]) == (201, first["id"])
    assert created.headers["Location"] == f"/v1/links/{created.json['id']}"
    again = await console.call("POST", "/v1/links?if_exists=return", {**LINK, "slug": "x"})
    assert (again.status, again.json["id"]) == (200, created.json["id"])


async def test_callers_at_once_share_their_first_profile() -> None:
    console = Console()
    links = []

    async def create() -> None:
        links.append((await console.call("POST", "/v1/links", LINK)).json)

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(create)
    assert len({link["slug"] for link in links}) == 8
    assert len((await console.call("GET", "/v1/profiles")).json["items"]) == 1


async def test_a_bad_link_creates_no_profile() -> None:
    console = Console()
    bad = await console.call("POST", "/v1/links", {"target": "javascript:x", "slug": ""})
    assert bad.problem(422).keys() == {"target", "slug"}
    assert (await console.call("GET", "/v1/profiles")).json["items"] == []


async def test_a_repeated_request_creates_one_link() -> None:
    console = Console()
    ids = {
        (await console.call("POST", "/v1/links", LINK, Idempotency_Key="k-1")).json["id"]
        for _ in range(2)
    }
    assert len(ids) == 1
