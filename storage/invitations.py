"""Invitations to profiles, in Postgres.

`accept_invitation` (storage/migrations/0003_teams.sql) is what lets somebody in: it locks the profile,
so that joins take turns, and a profile has ten slots, whose numbers are a key.
"""

from typing import Final

import asyncpg

from engine.access import Action, Caller, demand_scope
from engine.account import User
from engine.errors import ConflictError, NotFoundError
from engine.member import (
    MAX_INVITATIONS,
    Invitation,
    InvitationDraft,
    Invited,
    Joined,
    refused,
)
from engine.ports import Page
from storage import sessions, sql, tokens
from storage.access import MAX_ID, enter_profile, existing_id
from storage.members import lock_team
from storage.passwords import Passwords
from storage.postgres import Connection, Database

SQL: Final = sql.load("invitations")


class Invitations:
    """InvitationStore over a database that was opened as waypost_app. Sessions last `lifetime_s`."""

    def __init__(self, database: Database, passwords: Passwords, lifetime_s: int) -> None:
        self._database = database
        self._passwords = passwords
        self._lifetime_s = lifetime_s

    async def invite(
        self, caller: Caller, profile_id: int, draft: InvitationDraft
    ) -> tuple[Invitation, str]:
        token = tokens.new("wpi_")

        async def work(connection: Connection) -> Invitation:
            place = await lock_team(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            if await connection.fetchval(SQL["has_member"], profile_id, draft.email):
                raise ConflictError("email", "is a member's already")
            where = place.tenant_id, profile_id
            if await connection.fetchval(SQL["count_open"], *where) >= MAX_INVITATIONS:
                raise too_many()
            row = await connection.fetchrow(
                SQL["invite"],
                *where,
                draft.email,
                draft.role,
                tokens.stored(token),
                caller.user_id,
                draft.expires_in_days,
            )
            assert row is not None
            return Invitation(**dict(row))

        return await self._database.run(work, caller=caller), token

    async def list_invitations(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> Page:
        async def work(connection: Connection) -> Page:
            place = await enter_profile(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            rows = await connection.fetch(
                SQL["list_invitations"],
                place.tenant_id,
                profile_id,
                min(after, MAX_ID),
                limit + 1,
            )
            found = [Invitation(**dict(row)) for row in rows]
            return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

        return await self._database.run(work, caller=caller, read_only=True)

    async def withdraw(self, caller: Caller, profile_id: int, invitation_id: int) -> None:
        async def work(connection: Connection) -> None:
            place = await enter_profile(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            which = place.tenant_id, profile_id, existing_id(invitation_id, "invitation")
            if await connection.fetchval(SQL["withdraw"], *which) is None:
                raise NotFoundError("there is no such invitation")

        await self._database.run(work, caller=caller)

    async def preview(self, token: str) -> Invited:
        async def work(connection: Connection) -> Invited:
            return await _invited(connection, token)

        return await self._database.run(work, read_only=True)

    async def accept(self, caller: Caller, token: str) -> Joined:
        async def work(connection: Connection) -> Joined:
            return await _join(connection, token)

        demand_scope(caller, "admin")
        return await self._database.run(work, caller=caller)

    async def accept_as_new(
        self, token: str, password: str, name: str, user_agent: str, request_id: str
    ) -> Joined:
        await self.preview(token)  # no password is hashed for a token that is no good
        password_hash = await self._passwords.hash(password)

        async def work(connection: Connection) -> Joined:
            email = (await _invited(connection, token)).email
            tenant_id = await connection.fetchval(SQL["new_tenant_id"], request_id)
            await connection.execute(SQL["create_tenant"], tenant_id, email)
            row = await connection.fetchrow(
                SQL["create_user"], tenant_id, email, password_hash, name
            )
            assert row is not None
            user = User(**dict(row))
            await connection.execute(SQL["become"], str(user.id))
            joined = await _join(connection, token)
            login = await sessions.begin(connection, user, self._lifetime_s, user_agent)
            return joined._replace(login=login)

        try:
            return await self._database.run(work)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "users_email":
                raise
            raise has_account() from None


def too_many() -> ConflictError:
    return ConflictError(
        "invitations", f"there are {MAX_INVITATIONS} open ones; withdraw one first"
    )


def has_account() -> ConflictError:
    return ConflictError("email", "has an account already; log in, then accept")


async def _invited(connection: Connection, token: str) -> Invited:
    row = await connection.fetchrow(SQL["invitation_of"], tokens.digest(token))
    if row is None:
        refused("unknown")
    if row["accepted"]:
        refused("used")
    if row["expired"]:
        refused("expired")
    return Invited(**{field: row[field] for field in Invited.__struct_fields__})


async def _join(connection: Connection, token: str) -> Joined:
    row = await connection.fetchrow(SQL["accept_invitation"], tokens.digest(token))
    assert row is not None
    if row["outcome"] != "joined":
        refused(row["outcome"])
    return Joined(row["profile_id"], row["role"])
