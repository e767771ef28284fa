"""Teams and invitations in memory: the twin of storage.accounts.members and storage.accounts.invitations."""

import itertools
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import trio

from engine.accounts.access import MAX_MEMBERS, Action, Caller, MemberRole, require_scope
from engine.accounts.member import (
    MAX_INVITATIONS,
    Invitation,
    InvitationDraft,
    InvitationPreview,
    JoinResult,
    Member,
    last_owner_error,
    raise_refusal,
    require_other_user,
    require_owner,
)
from engine.common.drafts import Change, draft_after
from engine.common.errors import ConflictError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.links.profile import Profile
from storage.accounts import tokens
from storage.accounts.invitations import account_exists_error, invitation_limit_error
from storage.accounts.memory_accounts import MemoryAccountStore
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


class ProfileTeams(Protocol):
    """Profiles with their teams, as the twin of profiles has them."""

    def team(
        self, caller: Caller, profile_id: int, action: Action
    ) -> tuple[Profile, dict[int, MemberRole]]:
        """Return a profile and its members' roles. Raises NotFoundError, or ForbiddenError for the action."""

    def team_of(self, profile_id: int) -> tuple[Profile, dict[int, MemberRole]] | None:
        """Return a profile and its members' roles without a check of access; None if it was deleted."""


class MemoryMembers:
    """MemberStore and InvitationStore without a server, over the profiles and users of two other twins."""

    def __init__(
        self,
        profiles: ProfileTeams,
        accounts: MemoryAccountStore,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._profiles = profiles
        self._accounts = accounts
        self._now = now
        self._changes: dict[tuple[int, int], tuple[int, datetime, datetime]] = {}
        self._invitations: dict[bytes, Invitation] = {}
        self._used: set[bytes] = set()
        self._joined: dict[bytes, Caller] = {}  # new users by the digest of their token
        self._ids = itertools.count(1)
        self._idempotency = MemoryIdempotency(now)

    async def list_members(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        profile, team = self._profiles.team(caller, profile_id, Action.READ)
        members = [self._member(profile, team, user_id) for user_id in sorted(team)]
        members = [member for member in members if member.user_id > after]
        return ListPage.of(members, limit, "user_id")

    async def member(self, caller: Caller, profile_id: int, user_id: int) -> Member:
        await trio.lowlevel.checkpoint()
        profile, team = self._profiles.team(caller, profile_id, Action.READ)
        return self._member(profile, team, user_id)

    async def change_role(
        self,
        caller: Caller,
        profile_id: int,
        user_id: int,
        role: Change[MemberRole, Member],
        if_version: int | None = None,
    ) -> Member:
        await trio.lowlevel.checkpoint()
        profile, team = self._profiles.team(caller, profile_id, Action.MANAGE_MEMBERS)
        stored = self._member(profile, team, user_id, if_version)
        new_role: MemberRole = draft_after(role, stored)
        require_owner(team[caller.user_id], stored.role, new_role)
        if stored.role == new_role:
            return stored
        self._require_owner_left(team, user_id, new_role)
        return self._set_role(profile, team, stored, new_role)

    async def remove_member(
        self, caller: Caller, profile_id: int, user_id: int, if_version: int | None = None
    ) -> None:
        await trio.lowlevel.checkpoint()
        action = Action.READ if caller.user_id == user_id else Action.MANAGE_MEMBERS
        profile, team = self._profiles.team(caller, profile_id, action)
        require_scope(caller, "admin")
        stored = self._member(profile, team, user_id, if_version)
        require_owner(team[caller.user_id], stored.role)
        self._require_owner_left(team, user_id, None)
        del team[user_id]
        self._changes.pop((profile_id, user_id), None)

    async def transfer(self, caller: Caller, profile_id: int, user_id: int) -> Member:
        await trio.lowlevel.checkpoint()
        profile, team = self._profiles.team(caller, profile_id, Action.TRANSFER)
        stored = self._member(profile, team, user_id)
        require_other_user(caller, user_id)
        if stored.role != "owner":
            stored = self._set_role(profile, team, stored, "owner")
        self._set_role(profile, team, self._member(profile, team, caller.user_id), "admin")
        return stored

    # Invitations

    async def invite(
        self,
        caller: Caller,
        profile_id: int,
        draft: InvitationDraft,
        once: IdempotentRequest[tuple[Invitation, str]] | None = None,
    ) -> tuple[Invitation, str]:
        await trio.lowlevel.checkpoint()

        def work() -> tuple[Invitation, str]:
            return self._invite(caller, profile_id, draft)

        return self._idempotency.run_once(caller, once, work)

    def _invite(
        self, caller: Caller, profile_id: int, draft: InvitationDraft
    ) -> tuple[Invitation, str]:
        _, team = self._profiles.team(caller, profile_id, Action.MANAGE_MEMBERS)
        emails = {self._accounts.users[user_id].email.lower() for user_id in team}
        if draft.email.lower() in emails:
            raise ConflictError("email", "must not be the address of a member")
        if len(self._open_invitations(profile_id)) >= MAX_INVITATIONS:
            raise invitation_limit_error()
        now, token = self._now(), tokens.new("wpi_")
        invitation = Invitation(
            id=next(self._ids),
            profile_id=profile_id,
            email=draft.email,
            role=draft.role,
            invited_by=caller.user_id,
            created_at=now,
            expires_at=now + timedelta(days=draft.expires_in_days),
        )
        self._invitations[tokens.require_digest(token)] = invitation
        return invitation, token

    async def list_invitations(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_MEMBERS)
        invitations = self._open_invitations(profile_id)
        return ListPage.of([item for item in invitations if item.id > after], limit)

    async def withdraw(self, caller: Caller, profile_id: int, invitation_id: int) -> None:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.MANAGE_MEMBERS)
        key = invitation_id, profile_id
        for digest, invitation in self._invitations.items():
            if (invitation.id, invitation.profile_id) == key and digest not in self._used:
                del self._invitations[digest]
                return
        raise NotFoundError.of("invitation")

    async def preview(self, token: str) -> InvitationPreview:
        await trio.lowlevel.checkpoint()
        _, invitation, profile, team = self._require_open(token)
        return InvitationPreview(
            profile_id=profile.id,
            handle=profile.handle,
            title=profile.title,
            email=invitation.email,
            role=invitation.role,
            inviter=self._inviter(invitation, team),
            expires_at=invitation.expires_at,
        )

    def _inviter(self, invitation: Invitation, team: dict[int, MemberRole]) -> str:
        user = self._accounts.users.get(invitation.invited_by)
        return user.name or user.email if user and user.id in team else ""

    async def accept(
        self, caller: Caller, token: str, once: IdempotentRequest[JoinResult] | None = None
    ) -> JoinResult:
        await trio.lowlevel.checkpoint()
        require_scope(caller, "admin")
        return self._idempotency.run_once(caller, once, lambda: self._join(caller.user_id, token))

    async def accept_as_new(
        self,
        token: str,
        password: str,
        name: str,
        user_agent: str,
        request_id: str,
        once: IdempotentRequest[JoinResult] | None = None,
    ) -> JoinResult:
        await trio.lowlevel.checkpoint()
        joined = self._joined.get(tokens.digest(token) or b"")
        if once is not None and joined is not None:
            self._idempotency.raise_if_answered(joined, once)
        _, invitation, _, team = self._require_open(token)
        if invitation.email in [user.email for user in self._accounts.users.values()]:
            raise account_exists_error()
        if len(team) >= MAX_MEMBERS:
            raise_refusal("full")
        new_id = secrets.randbits(60)
        user = self._accounts.add(Caller(new_id, new_id), invitation.email, password, name)
        joined = self._joined[tokens.require_digest(token)] = Caller(new_id, new_id)

        def join() -> JoinResult:
            join_result = self._join(user.id, token)
            return join_result._replace(login=self._accounts.create_session(user, user_agent))

        return self._idempotency.run_once(joined, once, join)

    def _join(self, user_id: int, token: str) -> JoinResult:
        digest, invitation, profile, team = self._require_open(token)
        if user_id in team:
            raise_refusal("member")
        if len(team) >= MAX_MEMBERS:
            raise_refusal("full")
        team[user_id] = msgspec.convert(invitation.role, MemberRole)
        self._changes[(profile.id, user_id)] = (1, self._now(), self._now())
        self._used.add(digest)
        return JoinResult(profile.id, invitation.role)

    def _require_open(self, token: str) -> tuple[bytes, Invitation, Profile, dict[int, MemberRole]]:
        digest = tokens.digest(token) or b""
        if digest not in self._invitations:
            raise_refusal("unknown")
        invitation = self._invitations[digest]
        profile_and_team = self._profiles.team_of(invitation.profile_id)
        if profile_and_team is None:
            raise_refusal("unknown")
        if digest in self._used:
            raise_refusal("used")
        if invitation.expires_at <= self._now():
            raise_refusal("expired")
        return digest, invitation, *profile_and_team

    def _open_invitations(self, profile_id: int) -> list[Invitation]:
        now = self._now()
        return [
            invitation
            for digest, invitation in self._invitations.items()
            if invitation.profile_id == profile_id
            and invitation.expires_at > now
            and digest not in self._used
        ]

    # The state

    def _member(
        self,
        profile: Profile,
        team: dict[int, MemberRole],
        user_id: int,
        if_version: int | None = None,
    ) -> Member:
        if user_id not in team:
            raise NotFoundError.of("member")
        since = profile.created_at
        version, created_at, updated_at = self._changes.get(
            (profile.id, user_id), (1, since, since)
        )
        require_version(version, if_version)
        user = self._accounts.users[user_id]
        return Member(
            user_id=user_id,
            email=user.email,
            name=user.name,
            role=team[user_id],
            version=version,
            created_at=created_at,
            updated_at=updated_at,
        )

    def _set_role(
        self, profile: Profile, team: dict[int, MemberRole], stored: Member, role: MemberRole
    ) -> Member:
        team[stored.user_id] = role
        change = (stored.version + 1, stored.created_at, self._now())
        self._changes[(profile.id, stored.user_id)] = change
        return self._member(profile, team, stored.user_id)

    def _require_owner_left(
        self, team: dict[int, MemberRole], user_id: int, new_role: MemberRole | None
    ) -> None:
        owners = [member_id for member_id, role in team.items() if role == "owner"]
        if new_role != "owner" and owners == [user_id]:
            raise last_owner_error()
