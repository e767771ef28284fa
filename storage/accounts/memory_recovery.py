"""Set-up and password resets in memory: the twin of storage.accounts.recovery."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import trio

from engine.accounts.access import Caller
from engine.accounts.account import NewSession, User
from engine.accounts.recovery import (
    GENERATED_EMAIL,
    MAX_TOKENS,
    RESET_LIFETIME,
    SETUP_LIFETIME,
    IssuedToken,
    RecoveryPurpose,
    SetupDraft,
    email_taken_error,
    unknown_token_error,
)
from storage.accounts import tokens
from storage.accounts.memory_accounts import MemoryAccountStore


def _now() -> datetime:
    return datetime.now(UTC)


class _Token(NamedTuple):
    user_id: int
    purpose: RecoveryPurpose
    expires_at: datetime


class MemoryRecovery:
    """RecoveryStore and ResetTokenStore without a server, over the users of another twin. `requested` has the
    ids of users whose reset's mail is enqueued."""

    def __init__(self, accounts: MemoryAccountStore, now: Callable[[], datetime] = _now) -> None:
        self._accounts = accounts
        self._now = now
        self._tokens: dict[bytes, _Token] = {}
        self.requested: list[int] = []

    async def setup_needed(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self._generated_owner() is not None

    async def set_up(self, draft: SetupDraft, user_agent: str, request_id: str) -> NewSession:
        await trio.lowlevel.checkpoint()
        owner = self._user_of(draft.code, "setup")
        if any(u.email == draft.email and u.id != owner.id for u in self._accounts.users.values()):
            raise email_taken_error()
        user = msgspec.structs.replace(
            owner,
            name=draft.name,
            email=draft.email,
            version=owner.version + 1,
            updated_at=self._now(),
        )
        self._accounts.users[user.id] = user
        self._renew(user, draft.password)
        return self._accounts.create_session(user, user_agent)

    async def request_reset(self, email: str) -> None:
        await trio.lowlevel.checkpoint()
        for user in self._accounts.users.values():
            if user.email == email and user.id not in self.requested:
                self.requested.append(user.id)

    async def reset(self, token: str, password: str, request_id: str) -> Caller:
        await trio.lowlevel.checkpoint()
        user = self._user_of(token, "reset")
        self._renew(user, password)
        return Caller(user.tenant_id, user.id)

    async def issue_reset_token(self, tenant_id: int, user_id: int) -> IssuedToken | None:
        await trio.lowlevel.checkpoint()
        user = self._accounts.users.get(user_id)
        return None if user is None else self._issue(user, "reset")

    def issue_setup_code(self) -> IssuedToken | None:
        owner = self._generated_owner()
        return None if owner is None else self._issue(owner, "setup")

    def _issue(self, user: User, purpose: RecoveryPurpose) -> IssuedToken:
        issued = [key for key, t in self._tokens.items() if t[:2] == (user.id, purpose)]
        for key in issued[: len(issued) - MAX_TOKENS + 1]:
            del self._tokens[key]
        token = tokens.new("wpo_")
        expires_at = self._now() + (RESET_LIFETIME if purpose == "reset" else SETUP_LIFETIME)
        self._tokens[tokens.require_digest(token)] = _Token(user.id, purpose, expires_at)
        return IssuedToken(user.email, token, expires_at)

    def _generated_owner(self) -> User | None:
        users = sorted(self._accounts.users.values(), key=lambda user: (user.tenant_id, user.id))
        return users[0] if users and users[0].email == GENERATED_EMAIL else None

    def _user_of(self, token: str, purpose: RecoveryPurpose) -> User:
        issued = self._tokens.get(tokens.digest(token) or b"")
        if issued is None or issued.purpose != purpose or issued.expires_at <= self._now():
            raise unknown_token_error(purpose)
        return self._accounts.users[issued.user_id]

    def _renew(self, user: User, password: str) -> None:
        """Set the password, and end the user's tokens and sessions."""
        self._accounts.reset_password(user.id, password)
        self._tokens = {key: t for key, t in self._tokens.items() if t.user_id != user.id}
