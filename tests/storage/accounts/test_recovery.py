"""Set-up of the first account and password resets: one contract, in memory and in Postgres."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import asyncpg
import pytest
import trio

from engine.accounts.access import Caller
from engine.accounts.ports import AccountStore, RecoveryStore, ResetTokenStore, SessionStore
from engine.accounts.recovery import GENERATED_EMAIL, MAX_TOKENS, IssuedToken, SetupDraft
from engine.common.errors import ConflictError, NotFoundError
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.memory_accounts import MemoryAccountStore
from storage.accounts.memory_recovery import MemoryRecovery
from storage.accounts.passwords import PasswordHasher
from storage.accounts.recovery import PostgresRecoveryStore, issue_setup_code
from storage.accounts.reset_tokens import PostgresResetTokenStore
from storage.accounts.sessions import PostgresSessionStore
from storage.bridge import in_asyncio
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, PASSWORD, opened, second_owner

pytestmark = pytest.mark.trio(run=hosted_run)

ADA = "ada@example.com"
NEW = "another battery"
DRAFT = SetupDraft(code="", name="Ada", email=ADA, password=NEW)


class Recovery(NamedTuple):
    """The ports over one state; `person` makes an account with PASSWORD. `requested` returns the users whose
    mail is enqueued."""

    store: RecoveryStore
    tokens: ResetTokenStore
    accounts: AccountStore
    sessions: SessionStore
    person: Callable[[str], Awaitable[Caller]]
    setup_code: Callable[[], Awaitable[IssuedToken | None]]
    requested: Callable[[], Awaitable[list[int]]]

    async def session(self, email: str, password: str = PASSWORD) -> str:
        login = await self.accounts.login(email, password, "")
        assert login is not None
        return login.token

    async def token(self, user: Caller) -> str:
        issued = await self.tokens.issue_reset_token(user.tenant_id, user.user_id)
        assert issued is not None
        return issued.token


@pytest.fixture
async def recovery(place: str) -> AsyncIterator[Recovery]:
    if not place:
        accounts, ids = MemoryAccountStore(), itertools.count(1)
        memory = MemoryRecovery(accounts)

        async def person(email: str) -> Caller:
            caller = Caller(next(ids), next(ids))
            accounts.add(caller, email, PASSWORD)
            return caller

        async def setup_code() -> IssuedToken | None:
            return memory.issue_setup_code()

        async def requested() -> list[int]:
            return memory.requested

        yield Recovery(memory, memory, accounts, accounts, person, setup_code, requested)
        return
    async with opened(place) as open_database:
        app, passwords = await open_database("waypost_app", 12), PasswordHasher(FAST)
        workers = await open_database("waypost_aggregator")
        yield Recovery(
            PostgresRecoveryStore(app, passwords, 3600),
            PostgresResetTokenStore(workers),
            PostgresAccountStore(app, passwords, 3600),
            PostgresSessionStore(app),
            lambda email: second_owner(place, email, FAST.hash(PASSWORD)),
            partial(issue_setup_code, app),
            partial(enqueued_users, place),
        )


async def enqueued_users(url: str) -> list[int]:
    async def read() -> list[int]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch("SELECT payload ->> 'user_id' AS id FROM waypost.jobs")
            return [int(row["id"]) for row in rows]
        finally:
            await connection.close()

    return await in_asyncio(read)


async def test_the_first_account_is_set_up_once(recovery: Recovery) -> None:
    store = recovery.store
    assert not await store.setup_needed()
    assert await recovery.setup_code() is None
    owner = await recovery.person(GENERATED_EMAIL)
    await recovery.person("later@example.com")
    assert await store.setup_needed()
    old = await recovery.session(GENERATED_EMAIL)
    code = await recovery.setup_code()
    assert code is not None
    draft = SetupDraft(code=code.token, name="Ada", email=ADA, password=NEW)
    login = await store.set_up(draft, "curl/8", "request-1")
    assert (login.user.id, login.user.email, login.user.name) == (owner.user_id, ADA, "Ada")
    assert login.user.version == 2
    assert await recovery.sessions.find(old) is None
    assert await recovery.sessions.find(login.token) is not None
    assert await recovery.accounts.login(GENERATED_EMAIL, PASSWORD, "") is None
    assert await recovery.session(ADA, NEW)
    assert not await store.setup_needed()
    assert await recovery.setup_code() is None
    with pytest.raises(NotFoundError):
        await store.set_up(draft, "", "")


async def test_a_set_up_takes_its_own_code_and_a_free_address(recovery: Recovery) -> None:
    owner = await recovery.person(GENERATED_EMAIL)
    await recovery.person(ADA)
    code, reset = await recovery.setup_code(), await recovery.token(owner)
    assert code is not None
    for bad in ("", "wpo_", "wpo_ü", reset, code.token + "x"):
        with pytest.raises(NotFoundError):
            await recovery.store.set_up(
                SetupDraft(code=bad, name="", email="new@example.com", password=NEW), "", ""
            )
    with pytest.raises(ConflictError, match="email"):
        await recovery.store.set_up(
            SetupDraft(code=code.token, name="", email=ADA, password=NEW), "", ""
        )
    with pytest.raises(NotFoundError):
        await recovery.store.reset(code.token, NEW, "")
    assert await recovery.store.setup_needed()
    free = SetupDraft(code=code.token, name="", email="new@example.com", password=NEW)
    assert (await recovery.store.set_up(free, "", "")).user.email == "new@example.com"


async def test_a_reset_sets_the_password_once_and_ends_all_sessions(recovery: Recovery) -> None:
    ada, bob = await recovery.person(ADA), await recovery.person("bob@example.com")
    mine, theirs = await recovery.session(ADA), await recovery.session("bob@example.com")
    token, other_token = await recovery.token(ada), await recovery.token(ada)
    assert await recovery.store.reset(token, NEW, "") == ada
    assert await recovery.sessions.find(mine) is None
    assert await recovery.sessions.find(theirs) is not None
    assert await recovery.accounts.login(ADA, PASSWORD, "") is None
    assert await recovery.session(ADA, NEW)
    for used in (token, other_token, "", "wpo_ü"):
        with pytest.raises(NotFoundError):
            await recovery.store.reset(used, PASSWORD, "")
    assert await recovery.session(ADA, NEW)
    assert await recovery.session("bob@example.com")
    assert bob != ada


async def test_of_two_resets_by_one_token_one_is_done(recovery: Recovery) -> None:
    token = await recovery.token(await recovery.person(ADA))
    outcomes: list[str] = []

    async def attempt(password: str) -> None:
        try:
            await recovery.store.reset(token, password, "")
            outcomes.append(password)
        except NotFoundError:
            outcomes.append("")

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(attempt, f"battery no {number}")
    (done,) = [password for password in outcomes if password]
    assert await recovery.session(ADA, done)


async def test_a_user_has_a_bounded_number_of_tokens_of_which_the_oldest_end(
    recovery: Recovery,
) -> None:
    ada = await recovery.person(ADA)
    first, *_, last = [await recovery.token(ada) for _ in range(MAX_TOKENS + 1)]
    with pytest.raises(NotFoundError):
        await recovery.store.reset(first, NEW, "")
    assert await recovery.store.reset(last, NEW, "") == ada
    assert await recovery.tokens.issue_reset_token(ada.tenant_id, ada.user_id + 1) is None


async def test_a_request_enqueues_one_mail_to_an_account_and_none_to_a_stranger(
    recovery: Recovery,
) -> None:
    ada = await recovery.person(ADA)
    for email in (ADA, ADA, "nobody@example.com"):
        await recovery.store.request_reset(email)
    assert await recovery.requested() == [ada.user_id]


@pytest.mark.slow
async def test_an_expired_token_resets_nothing(database_url: str) -> None:
    async with opened(database_url) as open_database:
        app = await open_database("waypost_app")
        store = PostgresRecoveryStore(app, PasswordHasher(FAST), 3600)
        tokens = PostgresResetTokenStore(await open_database("waypost_aggregator"))
        ada = await second_owner(database_url, ADA, FAST.hash(PASSWORD))
        issued = await tokens.issue_reset_token(ada.tenant_id, ada.user_id)
        assert issued is not None

        async def expire() -> None:
            connection = await asyncpg.connect(database_url)
            try:
                await connection.execute("UPDATE waypost.recovery_tokens SET expires_at = now()")
            finally:
                await connection.close()

        assert timedelta(minutes=59) < issued.expires_at - await _now(database_url)
        await in_asyncio(expire)
        with pytest.raises(NotFoundError):
            await store.reset(issued.token, NEW, "")


async def _now(url: str) -> datetime:
    async def read() -> datetime:
        connection = await asyncpg.connect(url)
        try:
            now: datetime = await connection.fetchval("SELECT now()")
            return now
        finally:
            await connection.close()

    return await in_asyncio(read)
