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
from engine.accounts.recovery import IssuedToken, SetupDraft
from engine.common.drafts import Change
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage


class ApiKeyStore(Protocol):
    """API keys. A caller lists and revokes their own; the id of another user's key raises NotFoundError."""

    async def authenticate(self, key: str) -> Caller | None:
        """Return the caller that a key acts for, or None if there is no such key. Raises ExpiredError.

        Only the key's SHA-256 is stored and compared.
        """

    async def create_key(
        self, caller: Caller, draft: KeyDraft, once: IdempotentRequest[NewKey] | None = None
    ) -> NewKey:
        """Make a key. Raises ForbiddenError for scopes that the caller lacks, and ConflictError("keys", …) if
        they have MAX_KEYS working keys."""

    async def list_keys(self, caller: Caller, after: int, limit: int) -> ListPage:
        """Return the caller's keys that are not revoked, expired ones included, of ids above `after`."""

    async def revoke_key(self, caller: Caller, key_id: int) -> None: ...

    async def allows_origin(self, origin: str) -> bool:
        """Return whether a working key, of any tenant, allows pages of this origin."""

    async def record_last_used(self, keys: Sequence[int], sessions: Sequence[int]) -> None:
        """Record that keys and sessions, by their ids, of any tenant, were used: at most once a minute each."""


class AccountStore(Protocol):
    """Users. Methods that take a password also raise UnavailableError while too many are being checked."""

    async def login(
        self,
        email: str,
        password: str,
        user_agent: str,
        once: IdempotentRequest[NewSession] | None = None,
    ) -> NewSession | None:
        """Return a new session, or None for an unknown user or a wrong password: both take equally long."""

    async def user(self, caller: Caller) -> User:
        """Return the caller's own account."""

    async def update_user(
        self, caller: Caller, draft: Change[UserDraft, User], if_version: int | None = None
    ) -> User: ...

    async def change_password(
        self, caller: Caller, current: str, new: str, session_id: int
    ) -> bool:
        """Set a new password and end the caller's other sessions. Returns False if `current` is wrong."""


class SessionStore(Protocol):
    """Sessions of the dashboard. A caller lists and ends their own; the id of another user's session raises
    NotFoundError."""

    async def find(self, token: str) -> tuple[Caller, int, datetime] | None:
        """Return (caller, session id, expiry) of a session, or None. Only the token's SHA-256 is stored."""

    async def list_sessions(self, caller: Caller, after: int, limit: int) -> ListPage: ...

    async def end_session(self, caller: Caller, session_id: int) -> None: ...


class RecoveryStore(Protocol):
    """Set-up of the first account, and resets of forgotten passwords. A token works once, until it expires.

    Methods that take a password raise UnavailableError while too many are being hashed.
    """

    async def setup_needed(self) -> bool:
        """Return whether the first account still has its generated address, or there is none."""

    async def set_up(self, draft: SetupDraft, user_agent: str, request_id: str) -> NewSession:
        """Give the first account a name, an address and a password, end its sessions, and log it in.

        Its API keys still work. Raises NotFoundError for a code that does not work, and
        ConflictError("email", …) for the address of another account.
        """

    async def request_reset(self, email: str) -> None:
        """Enqueue a mail with a reset token, if the address has an account. Says nothing of whether it has."""

    async def reset(self, token: str, password: str, request_id: str) -> Caller:
        """Set a password by a reset token, and end the user's sessions. Returns the user.

        Raises NotFoundError for a token that does not work.
        """


class ResetTokenStore(Protocol):
    """Reset tokens, for workers that mail them."""

    async def issue_reset_token(self, tenant_id: int, user_id: int) -> IssuedToken | None:
        """Make a reset token. Returns None if the user is gone."""


class LoginThrottle(Protocol):
    """Rate limits of login attempts, against guessing of passwords."""

    async def admit(self, email: str, address: str) -> None:
        """Charge one login attempt to the account and the address; without `email`, to the address alone.

        Raises TooSoonError if one of them has no attempt left, and UnavailableError if the limits cannot be
        read: then no user can log in.
        """

    async def admit_reset(self, email: str, address: str) -> None:
        """Charge one request for a reset's mail to the account and the address. Raises as admit()."""


class MemberStore(Protocol):
    """Teams of profiles; errors as in ProfileStore.

    Raises ConflictError("role", …) if a change would leave a profile without an owner, and ForbiddenError if
    a caller who is not an owner makes or unmakes one.
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
        role: Change[MemberRole, Member],
        if_version: int | None = None,
    ) -> Member: ...

    async def remove_member(
        self, caller: Caller, profile_id: int, user_id: int, if_version: int | None = None
    ) -> None:
        """Remove a member. Every member may leave; to remove another takes Action.MANAGE_MEMBERS."""

    async def transfer(self, caller: Caller, profile_id: int, user_id: int) -> Member:
        """Make the other member owner and the caller admin, in one transaction. Returns the new owner."""


class InvitationStore(Protocol):
    """Invitations to a profile. Errors of a token are those of engine.accounts.member.raise_refusal."""

    async def invite(
        self,
        caller: Caller,
        profile_id: int,
        draft: InvitationDraft,
        once: IdempotentRequest[tuple[Invitation, str]] | None = None,
    ) -> tuple[Invitation, str]:
        """Return a new invitation and its token. Raises ConflictError for a member's address, and if
        MAX_INVITATIONS are open."""

    async def list_invitations(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        """Return the open invitations of a profile, of ids above `after`."""

    async def withdraw(self, caller: Caller, profile_id: int, invitation_id: int) -> None: ...

    async def preview(self, token: str) -> InvitationPreview:
        """Return what an invitation is for, while it can be accepted."""

    async def accept(
        self, caller: Caller, token: str, once: IdempotentRequest[JoinResult] | None = None
    ) -> JoinResult:
        """Let the caller join, whatever address was invited: possession of the token decides."""

    async def accept_as_new(
        self,
        token: str,
        password: str,
        name: str,
        user_agent: str,
        request_id: str,
        once: IdempotentRequest[JoinResult] | None = None,
    ) -> JoinResult:
        """Make an account for the invited address, let it join and log it in, in one transaction.

        Raises ConflictError("email", …) if the address has an account. The idempotency key of `once` belongs
        to the new user, whom a repetition finds by the token.
        """
