"""Accounts, sessions and keys: one contract, in memory and in Postgres."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine.accounts.access import Caller, Scope
from engine.accounts.account import MAX_SESSIONS, UserDraft
from engine.accounts.api_key import MAX_KEYS, KeyDraft
from engine.common.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    LostUpdateError,
    NotFoundError,
)
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.keys import PostgresApiKeyStore
from storage.accounts.passwords import PasswordHasher
from storage.accounts.sessions import PostgresSessionStore
from storage.bridge import in_asyncio
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, PASSWORD, OpenDatabase, Teams, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)

ADA = "ada@example.com"
NEW = "another battery"
KEY = KeyDraft(label="script", scopes=["read", "write"])


async def test_a_login_begins_a_session_that_names_its_user(teams: Teams) -> None:
    ada = await teams.person(ADA)
    login = await teams.accounts.login("Ada@Example.COM", PASSWORD, "curl/8")
    assert login is not None
    assert (login.user.id, login.user.tenant_id, login.user.email) == (
        ada.user_id,
        ada.tenant_id,
        ADA,
    )
    assert login.token.startswith("wps_")
    assert login.session.expires_at - login.session.created_at == timedelta(hours=1)
    session_caller = await teams.sessions.find(login.token)
    assert session_caller == (ada, login.session.id, login.session.expires_at)
    assert await teams.accounts.user(ada) == login.user
    page = await teams.sessions.list_sessions(ada, 0, 10)
    assert page == ([login.session], None)
    assert login.session.user_agent == "curl/8"


@pytest.mark.parametrize("password", ["", "Correct horse", PASSWORD + " ", "x" * 1000])
async def test_a_wrong_password_begins_nothing(teams: Teams, password: str) -> None:
    ada = await teams.person(ADA)
    assert await teams.accounts.login(ADA, password, "") is None
    assert await teams.accounts.login("nobody@example.com", PASSWORD, "") is None
    assert (await teams.sessions.list_sessions(ada, 0, 10)).items == []


async def test_a_text_that_is_no_token_finds_no_session(teams: Teams) -> None:
    for text in ("", "wps_", "wps_" + "x" * 43, "ключ", "x" * 10_000):
        assert await teams.sessions.find(text) is None


async def test_an_ended_session_is_gone(teams: Teams) -> None:
    ada, eve = await teams.person(ADA), await teams.person("eve@example.com")
    first = await teams.accounts.login(ADA, PASSWORD, "")
    second = await teams.accounts.login(ADA, PASSWORD, "")
    assert first is not None
    assert second is not None
    for caller, session_id in ((eve, first.session.id), (ada, 12345), (ada, 2**70)):
        with pytest.raises(NotFoundError):
            await teams.sessions.end_session(caller, session_id)
    await teams.sessions.end_session(ada, first.session.id)
    assert await teams.sessions.find(first.token) is None
    assert await teams.sessions.find(second.token) is not None
    with pytest.raises(NotFoundError):
        await teams.sessions.end_session(ada, first.session.id)


async def test_one_login_too_many_ends_the_oldest(teams: Teams) -> None:
    ada = await teams.person(ADA)
    logins = [await teams.accounts.login(ADA, PASSWORD, "") for _ in range(MAX_SESSIONS + 2)]
    tokens = [login.token for login in logins if login]
    assert await teams.sessions.find(tokens[1]) is None
    assert await teams.sessions.find(tokens[2]) is not None
    ids: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await teams.sessions.list_sessions(ada, after, 20)
        ids += [item.id for item in page.items]
        after = page.next_after
    assert ids == [login.session.id for login in logins[2:] if login]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_an_expired_session_names_no_user(teams: Teams, place: str) -> None:
    ada = await teams.person(ADA)
    logins = [await teams.accounts.login(ADA, PASSWORD, "") for _ in range(2)]
    first, second = [login for login in logins if login]
    await owner_fetch(
        place,
        "UPDATE waypost.sessions SET expires_at = now() - interval '1 s' "
        f"WHERE id = {first.session.id}",
    )
    assert await teams.sessions.find(first.token) is None
    assert await teams.sessions.find(second.token) is not None
    assert await teams.sessions.list_sessions(ada, 0, 10) == ([second.session], None)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_a_login_forgets_the_users_expired_sessions(teams: Teams, place: str) -> None:
    """A row of a session has a browser and a time, which nobody needs once it has expired."""
    ada, eve = await teams.person(ADA), await teams.person("eve@example.com")
    for email in (ADA, ADA, "eve@example.com"):
        assert await teams.accounts.login(email, PASSWORD, "")
    # Ada's first session has expired, and Eve's only one.
    expire = (
        "UPDATE waypost.sessions SET expires_at = now() - interval '1 s' "
        "WHERE id IN (SELECT min(id) FROM waypost.sessions GROUP BY user_id)"
    )
    await owner_fetch(place, expire)
    assert await teams.accounts.login(ADA, PASSWORD, "")
    rows = await owner_fetch(place, "SELECT user_id, expires_at > now() FROM waypost.sessions")
    assert sorted(rows) == sorted([(ada.user_id, True), (ada.user_id, True), (eve.user_id, False)])


async def owner_fetch(url: str, query: str) -> list[tuple[object, ...]]:
    """Run one statement as the database's owner. Returns its rows."""
    connection = await in_asyncio(asyncpg.connect, url)
    try:
        return [tuple(row) for row in await in_asyncio(connection.fetch, query)]
    finally:
        await in_asyncio(connection.close)


async def test_a_new_password_ends_the_other_sessions(teams: Teams) -> None:
    ada = await teams.person(ADA)
    mine = await teams.accounts.login(ADA, PASSWORD, "")
    other = await teams.accounts.login(ADA, PASSWORD, "")
    assert mine is not None
    assert other is not None
    assert not await teams.accounts.change_password(ada, "wrong", NEW, mine.session.id)
    assert await teams.sessions.find(other.token) is not None
    assert await teams.accounts.change_password(ada, PASSWORD, NEW, mine.session.id)
    assert await teams.sessions.find(other.token) is None
    assert await teams.sessions.find(mine.token) is not None
    assert await teams.accounts.login(ADA, PASSWORD, "") is None
    assert await teams.accounts.login(ADA, NEW, "") is not None


async def test_a_new_name_makes_a_new_version(teams: Teams) -> None:
    ada = await teams.person(ADA)
    named = await teams.accounts.update_user(ada, UserDraft(name="Ada L."), if_version=1)
    assert (named.name, named.version) == ("Ada L.", 2)
    assert await teams.accounts.user(ada) == named
    assert await teams.accounts.update_user(ada, UserDraft(name="Ada L.")) == named
    with pytest.raises(LostUpdateError):
        await teams.accounts.update_user(ada, UserDraft(name="x"), if_version=1)
    with pytest.raises(NotFoundError):
        await teams.accounts.user(Caller(1, 12345))


async def test_a_key_acts_for_its_user_within_its_scopes(teams: Teams) -> None:
    ada = await teams.person(ADA)
    new_key = await teams.keys.create_key(ada, KEY)
    assert new_key.text.startswith("wp_")
    assert new_key.key.prefix == new_key.text[:8]
    assert await teams.keys.authenticate(new_key.text) == ada._replace(
        key_id=new_key.key.id, scopes=("read", "write")
    )
    assert await teams.keys.list_keys(ada, 0, 10) == ([new_key.key], None)
    assert new_key.text not in repr(new_key.key)


async def test_a_key_creates_no_key_with_more_scopes(teams: Teams) -> None:
    ada = await teams.person(ADA)

    def by_key(*scopes: Scope) -> Caller:
        return ada._replace(key_id=1, scopes=scopes)

    with pytest.raises(ForbiddenError):
        await teams.keys.create_key(by_key("read", "write"), KEY)
    with pytest.raises(ForbiddenError):
        await teams.keys.create_key(by_key("read", "admin"), KEY)
    assert await teams.keys.create_key(by_key("read", "write", "admin"), KEY)
    with pytest.raises(ForbiddenError):
        await teams.keys.list_keys(by_key("write", "admin"), 0, 10)


async def test_a_revoked_key_is_unknown(teams: Teams) -> None:
    ada, eve = await teams.person(ADA), await teams.person("eve@example.com")
    new_key = await teams.keys.create_key(ada, KEY)
    for caller, key_id in ((eve, new_key.key.id), (ada, 12345), (ada, 2**70)):
        with pytest.raises(NotFoundError):
            await teams.keys.revoke_key(caller, key_id)
    with pytest.raises(ForbiddenError):
        await teams.keys.revoke_key(ada._replace(scopes=("write",)), new_key.key.id)
    await teams.keys.revoke_key(ada, new_key.key.id)
    assert await teams.keys.authenticate(new_key.text) is None
    assert await teams.keys.list_keys(ada, 0, 10) == ([], None)
    with pytest.raises(NotFoundError):
        await teams.keys.revoke_key(ada, new_key.key.id)


async def test_an_expired_key_raises_expired_error(teams: Teams) -> None:
    ada = await teams.person(ADA)
    past = datetime.now(UTC) - timedelta(seconds=1)
    draft = KeyDraft(label="old", scopes=["read"], expires_at=past)
    new_key = await teams.keys.create_key(ada, draft)
    with pytest.raises(ExpiredError):
        await teams.keys.authenticate(new_key.text)
    assert [key.id for key in (await teams.keys.list_keys(ada, 0, 10)).items] == [new_key.key.id]


async def test_a_user_has_at_most_a_hundred_working_keys(teams: Teams) -> None:
    ada = await teams.person(ADA)
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = KeyDraft(label="old", scopes=["read"], expires_at=past)
    await teams.keys.create_key(ada, expired)  # an expired key does not count
    new_keys = [await teams.keys.create_key(ada, KEY) for _ in range(MAX_KEYS)]
    with pytest.raises(ConflictError):
        await teams.keys.create_key(ada, KEY)
    await teams.keys.revoke_key(ada, new_keys[0].key.id)
    await teams.keys.create_key(ada, KEY)


async def test_the_last_use_of_a_key_is_recorded(teams: Teams) -> None:
    ada = await teams.person(ADA)
    new_key = await teams.keys.create_key(ada, KEY)
    assert new_key.key.last_used_at is None
    await teams.keys.record_last_used([new_key.key.id, 12345], [])
    (first,) = (await teams.keys.list_keys(ada, 0, 10)).items
    assert first.last_used_at is not None
    await teams.keys.record_last_used([new_key.key.id], [])  # within the minute
    assert (await teams.keys.list_keys(ada, 0, 10)).items == [first]


@pytest.mark.slow
async def test_the_last_use_is_recorded_again_after_a_minute(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    ada = await second_owner(database_url, ADA, FAST.hash(PASSWORD))
    login = await PostgresAccountStore(app, PasswordHasher(FAST), 3600).login(ADA, PASSWORD, "")
    assert login is not None
    keys = PostgresApiKeyStore(app)
    key_id = (await keys.create_key(ada, KEY)).key.id
    for age_s, recorded in ((50, False), (70, True)):
        past = f"now() - interval '{age_s} s'"
        on_keys = f"UPDATE waypost.api_keys SET last_used_at = {past}"
        on_sessions = f"UPDATE waypost.sessions SET last_used_at = {past}"
        connection = await in_asyncio(asyncpg.connect, database_url)
        try:
            await in_asyncio(connection.execute, f"{on_keys}; {on_sessions}")
        finally:
            await in_asyncio(connection.close)
        await keys.record_last_used([key_id], [login.session.id])
        (key,) = (await keys.list_keys(ada, 0, 10)).items
        (session,) = (await PostgresSessionStore(app).list_sessions(ada, 0, 10)).items
        now = datetime.now(UTC)
        for used in (key.last_used_at, session.last_used_at):
            assert (now - used < timedelta(seconds=40)) == recorded
    # No user did this, so the log of changes has only the key's creation.
    query = "SELECT action FROM audit_log WHERE object_type = 'key'"
    actions = await app.transaction(lambda connection: connection.fetch(query), caller=ada)
    assert [row["action"] for row in actions] == ["key.created"]
