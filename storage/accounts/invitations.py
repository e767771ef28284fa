"""Invitations to profiles, in Postgres.

The database's function `accept_invitation` adds the member. It locks the profile, so that users join one after
another, and gives each member one of ten numbered slots, which are unique in a profile.
"""

from typing import Final

import asyncpg

from engine.accounts.access import Action, Caller, require_scope
from engine.accounts.account import User
from engine.accounts.member import (
    MAX_INVITATIONS,
    Invitation,
    InvitationDraft,
    InvitationPreview,
    JoinResult,
    raise_refusal,
)
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import RETENTION, IdempotentRequest
from engine.common.list_page import ListPage
from storage.accounts import sessions, tokens
from storage.accounts.access import MAX_ID, enter_profile, validate_id
from storage.accounts.members import lock_team
from storage.accounts.passwords import PasswordHasher
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import response_row, run_once

SQL: Final = queries.load("accounts/invitations")


class PostgresInvitationStore:
    """InvitationStore over a database that was opened as waypost_app. Sessions last `lifetime_s`."""

    def __init__(self, database: Database, passwords: PasswordHasher, lifetime_s: int) -> None:
        self._database = database
        self._passwords = passwords
        self._lifetime_s = lifetime_s

    async def invite(
        self,
        caller: Caller,
        profile_id: int,
        draft: InvitationDraft,
        once: IdempotentRequest[tuple[Invitation, str]] | None = None,
    ) -> tuple[Invitation, str]:
        token = tokens.new("wpi_")

        async def work(connection: Connection) -> tuple[Invitation, str]:
            access = await lock_team(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            if await connection.fetchval(SQL["has_member"], profile_id, draft.email):
                raise ConflictError("email", "must not be the address of a member")
            profile_key = access.tenant_id, profile_id
            if await connection.fetchval(SQL["count_open"], *profile_key) >= MAX_INVITATIONS:
                raise invitation_limit_error()
            row = await connection.fetchrow(
                SQL["invite"],
                *profile_key,
                draft.email,
                draft.role,
                tokens.require_digest(token),
                caller.user_id,
                draft.expires_in_days,
            )
            assert row is not None
            return Invitation(**dict(row)), token

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def list_invitations(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            rows = await connection.fetch(
                SQL["list_invitations"],
                access.tenant_id,
                profile_id,
                min(after, MAX_ID),
                limit + 1,
            )
            invitations = [Invitation(**dict(row)) for row in rows]
            return ListPage.of(invitations, limit)

        return await self._database.transaction(work, caller=caller, read_only=True)

    async def withdraw(self, caller: Caller, profile_id: int, invitation_id: int) -> None:
        async def work(connection: Connection) -> None:
            access = await enter_profile(connection, caller, profile_id, Action.MANAGE_MEMBERS)
            invitation_key = access.tenant_id, profile_id, validate_id(invitation_id, "invitation")
            if await connection.fetchval(SQL["withdraw"], *invitation_key) is None:
                raise NotFoundError.of("invitation")

        await self._database.transaction(work, caller=caller)

    async def preview(self, token: str) -> InvitationPreview:
        async def work(connection: Connection) -> InvitationPreview:
            return await _open_invitation(connection, token)

        return await self._database.transaction(work, read_only=True)

    async def accept(
        self, caller: Caller, token: str, once: IdempotentRequest[JoinResult] | None = None
    ) -> JoinResult:
        async def work(connection: Connection) -> JoinResult:
            return await _join(connection, token)

        require_scope(caller, "admin")
        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def accept_as_new(
        self,
        token: str,
        password: str,
        name: str,
        user_agent: str,
        request_id: str,
        once: IdempotentRequest[JoinResult] | None = None,
    ) -> JoinResult:
        try:
            return await self._accept_as_new(token, password, name, user_agent, request_id, once)
        except ConflictError:
            if once is not None:
                await self._raise_if_answered(token, once)
            raise

    async def _raise_if_answered(self, token: str, once: IdempotentRequest[JoinResult]) -> None:
        async def work(connection: Connection) -> asyncpg.Record | None:
            return await connection.fetchrow(
                SQL["response_to_acceptance"], tokens.digest(token), once.key, RETENTION
            )

        row = await self._database.transaction(work, read_only=True)
        if row is not None:
            raise once.error_for_used_key(response_row(row))

    async def _accept_as_new(
        self,
        token: str,
        password: str,
        name: str,
        user_agent: str,
        request_id: str,
        once: IdempotentRequest[JoinResult] | None,
    ) -> JoinResult:
        await self.preview(token)  # so that no password is hashed for an invalid token
        password_hash = await self._passwords.hash(password)

        async def work(connection: Connection) -> JoinResult:
            email = (await _open_invitation(connection, token)).email
            tenant_id = await connection.fetchval(SQL["new_tenant_id"], request_id)
            await connection.execute(SQL["create_tenant"], tenant_id, email)
            row = await connection.fetchrow(
                SQL["create_user"], tenant_id, email, password_hash, name
            )
            assert row is not None
            user = User(**dict(row))
            await connection.execute(SQL["become"], str(user.id))

            async def join(connection: Connection) -> JoinResult:
                join_result = await _join(connection, token)
                login = await sessions.create_session(
                    connection, user, self._lifetime_s, user_agent
                )
                return join_result._replace(login=login)

            return await run_once(Caller(tenant_id, user.id), once, join)(connection)

        try:
            return await self._database.transaction(work)
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "users_email":
                raise
            raise account_exists_error() from None


def invitation_limit_error() -> ConflictError:
    return ConflictError(
        "invitations", f"must not be more than {MAX_INVITATIONS} open ones; withdraw one first"
    )


def account_exists_error() -> ConflictError:
    return ConflictError("email", "must not have an account; log in, then accept")


async def _open_invitation(connection: Connection, token: str) -> InvitationPreview:
    row = await connection.fetchrow(SQL["invitation_of"], tokens.digest(token))
    if row is None:
        raise_refusal("unknown")
    if row["accepted"]:
        raise_refusal("used")
    if row["expired"]:
        raise_refusal("expired")
    return InvitationPreview(**{field: row[field] for field in InvitationPreview.__struct_fields__})


async def _join(connection: Connection, token: str) -> JoinResult:
    row = await connection.fetchrow(SQL["accept_invitation"], tokens.digest(token))
    assert row is not None
    if row["outcome"] != "joined":
        raise_refusal(row["outcome"])
    return JoinResult(row["profile_id"], row["role"])
