"""Endpoints of addresses that visitors left: for admins of the profile, and for nobody else."""

from typing import Any

from engine.accounts.access import Caller
from engine.operations.settings import Settings
from tests.kit.consoles import Console

MAIL = Settings(smtp_url="smtp://mail.example", mail_from="waypost@example.com")


async def form(console: Console) -> str:
    """Make a profile with two addresses, and return the path of its page."""
    profile = (await console.call("POST", "/v1/profiles", {"handle": "ada"})).json
    key = 1, int(profile["id"])
    assert await console.subscribers.subscribe(*key, "b1", "v@example.com")
    assert await console.subscribers.subscribe(*key, "b1", "=cmd@example.com")
    return f"/v1/profiles/{profile['id']}/page"


async def test_addresses_are_listed_exported_and_deleted() -> None:
    console = Console()
    path = await form(console)
    first = await console.call("GET", f"{path}/subscribers?limit=1")
    (item,) = first.json["items"]
    assert (item["email"], item["block"]) == ("v@example.com", "b1")
    second = await console.call(
        "GET", f"{path}/subscribers?limit=1&cursor={first.json['next_cursor']}"
    )
    assert [each["email"] for each in second.json["items"]] == ["=cmd@example.com"]
    assert second.json["next_cursor"] is None
    rows = (await console.call("GET", f"{path}/subscribers-export")).body.decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["email", "v@example.com", "'=cmd@example.com"]
    assert (await console.call("DELETE", f"{path}/subscribers/{item['id']}")).status == 204
    (await console.call("DELETE", f"{path}/subscribers/{item['id']}")).problem(404)
    (await console.call("GET", f"{path}/subscribers?x=1")).problem(422)


async def test_strangers_and_editors_see_and_delete_no_address() -> None:
    console = Console()
    path = await form(console)
    (item, _) = (await console.call("GET", f"{path}/subscribers")).json["items"]
    console.keys.add("editor", Caller(1, 1, scopes=("read", "write")))
    for method, target in (
        ("GET", "subscribers"), ("GET", "subscribers-export"), ("DELETE", f"subscribers/{item['id']}"),
    ):  # fmt: skip
        (await console.call(method, f"{path}/{target}", key="two")).problem(404)
        (await console.call(method, f"{path}/{target}", key="editor")).problem(403)
    assert len((await console.call("GET", f"{path}/subscribers")).json["items"]) == 2


async def test_addresses_are_confirmed_by_mail_only_where_the_engine_sends_mail() -> None:
    block: dict[str, Any] = {
        "kind": "email_form",
        "id": "b1",
        "title": "News",
        "double_opt_in": True,
    }
    for settings, status in ((Settings(), 422), (MAIL, 200)):
        console = Console(settings=settings)
        profile = (await console.call("POST", "/v1/profiles", {"handle": "ada"})).json
        path = f"/v1/profiles/{profile['id']}/page/draft"
        answer = await console.call("PUT", path, {"blocks": [block]})
        assert answer.status == status
        if status == 422:
            reason = answer.problem(422)["blocks[0].double_opt_in"]
            assert "WAYPOST_SMTP_URL" in reason
        else:
            assert answer.json["blocks"][0]["double_opt_in"] is True
