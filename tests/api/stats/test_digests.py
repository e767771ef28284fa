"""`/v1/profiles/{id}/digest`: each member's own choice."""

from engine.accounts.access import Caller
from engine.operations.settings import Settings
from tests.kit.consoles import VISITORS, Console

MAIL = Settings(visitors_url=VISITORS, smtp_url="smtp://mail.example", mail_from="a@example.com")


async def test_a_member_chooses_their_own_digests() -> None:
    console = Console(settings=MAIL)
    console.keys.add("reader", Caller(1, 1, 5, ("read",)))
    path = f"/v1/profiles/{(await console.profile())['id']}/digest"
    assert (await console.call("GET", path)).json == {
        "weekly": False, "monthly": False, "tz": "UTC",
    }  # fmt: skip
    chosen = {"weekly": True, "monthly": False, "tz": "Europe/Rome"}
    stored = await console.call("PUT", path, {"weekly": True, "tz": "Europe/Rome"})
    assert (stored.status, stored.json) == (200, chosen)
    assert (await console.call("GET", path, key="reader")).json == chosen
    (await console.call("PUT", path, chosen, key="reader")).problem(403)
    (await console.call("PUT", path, chosen, key="two")).problem(404)
    (await console.call("GET", path, key="two")).problem(404)
    bad = {"weekly": 1, "tz": "Nowhere", "daily": True}
    assert (await console.call("PUT", path, bad)).problem(422).keys() == {"weekly", "tz", "daily"}


async def test_without_mail_a_digest_can_only_be_turned_off() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/digest"
    assert "mail" in (await console.call("PUT", path, {"monthly": True})).problem(409)
    assert (await console.call("PUT", path, {})).status == 200
