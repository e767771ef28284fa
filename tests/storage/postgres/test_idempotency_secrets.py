"""Creates whose responses hold a secret, under an idempotency key, in Postgres."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
import trio

from engine.accounts.api_key import KeyDraft
from engine.accounts.member import InvitationDraft
from engine.common.errors import ConflictError
from engine.common.idempotency import (
    AlreadyAnsweredError,
    IdempotentRequest,
    ResponseWithheldError,
    StoredResponse,
)
from engine.common.response_seal import ResponseSeal
from engine.experiments.conversion_hook import HookDraft, HookFieldPaths
from engine.links.profile import ProfileDraft
from engine.webhooks.webhook import NewWebhookDraft
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.keys import PostgresApiKeyStore, ensure_owner
from storage.accounts.passwords import PasswordHasher
from storage.experiments.conversion_hooks import PostgresConversionHookStore
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Connection
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.conftest import execute, on_connection
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

Create = Callable[[IdempotentRequest[Any]], Awaitable[Any]]
CREDENTIAL = "wp_the credential of the request"


class Creates(NamedTuple):
    """One create of each kind by name, the URL of their database, and the profile that most are about."""

    by_name: dict[str, Create]
    url: str
    profile_id: int


@pytest.fixture
async def creates(open_database: OpenDatabase, database_url: str) -> Creates:
    app = await open_database("waypost_app", 8)
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    caller, passwords = owner.caller, PasswordHasher(FAST)
    profile = await PostgresProfileStore(app).create_profile(caller, ProfileDraft(handle="a"))
    invitations = PostgresInvitationStore(app, passwords, 3600)
    _, token = await invitations.invite(
        caller, profile.id, InvitationDraft(email="new@example.com", role="viewer")
    )
    accounts = PostgresAccountStore(app, passwords, 3600)
    invited = InvitationDraft(email="a@example.com", role="editor")
    hook = HookDraft(label="h", name="sale", fields=HookFieldPaths(click_id="c"))
    webhook = NewWebhookDraft(url="https://example.com/", event_types=["*"])
    hooked = await PostgresWebhookStore(app).create_webhook(caller, profile.id, webhook)
    return Creates(
        {
            "key": lambda once: PostgresApiKeyStore(app).create_key(
                caller, KeyDraft(label="k", scopes=["read"]), once
            ),
            "invitation": lambda once: invitations.invite(caller, profile.id, invited, once),
            "hook": lambda once: PostgresConversionHookStore(app).create_hook(
                caller, profile.id, hook, once
            ),
            "webhook": lambda once: PostgresWebhookStore(app).create_webhook(
                caller, profile.id, webhook, once
            ),
            "rotation": lambda once: PostgresWebhookStore(app).rotate_secret(
                caller, hooked.webhook.id, once
            ),
            "account": lambda once: invitations.accept_as_new(
                token, "a long password", "", "", "r", once
            ),
            "session": lambda once: accounts.login("owner@example.com", owner.password, "", once),
        },
        database_url,
        profile.id,
    )


def respond(created: Any) -> StoredResponse:
    return StoredResponse(201, {"Location": "/v1/x", "Set-Cookie": "s"}, repr(created).encode())


def once(key: str, profile_id: int, credential: str = CREDENTIAL) -> IdempotentRequest[Any]:
    seal = ResponseSeal(credential) if credential else None
    return IdempotentRequest(key, b"s" * 32, respond, True, seal, lambda _: profile_id)


async def bodies(create: Create, request: IdempotentRequest[Any], times: int) -> list[bytes]:
    """Return the bodies of the responses to requests that are sent at once."""
    responses: list[bytes] = []

    async def send() -> None:
        try:
            responses.append(respond(await create(request)).body)
        except AlreadyAnsweredError as replay:
            responses.append(replay.response.body)

    async with trio.open_nursery() as nursery:
        for _ in range(times):
            nursery.start_soon(send)
    return responses


def stored_rows(url: str) -> dict[str, Any]:
    async def work(connection: Connection) -> dict[str, Any]:
        rows = await connection.fetch("SELECT * FROM waypost.idempotency_keys")
        return {row["key"]: row for row in rows}

    return on_connection(url, work)


async def test_requests_at_once_create_once_and_leave_no_secret_in_clear(creates: Creates) -> None:
    names = creates.by_name.keys() - {"session"}
    for name in sorted(names):
        create = creates.by_name[name]
        answers = await bodies(create, once(name, creates.profile_id), 4)
        assert len(answers) == 4
        assert len(set(answers)) == 1, name
        with pytest.raises(ResponseWithheldError):
            await create(once(name, creates.profile_id, "wp_another"))
    rows = await trio.to_thread.run_sync(stored_rows, creates.url)
    assert rows.keys() == names
    for row in rows.values():
        assert row["headers"] == '{"Location": "/v1/x"}'
        assert row["holds_secret"]
        for text in (b"wp_", b"wpi_", b"wph_", b"wps_", b"whsec_", b"example.com"):
            assert text not in row["body"]


async def test_logins_at_once_begin_one_session_and_keep_no_response(creates: Creates) -> None:
    outcomes: list[str] = []

    async def log_in() -> None:
        try:
            await creates.by_name["session"](once("session", creates.profile_id, ""))
            outcomes.append("begun")
        except ResponseWithheldError as error:
            outcomes.append(error.location)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(log_in)
    assert sorted(outcomes) == ["/v1/x"] * 3 + ["begun"]
    rows = await trio.to_thread.run_sync(stored_rows, creates.url)
    assert [bytes(row["body"]) for row in rows.values()] == [b""]


async def test_an_acceptance_without_its_key_is_refused_as_used(creates: Creates) -> None:
    create = creates.by_name["account"]
    await create(once("k", creates.profile_id))
    for request in (None, once("another", creates.profile_id)):
        with pytest.raises(ConflictError) as caught:
            await create(request)  # type: ignore[arg-type]
        assert not isinstance(caught.value, ResponseWithheldError)


async def test_a_response_to_an_acceptance_is_kept_for_a_day(creates: Creates) -> None:
    create = creates.by_name["account"]
    await create(once("k", creates.profile_id))
    for age, error in (("23:59:00", AlreadyAnsweredError), ("24:00:00", ConflictError)):
        query = f"UPDATE waypost.idempotency_keys SET created_at = now() - interval '{age}'"
        await trio.to_thread.run_sync(execute, creates.url, query)
        with pytest.raises(error):
            await create(once("k", creates.profile_id))


async def test_the_erasure_of_a_profile_deletes_its_sealed_responses(creates: Creates) -> None:
    for name, create in creates.by_name.items():
        if name != "session":
            await create(once(name, creates.profile_id))

    async def erase(connection: Connection) -> int:
        query = "SELECT waypost.delete_stored_responses($1)"
        deleted: int = await connection.fetchval(query, creates.profile_id)
        return deleted

    assert await trio.to_thread.run_sync(on_connection, creates.url, erase) == 6
