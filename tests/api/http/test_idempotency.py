"""`Idempotency-Key`: a request sent again gets the first response, and creates nothing."""

from typing import Any

import msgspec
import pytest
import trio

from engine.accounts.access import Caller
from engine.clicks.click_id import ClickId, ClickIdCipher
from storage.accounts.keys import ensure_owner
from storage.audit.memory_audit_log import MemoryActivityReader
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from tests.kit.browsers import browser_of
from tests.kit.consoles import CLICK_IDS, NOW, PASSWORD, Answered, Console
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened

EXPERIMENT = {
    "name": "t",
    "kind": "destination",
    "link_id": "{link}",
    "variants": [{"name": n, "weight": 1, "target": f"https://{n}.example/"} for n in "ab"],
}
HOOK = {"url": "https://example.com/hook", "event_types": ["*"]}
# Each POST that takes the header, as OpenAPI names it, with its body. A name in braces stands for an id.
CREATES: dict[str, Any] = {
    "/v1/profiles": {"handle": "b"},
    "/v1/links": {"target": "https://example.com/"},
    "/v1/profiles/{profile_id}/links": {"slug": "x", "target": "https://example.com/"},
    "/v1/profiles/{profile_id}/links/bulk": {
        "operations": [{"op": "create", "slug": "x", "target": "https://example.com/"}, None]
    },
    "/v1/profiles/{profile_id}/experiments": EXPERIMENT,
    "/v1/profiles/{profile_id}/webhooks": HOOK,
    "/v1/webhooks/{webhook_id}/rotate-secret": {},
    "/v1/webhooks/{webhook_id}/test": {},
    "/v1/profiles/{profile_id}/conversion-hooks": {"label": "h", "fields": {"click_id": "c"}},
    "/v1/profiles/{profile_id}/domains": {"host": "links.example.com"},
    "/v1/profiles/{profile_id}/shares": {"label": "s", "metrics": ["clicks"]},
    "/v1/profiles/{profile_id}/annotations": {"at": "2026-05-01", "text": "t"},
    "/v1/profiles/{profile_id}/goals": {"name": "g", "event": "signup"},
    "/v1/profiles/{profile_id}/saved-questions": {"name": "q", "query": "period=7d"},
    "/v1/profiles/{profile_id}/invitations": {"email": "a@example.com", "role": "editor"},
    "/v1/keys": {"label": "k", "scopes": ["read"]},
    "/v1/conversions": {"click_id": "{click}", "name": "sale"},
    "/v1/profiles/{profile_id}/refunds": {"order_id": "7", "kind": "void"},
    "/in/{token}": {"c": "{click}"},
    "/v1/invitations/accept": {"token": "{invitation}", "password": PASSWORD},
    "/v1/session": {"email": "one@example.com", "password": PASSWORD},
}
# Their responses hold a secret, by the text that begins it.
SECRETS = {
    "/v1/profiles/{profile_id}/webhooks": b"whsec_",
    "/v1/webhooks/{webhook_id}/rotate-secret": b"whsec_",
    "/v1/profiles/{profile_id}/conversion-hooks": b"wph_",
    "/v1/profiles/{profile_id}/shares": b"wpr_",
    "/v1/profiles/{profile_id}/invitations": b"wpi_",
    "/v1/keys": b"wp_",
    "/v1/invitations/accept": b"wps_",
}
OTHERS = (
    "/v1/profiles/{profile_id}/links/bulk",
    "/v1/webhooks/{webhook_id}/rotate-secret",
    "/v1/webhooks/{webhook_id}/test",
)
# Its body is the key: an equal file is the asset that it was, and is answered 200.
_ASSETS = "/v1/profiles/{profile_id}/assets"
BY_CONTENT = {_ASSETS, "/v1/profiles/{profile_id}/asset-uploads/{upload_id}/complete"}
PUBLIC = ("/in/{token}", "/v1/invitations/accept", "/v1/session")


class Creates:
    """A console with what the creates need, and the call of each."""

    def __init__(self, console: Console, names: dict[str, str]) -> None:
        self.console = console
        self._names = names

    @classmethod
    async def open(cls) -> "Creates":
        console = Console()
        profile = await console.profile()
        path = f"/v1/profiles/{profile['id']}"
        link = await console.link(profile["id"])
        hook = CREATES["/v1/profiles/{profile_id}/conversion-hooks"]
        url = (await console.call("POST", f"{path}/conversion-hooks", hook)).json["url"]
        invited = {"email": "new@example.com", "role": "viewer"}
        invitation = (await console.call("POST", f"{path}/invitations", invited)).json["token"]
        click = ClickId(1, int(profile["id"]), int(link["id"]), round(NOW.timestamp() * 1e6))
        webhook = (await console.call("POST", f"{path}/webhooks", HOOK)).json
        names = {
            "profile_id": profile["id"],
            "webhook_id": webhook["id"],
            "link": link["id"],
            "token": url.rpartition("/")[2],
            "invitation": invitation,
            "click": ClickIdCipher(CLICK_IDS).seal(click).decode(),
        }
        return cls(console, names)

    async def call(self, path: str, key: str = "one", **headers: str) -> Answered:
        text = msgspec.json.encode(CREATES[path]).decode()
        for name, value in self._names.items():
            text = text.replace(f'"{{{name}}}"', f'"{value}"')
        credential = "" if path in PUBLIC else key
        path = path.format(**self._names)
        return await self.console.call("POST", path, text.encode(), key=credential, **headers)


async def test_every_create_takes_the_header() -> None:
    """Every POST that answers 201, and those that create links, a secret or an event and answer otherwise."""
    openapi_document = (await Console().call("GET", "/openapi.json", key="")).json
    creates, takers = set(OTHERS), set()
    for path, methods in openapi_document["paths"].items():
        for method, operation in methods.items():
            if path in BY_CONTENT:
                assert "200" in operation["responses"]
            elif "201" in operation["responses"] and method != "put":  # a PUT may be repeated
                assert method == "post"
                creates.add(path)
            if {"$ref": "#/components/parameters/Idempotency-Key"} in operation["parameters"]:
                takers.add(path)
    assert creates == takers == CREATES.keys()


@pytest.mark.parametrize("path", [path for path in CREATES if path != "/v1/session"])
async def test_the_response_of_every_create_is_replayed(path: str) -> None:
    creates = await Creates.open()
    console = creates.console
    first = await creates.call(path, Idempotency_Key="k")
    assert first.status in (200, 201, 202), first.body
    assert "Idempotency-Replayed" not in first.headers
    announced = len(console.announcer.changes)
    for _ in range(2):
        again = await creates.call(path, Idempotency_Key="k")
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.status, again.body) == (first.status, first.body)
        for name in ("ETag", "Location", "Content-Type", "Set-Cookie"):
            assert again.headers.get(name) == first.headers.get(name)
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert len(console.announcer.changes) == announced
    secret = SECRETS.get(path)
    assert secret is None or secret in first.body + first.headers.get("Set-Cookie", "").encode()


@pytest.mark.parametrize("path", [path for path in SECRETS if path not in PUBLIC])
async def test_a_secret_is_repeated_to_its_own_credential_only(path: str) -> None:
    creates = await Creates.open()
    first = await creates.call(path, Idempotency_Key="k")
    creates.console.keys.add("three", Caller(1, 1))  # another key of the same user
    again = await creates.call(path, key="three", Idempotency_Key="k")
    (reason,) = again.problem(409).values()
    assert again.headers["Location"] == first.headers["Location"]
    assert first.json["id"] in reason
    assert SECRETS[path] not in again.body


async def test_a_login_that_is_repeated_gets_the_path_of_its_session() -> None:
    creates = await Creates.open()
    first = await creates.call("/v1/session", Idempotency_Key="k")
    browser = browser_of(creates.console, first)
    again = await creates.call("/v1/session", Idempotency_Key="k")
    assert again.problem(409).keys() == {"Idempotency-Key"}
    sessions = (await browser.call("GET", "/v1/sessions")).json["items"]
    assert [f"/v1/sessions/{session['id']}" for session in sessions] == [again.headers["Location"]]
    wrong = {"email": "one@example.com", "password": "a wrong one"}
    response = await creates.console.call("POST", "/v1/session", wrong, key="", Idempotency_Key="k")
    response.problem(401)


@pytest.mark.parametrize("path", CREATES)
async def test_every_create_refuses_a_bad_key(path: str) -> None:
    creates = await Creates.open()
    response = await creates.call(path, Idempotency_Key="a b")
    assert response.problem(422).keys() == {"Idempotency-Key"}


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
