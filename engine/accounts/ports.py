"""Ports of users, sessions, API keys, members and invitations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from engine.accounts.access import Caller, MemberRole
from engine.accounts.account import NewSession, User, UserDraft
from engine.accounts.api_key import KeyDraft, NewKey
from engine.accounts.member import (
    Invitation,
    InvitationDraft,
    InvitationPreview,
    JoinResult,
    Member,
)
from engine.common.list_page import ListPage


class ApiKeyStore(Protocol):
    """API keys. A caller sees and ends their own; a key's id that is not theirs raises NotFoundError."""

    async def authenticate(self, key: str) -> Caller | None:
        """Whose key this is. Only its SHA-256 is stored and compared. Raises ExpiredError."""

    async def create_key(self, caller: Caller, draft: KeyDraft) -> NewKey:
        """Raises ForbiddenError for scopes that the caller lacks, ConflictError("keys", …) when they have
        MAX_KEYS that work."""

    async def list_keys(self, caller: Caller, after: int, limit: int) -> ListPage:
        """Those that are not revoked; expired ones too."""

    async def revoke_key(self, caller: Caller, key_id: int) -> None: ...

    async def record_last_used(self, keys: Sequence[int], sessions: Sequence[int]) -> None:
        """Keys and sessions of whatever tenants were used. Each is noted once a minute at most."""


class AccountStore(Protocol):
    """Users. Wherever a password is asked for, UnavailableError also says that too many are checked at
    once."""

    async def login(self, email: str, password: str, user_agent: str) -> NewSession | None:
        """A new session, or None: that there is no such user takes as long as a wrong password."""

    async def user(self, caller: Caller) -> User:
        """The caller's own account."""

    async def update_user(
        self, caller: Caller, draft: UserDraft, if_version: int | None = None
    ) -> User: ...

    async def change_password(
        self, caller: Caller, current: str, new: str, session_id: int
    ) -> bool:
        """False when `current` is wrong. Ends the caller's sessions but this one."""


class SessionStore(Protocol):
    """Sessions of the dashboard. A caller sees and ends their own; others raise NotFoundError."""

    async def find(self, token: str) -> tuple[Caller, int, datetime] | None:
        """Whose session this is, its id and its end. Only the token's SHA-256 is stored."""

    async def list_sessions(self, caller: Caller, after: int, limit: int) -> ListPage: ...

    async def end_session(self, caller: Caller, session_id: int) -> None: ...


class LoginThrottle(Protocol):
    """Keeps passwords from being guessed."""

    async def admit(self, email: str, address: str) -> None:
        """Charge one login attempt to the account and the address; without `email`, to the address alone.

        Raises TooSoonError when one of them has none left, and UnavailableError when the limits cannot be
        read: then nobody logs in.
        """


class MemberStore(Protocol):
    """Teams of profiles; errors as in ProfileStore.

    ConflictError("role", …) when the change would leave a profile without owner; ForbiddenError when
    somebody who is no owner makes or unmakes one.
    """

    async def list_members(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def member(self, caller: Caller, profile_id: int, user_id: int) -> Member: ...

    async def change_role(
        self,
        caller: Caller,
        profile_id: int,
        user_id: int,
        role: MemberRole,
        if_version: int | None = None,
    ) -> Member: ...

    async def remove_member(
        self, caller: Caller, profile_id: int, user_id: int, if_version: int | None = None
    ) -> None:
        """Everybody may leave; to remove another takes the right to manage members."""

    async def transfer(self, caller: Caller, profile_id: int, user_id: int) -> Member:
        """The other member becomes owner, the caller admin, at once. The new owner."""


class InvitationStore(Protocol):
    """Invitations to a profile; of the errors, those of a token are of `engine.accounts.member.refused`."""

    async def invite(
        self, caller: Caller, profile_id: int, draft: InvitationDraft
    ) -> tuple[Invitation, str]:
        """The invitation and its token. Raises ConflictError for a member's address, and when
        MAX_INVITATIONS are open."""

    async def list_invitations(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        """The open ones."""

    async def withdraw(self, caller: Caller, profile_id: int, invitation_id: int) -> None: ...

    async def preview(self, token: str) -> InvitationPreview:
        """What the invitation is to, while it can be accepted."""

    async def accept(self, caller: Caller, token: str) -> JoinResult:
        """Let the caller join, whatever address was invited: who has the token is meant."""

    async def accept_as_new(
        self, token: str, password: str, name: str, user_agent: str, request_id: str
    ) -> JoinResult:
        """Make an account of the address invited, let it join and log it in; all or nothing.

        Raises ConflictError("email", …) when the address has an account.
        """
