"""The stores that one contract suite runs against: the in-memory twins and Postgres."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import argon2
import asyncpg
import pytest

from engine.accounts.access import Caller
from engine.accounts.member import InvitationDraft
from engine.accounts.ports import (
    AccountStore,
    ApiKeyStore,
    InvitationStore,
    MemberStore,
    SessionStore,
)
from engine.experiments.increments import ExperimentIncrements
from engine.experiments.ports import ExperimentStore, RunningExperiments
from engine.links.ports import LinkImporter, ProfileStore
from engine.links.profile import Profile
from engine.visits.ports import SnapshotSource
from storage.accounts.accounts import PostgresAccountStore
from storage.accounts.invitations import PostgresInvitationStore
from storage.accounts.keys import PostgresApiKeyStore, ensure_owner
from storage.accounts.members import PostgresMemberStore
from storage.accounts.memory_accounts import MemoryAccountStore
from storage.accounts.memory_keys import MemoryApiKeyStore
from storage.accounts.memory_members import MemoryMembers
from storage.accounts.passwords import PasswordHasher
from storage.accounts.sessions import PostgresSessionStore
from storage.bridge import in_asyncio
from storage.experiments.automation import PostgresRunningExperiments
from storage.experiments.counts import add_increments
from storage.experiments.experiments import PostgresExperimentStore
from storage.experiments.memory_counts import MemoryExperimentCounts
from storage.experiments.memory_experiments import MemoryExperimentStore
from storage.links.imports.import_rows import PostgresLinkImporter
from storage.links.memory_profiles import MemoryProfiles
from storage.links.profiles import PostgresProfileStore
from storage.postgres.database import Database, Role
from storage.stats.link_clicks import link_clicks
from storage.visits.snapshots import PostgresSnapshotSource
from tests.conftest import Servers, execute, with_database
from tests.kit.stats_database import FilledDatabase

OpenDatabase = Callable[..., Awaitable[Database]]
PASSWORD = "correct horse"
FAST = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Stores(NamedTuple):
    """All ports over one state, the first users of two tenants, and the first one's API key."""

    profiles: ProfileStore
    bulk: LinkImporter
    snapshots: SnapshotSource
    keys: ApiKeyStore
    caller: Caller
    other: Caller
    api_key: str


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> str:
    """Return the database's URL, or an empty text for the twins."""
    return request.getfixturevalue("database_url") if request.param == "postgres" else ""


@pytest.fixture
async def stores(place: str) -> AsyncIterator[Stores]:
    if not place:
        memory, keys = MemoryProfiles(), MemoryApiKeyStore()
        caller, other = Caller(1, 1), Caller(2, 2)
        keys.add("wp_mine", caller)
        yield Stores(memory, memory, memory, keys, caller, other, "wp_mine")
        return
    async with opened(place) as open_database:
        app, edge = await open_database("waypost_app"), await open_database("waypost_edge")
        owner = await ensure_owner(app, "owner@example.com", FAST)
        assert owner is not None
        yield Stores(
            PostgresProfileStore(app, count_clicks=link_clicks),
            PostgresLinkImporter(app),
            PostgresSnapshotSource(edge),
            PostgresApiKeyStore(app),
            owner.caller,
            await second_owner(place),
            owner.api_key,
        )


@pytest.fixture
async def open_database(database_url: str) -> AsyncIterator[OpenDatabase]:
    """Yield a function that opens a role's database; all are closed after the test."""
    async with opened(database_url) as open_role:
        yield open_role


class Teams(NamedTuple):
    """The ports of accounts and teams over one state; `person` creates an account with PASSWORD."""

    accounts: AccountStore
    sessions: SessionStore
    keys: ApiKeyStore
    members: MemberStore
    invitations: InvitationStore
    profiles: ProfileStore
    person: Callable[[str], Awaitable[Caller]]

    async def joined(self, inviter: Caller, profile: Profile, email: str, role: str) -> Caller:
        """Create an account, let it join the profile's team, and return its caller."""
        caller = await self.person(email)
        draft = InvitationDraft(email=email, role=role)
        _, token = await self.invitations.invite(inviter, profile.id, draft)
        await self.invitations.accept(caller, token)
        return caller


@pytest.fixture
async def teams(place: str) -> AsyncIterator[Teams]:
    if not place:
        profiles, accounts, ids = MemoryProfiles(), MemoryAccountStore(), itertools.count(1)
        members = MemoryMembers(profiles, accounts)

        async def person(email: str) -> Caller:
            caller = Caller(next(ids), next(ids))
            accounts.add(caller, email, PASSWORD)
            return caller

        yield Teams(accounts, accounts, MemoryApiKeyStore(), members, members, profiles, person)
        return
    async with opened(place) as open_database:
        app, passwords = await open_database("waypost_app", 12), PasswordHasher(FAST)

        async def stored_person(email: str) -> Caller:
            return await second_owner(place, email, FAST.hash(PASSWORD))

        yield Teams(
            PostgresAccountStore(app, passwords, 3600),
            PostgresSessionStore(app),
            PostgresApiKeyStore(app),
            PostgresMemberStore(app),
            PostgresInvitationStore(app, passwords, 3600),
            PostgresProfileStore(app),
            stored_person,
        )


class ExperimentStores(NamedTuple):
    """The ports of experiments over one state; `observe` adds increments as a fold does."""

    store: ExperimentStore
    profiles: ProfileStore
    snapshots: SnapshotSource
    caller: Caller
    other: Caller
    observe: Callable[[ExperimentIncrements], Awaitable[None]]
    automation: RunningExperiments


@pytest.fixture
async def experiments(place: str) -> AsyncIterator[ExperimentStores]:
    if not place:
        profiles, counts = MemoryProfiles(), MemoryExperimentCounts()

        async def count(observed: ExperimentIncrements) -> None:
            counts.store(observed)

        memory = MemoryExperimentStore(profiles, counts)
        yield ExperimentStores(
            memory, profiles, profiles, Caller(1, 1), Caller(2, 2), count, memory
        )
        return
    async with opened(place) as open_database:
        experiments = await postgres_experiments(open_database)
        yield experiments._replace(other=await second_owner(place))


async def postgres_experiments(open_database: OpenDatabase) -> ExperimentStores:
    """Return the ports over Postgres; their caller is the first owner. `other` does not exist."""
    app, edge = await open_database("waypost_app"), await open_database("waypost_edge")
    aggregator = await open_database("waypost_aggregator")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None

    async def fold(increments: ExperimentIncrements) -> None:
        await aggregator.transaction(partial(add_increments, increments=increments))

    stores = PostgresExperimentStore(app), PostgresProfileStore(app), PostgresSnapshotSource(edge)
    automation = PostgresRunningExperiments(aggregator)
    return ExperimentStores(*stores, owner.caller, Caller(2, 2), fold, automation)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[OpenDatabase]:
    """Yield a function that opens databases at the URL; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_role(
            role: Role,
            size: int = 4,
            query_timeout_ms: int = 10_000,
            url: str = url,
            new_accounts: str = "",
        ) -> Database:
            database = await Database.open(
                url,
                role=role,
                size=size,
                query_timeout_ms=query_timeout_ms,
                new_accounts=new_accounts,
            )
            stack.push_async_callback(database.close)
            return database

        yield open_role


async def second_owner(url: str, email: str = "", password_hash: str = "") -> Caller:
    """Create another tenant and return its first user."""

    async def create() -> Caller:
        connection = await asyncpg.connect(url)
        try:
            row = await connection.fetchrow(
                "WITH t AS (INSERT INTO waypost.tenants (name) VALUES ('other') RETURNING id) "
                "INSERT INTO waypost.users (tenant_id, email, password_hash) "
                "SELECT id, $1, $2 FROM t RETURNING tenant_id, id",
                email or f"{uuid4().hex}@example.com",
                password_hash,
            )
            assert row is not None
            return Caller(*row)
        finally:
            await connection.close()

    return await in_asyncio(create)


@pytest.fixture(scope="module")
def filled_database(servers: Servers, template: str) -> Iterator[FilledDatabase]:
    """Yield a function that creates a database for the module and fills it with sums of clicks."""
    databases: list[str] = []

    def make(name: str, fill: Callable[..., None], *arguments: Any, **options: Any) -> str:
        database = f"{template}_{name}"
        execute(servers.database_url, f"CREATE DATABASE {database} TEMPLATE {template}")
        databases.append(database)
        url = with_database(servers.database_url, database)
        fill(url, *arguments, **options)
        return url

    yield make
    for database in databases:
        execute(servers.database_url, f"DROP DATABASE {database} WITH (FORCE)")
