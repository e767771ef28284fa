"""Passwords: the same work for everybody, a bounded number at a time, and better parameters by and by."""

import threading
from typing import Any

import argon2
import pytest
import trio
import trio.testing

from engine.common.errors import NotFoundError, UnavailableError
from storage.accounts import passwords
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.passwords import PasswordHasher
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, PASSWORD, OpenDatabase, second_owner


class CountingHasher(argon2.PasswordHasher):
    """Keeps what it was asked to check, and holds every answer until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[str] = []
        self.asked = threading.Event()
        self.held: threading.Event | None = None

    def verify(self, hash: Any, password: Any) -> bool:  # type: ignore[override]
        self.checked.append(hash)
        self.asked.set()
        if self.held is not None:
            self.held.wait(10)
        return super().verify(hash, password)


async def test_a_password_is_checked_by_its_hash() -> None:
    ours = PasswordHasher(FAST)
    stored = await ours.hash("pässword \ud800")
    assert await ours.check("pässword \ud800", stored)
    assert not await ours.check("pässword", stored)
    assert not await ours.check("x", "no hash")
    assert not await ours.check("x", "")


async def test_nobodys_hash_takes_the_same_work() -> None:
    hasher = CountingHasher()
    ours = PasswordHasher(hasher)
    await ours.check("x", None)
    await ours.check("x", hasher.hash("y"))
    nobodys, real = (argon2.extract_parameters(text) for text in hasher.checked)
    assert nobodys == real
    assert not hasher.check_needs_rehash(hasher.checked[0])


async def test_one_too_many_at_once_is_refused() -> None:
    hasher = CountingHasher()
    ours, stored = PasswordHasher(hasher), hasher.hash("y")
    hasher.held = threading.Event()
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(passwords.AT_ONCE + passwords.MAX_WAITING):
                nursery.start_soon(ours.check, "y", stored)
            await trio.testing.wait_all_tasks_blocked()
            assert ours.waiting == passwords.MAX_WAITING
            with pytest.raises(UnavailableError):
                await ours.check("y", stored)
            hasher.held.set()
    finally:
        hasher.held.set()
    assert await ours.check("y", stored)


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_a_hash_of_older_parameters_is_made_anew(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    caller = await second_owner(database_url, "ada@example.com", FAST.hash(PASSWORD))

    async def stored(connection: Any) -> str:
        return str(await connection.fetchval("SELECT password_hash FROM users"))

    before = await app.transaction(stored, caller=caller)
    better = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    for hasher, changes in ((FAST, False), (better, True)):
        accounts = PostgresAccountStore(app, PasswordHasher(hasher), 3600)
        assert await accounts.login("ada@example.com", "wrong", "") is None
        assert await app.transaction(stored, caller=caller) == before
        assert await accounts.login("ada@example.com", PASSWORD, "") is not None
        assert (await app.transaction(stored, caller=caller) != before) == changes
    assert await accounts.login("ada@example.com", PASSWORD, "") is not None


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_no_session_begins_with_a_password_that_has_just_been_changed(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    ada = await second_owner(database_url, "ada@example.com", FAST.hash(PASSWORD))
    slow = CountingHasher()
    late, quick = (
        PostgresAccountStore(app, PasswordHasher(slow), 3600),
        PostgresAccountStore(app, PasswordHasher(FAST), 3600),
    )
    slow.held = threading.Event()
    outcomes: list[object] = []

    async def login() -> None:
        outcomes.append(await late.login("ada@example.com", PASSWORD, ""))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(login)
        assert await trio.to_thread.run_sync(slow.asked.wait, 10)
        assert await quick.change_password(ada, PASSWORD, "another battery", 0)
        slow.held.set()
    assert outcomes == [None]


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_no_password_is_hashed_for_a_token_that_is_no_good(
    open_database: OpenDatabase,
) -> None:
    """Strangers choose what they send: it must not cost a core's time."""

    class Unused(PasswordHasher):
        async def hash(self, password: str) -> str:
            raise AssertionError("hashed")

    invitations = PostgresInvitationStore(await open_database("waypost_app"), Unused(FAST), 3600)
    with pytest.raises(NotFoundError):
        await invitations.accept_as_new("wpi_none", PASSWORD, "", "", "")
