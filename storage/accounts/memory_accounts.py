"""Users and their sessions in memory: the twin of storage.accounts.accounts and storage.accounts.sessions."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import trio

from engine.accounts.access import Caller
from engine.accounts.account import MAX_SESSIONS, NewSession, Session, User, UserDraft
from engine.common.drafts import Change, draft_after
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from storage.accounts import tokens
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryAccountStore:
    """AccountStore and SessionStore without a server. Passwords are not hashed."""

    def __init__(self, lifetime_s: int = 3600, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._lifetime_s = lifetime_s
        self._passwords: dict[int, str] = {}
        self._sessions: dict[int, tuple[bytes, int, Session]] = {}  # id → digest, user, session
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)
        self.users: dict[int, User] = {}

    def add(self, caller: Caller, email: str, password: str, name: str = "") -> User:
        """Add an account with the ids of `caller`."""
        now = self._now()
        user = User(
            id=caller.user_id,
            tenant_id=caller.tenant_id,
            email=email,
            name=name,
            version=1,
            created_at=now,
            updated_at=now,
        )
        self.users[user.id] = user
        self._passwords[user.id] = password
        return user

    async def login(
        self,
        email: str,
        password: str,
        user_agent: str,
        once: IdempotentRequest[NewSession] | None = None,
    ) -> NewSession | None:
        await trio.lowlevel.checkpoint()
        for user in self.users.values():
            if user.email == email.lower() and self._passwords[user.id] == password:
                return self._log_in(user, user_agent, once)
        return None

    def _log_in(
        self, user: User, user_agent: str, once: IdempotentRequest[NewSession] | None
    ) -> NewSession:
        caller = Caller(user.tenant_id, user.id)
        return self._idempotency.run_once(
            caller, once, lambda: self.create_session(user, user_agent)
        )

    async def user(self, caller: Caller) -> User:
        await trio.lowlevel.checkpoint()
        return self._user(caller)

    async def update_user(
        self, caller: Caller, draft: Change[UserDraft, User], if_version: int | None = None
    ) -> User:
        await trio.lowlevel.checkpoint()
        stored = self._user(caller)
        require_version(stored.version, if_version)
        name = draft_after(draft, stored).name
        if name != stored.name:
            self.users[stored.id] = msgspec.structs.replace(
                stored, name=name, version=stored.version + 1, updated_at=self._now()
            )
        return self.users[stored.id]

    async def change_password(
        self, caller: Caller, current: str, new: str, session_id: int
    ) -> bool:
        await trio.lowlevel.checkpoint()
        if self._passwords.get(caller.user_id) != current:
            return False
        self._passwords[caller.user_id] = new
        for session in self._of(caller.user_id):
            if session.id != session_id:
                del self._sessions[session.id]
        return True

    def reset_password(self, user_id: int, password: str) -> None:
        """Set a user's password and end their sessions."""
        self._passwords[user_id] = password
        for session in self._of(user_id):
            del self._sessions[session.id]

    # Sessions

    async def find(self, token: str) -> tuple[Caller, int, datetime] | None:
        await trio.lowlevel.checkpoint()
        digest = tokens.digest(token)
        for stored_digest, user_id, session in self._sessions.values():
            if stored_digest == digest and session.expires_at > self._now():
                caller = Caller(self.users[user_id].tenant_id, user_id)
                return caller, session.id, session.expires_at
        return None

    async def list_sessions(self, caller: Caller, after: int, limit: int) -> ListPage:
        await trio.lowlevel.checkpoint()
        now = self._now()
        sessions = [s for s in self._of(caller.user_id) if s.id > after and s.expires_at > now]
        return ListPage.of(sessions, limit)

    async def end_session(self, caller: Caller, session_id: int) -> None:
        await trio.lowlevel.checkpoint()
        if session_id not in [session.id for session in self._of(caller.user_id)]:
            raise NotFoundError.of("session")
        del self._sessions[session_id]

    def create_session(self, user: User, user_agent: str) -> NewSession:
        now = self._now()
        for old in self._of(user.id)[: 1 - MAX_SESSIONS]:
            del self._sessions[old.id]
        for old in self._of(user.id):
            if old.expires_at <= now:
                del self._sessions[old.id]
        session = Session(
            id=next(self._ids),
            user_agent=user_agent,
            created_at=now,
            last_used_at=now,
            expires_at=now + timedelta(seconds=self._lifetime_s),
        )
        token = tokens.new("wps_")
        self._sessions[session.id] = tokens.require_digest(token), user.id, session
        return NewSession(user, session, token)

    def _of(self, user_id: int) -> list[Session]:
        return [session for _, owner, session in self._sessions.values() if owner == user_id]

    def _user(self, caller: Caller) -> User:
        if caller.user_id not in self.users:
            raise NotFoundError.of("user")
        return self.users[caller.user_id]
