"""Teams of profiles, in Postgres.

A change of a team first locks the profile's row, then checks the caller's role again: so an admin who has just
been demoted changes nothing. When the transaction commits, the database checks that the profile keeps an owner.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller, MemberRole, require_scope
from engine.accounts.member import Member, last_owner_error, require_other_user, require_owner
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from storage.accounts.access import MAX_ID, ProfileAccess, enter_profile, validate_id
from storage.postgres import queries
from storage.postgres.database import Connection, Database

T = TypeVar("T")
SQL: Final = queries.load("accounts/members")


class PostgresMemberStore:
    """MemberStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_members(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                SQL["list_members"], profile_id, min(after, MAX_ID), limit + 1
            )
            members = [Member(**dict(row)) for row in rows]
            return ListPage.of(members, limit, "user_id")

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def member(self, caller: Caller, profile_id: int, user_id: int) -> Member:
        async def work(connection: Connection) -> Member:
            await enter_profile(connection, caller, profile_id, Action.READ)
            return await _member(connection, profile_id, user_id)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def change_role(
        self,
        caller: Caller,
        profile_id: int,
        user_id: int,
        role: Change[MemberRole, Member],
        if_version: int | None = None,
    ) -> Member:
        async def work(connection: Connection) -> Member:
            access = await lock_team(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            stored = await _member(connection, profile_id, user_id, if_version)
            new_role: MemberRole = draft_after(role, stored)
            require_owner(access.role, stored.role, new_role)
            if stored.role == new_role:
                return stored
            await _set_role(connection, access, user_id, new_role)
            return await _member(connection, profile_id, user_id)

        return await self._change(caller, work)

    async def remove_member(
        self, caller: Caller, profile_id: int, user_id: int, if_version: int | None = None
    ) -> None:
        leaves = caller.user_id == user_id
        action = Action.READ if leaves else Action.MANAGE_MEMBERS

        async def work(connection: Connection) -> None:
            access = await lock_team(connection, caller, profile_id, action)
            require_scope(caller, "admin")
            stored = await _member(connection, profile_id, user_id, if_version)
            require_owner(access.role, stored.role)
            await connection.execute(SQL["remove_member"], access.tenant_id, profile_id, user_id)

        await self._change(caller, work)

    async def transfer(self, caller: Caller, profile_id: int, user_id: int) -> Member:
        async def work(connection: Connection) -> Member:
            access = await lock_team(connection, caller, profile_id, Action.TRANSFER)
            stored = await _member(connection, profile_id, user_id)
            require_other_user(caller, user_id)
            if stored.role != "owner":
                await _set_role(connection, access, user_id, "owner")
            await _set_role(connection, access, caller.user_id, "admin")
            return await _member(connection, profile_id, user_id)

        return await self._change(caller, work)

    async def _change(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        with _last_owner_refused():
            return await self._database.transaction(work, caller=caller)


async def lock_team(
    connection: Connection, caller: Caller, profile_id: int, action: Action
) -> ProfileAccess:
    """Lock the profile's team until the transaction ends, and act in its tenant as enter_profile() does."""
    access = await enter_profile(connection, caller, profile_id, action)
    await connection.execute(SQL["lock_team"], access.tenant_id, profile_id)
    # Because this is a new statement, it sees roles that were committed during the wait for the lock.
    return await enter_profile(connection, caller, profile_id, action)


@contextmanager
def _last_owner_refused() -> Iterator[None]:
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != "members_owner":
            raise
        raise last_owner_error() from None


async def _member(
    connection: Connection, profile_id: int, user_id: int, if_version: int | None = None
) -> Member:
    row = await connection.fetchrow(SQL["member"], profile_id, validate_id(user_id, "member"))
    if row is None:
        raise NotFoundError.of("member")
    member = Member(**dict(row))
    require_version(member.version, if_version)
    return member


async def _set_role(
    connection: Connection, access: ProfileAccess, user_id: int, role: MemberRole
) -> None:
    await connection.execute(SQL["set_role"], access.tenant_id, access.profile_id, user_id, role)
