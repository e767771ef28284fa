"""Hashing of passwords: equal work with or without an account, bounded concurrency, new parameters at login."""

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
    """A hasher that records the hashes it checks. While `gate` is an event, verify() waits for it."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[str] = []
        self.called = threading.Event()
        self.gate: threading.Event | None = None

    def verify(self, hash: Any, password: Any) -> bool:  # type: ignore[override]
        self.checked.append(hash)
        self.called.set()
        if self.gate is not None:
            self.gate.wait(10)
        return super().verify(hash, password)


async def test_a_password_is_checked_by_its_hash() -> None:
    passwords = PasswordHasher(FAST)
    stored_hash = await passwords.hash("pässword \ud800")
    assert await passwords.check("pässword \ud800", stored_hash)
    assert not await passwords.check("pässword", stored_hash)
    assert not await passwords.check("x", "no hash")
    assert not await passwords.check("x", "")


async def test_a_check_without_a_hash_does_equal_work() -> None:
    hasher = CountingHasher()
    passwords = PasswordHasher(hasher)
    await passwords.check("x", None)
    await passwords.check("x", hasher.hash("y"))
    dummy, real = (argon2.extract_parameters(text) for text in hasher.checked)
    assert dummy == real
    assert not hasher.check_needs_rehash(hasher.checked[0])


async def test_a_check_beyond_the_waiting_limit_is_refused() -> None:
    hasher = CountingHasher()
    ours, stored_hash = PasswordHasher(hasher), hasher.hash("y")
    hasher.gate = threading.Event()
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(passwords.AT_ONCE + passwords.MAX_WAITING):
                nursery.start_soon(ours.check, "y", stored_hash)
            await trio.testing.wait_all_tasks_blocked()
            assert ours.waiting == passwords.MAX_WAITING
            with pytest.raises(UnavailableError):
                await ours.check("y", stored_hash)
            hasher.gate.set()
    finally:
        hasher.gate.set()
    assert await ours.check("y", stored_hash)


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
    new_hasher = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    for hasher, changes in ((FAST, False), (new_hasher, True)):
        accounts = PostgresAccountStore(app, PasswordHasher(hasher), 3600)
        assert await accounts.login("ada@example.com", "wrong", "") is None
        assert await app.transaction(stored, caller=caller) == before
        assert await accounts.login("ada@example.com", PASSWORD, "") is not None
        assert (await app.transaction(stored, caller=caller) != before) == changes
    assert await accounts.login("ada@example.com", PASSWORD, "") is not None


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_no_session_begins_with_a_password_changed_meanwhile(
    open_database: OpenDatabase, database_url: str
) -> None:
    app = await open_database("waypost_app")
    ada = await second_owner(database_url, "ada@example.com", FAST.hash(PASSWORD))
    slow = CountingHasher()
    late, quick = (
        PostgresAccountStore(app, PasswordHasher(slow), 3600),
        PostgresAccountStore(app, PasswordHasher(FAST), 3600),
    )
    slow.gate = threading.Event()
    outcomes: list[object] = []

    async def login() -> None:
        outcomes.append(await late.login("ada@example.com", PASSWORD, ""))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(login)
        assert await trio.to_thread.run_sync(slow.called.wait, 10)
        assert await quick.change_password(ada, PASSWORD, "another battery", 0)
        slow.gate.set()
    assert outcomes == [None]


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
async def test_no_password_is_hashed_for_an_invalid_token(
    open_database: OpenDatabase,
) -> None:
    """Anybody can send a token, so an invalid one must not cost a core's time."""

    class Unused(PasswordHasher):
        async def hash(self, password: str) -> str:
            raise AssertionError("hashed")

    invitations = PostgresInvitationStore(await open_database("waypost_app"), Unused(FAST), 3600)
    with pytest.raises(NotFoundError):
        await invitations.accept_as_new("wpi_none", PASSWORD, "", "", "")
