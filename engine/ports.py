"""Ports: what actors and doors ask of storage. Each has a real implementation and an in-memory twin.

All methods are trio-async and cancellable, and raise `UnavailableError` when the server behind them
does not answer within its time limit. One contract suite (tests/storage/) runs against both.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from engine.access import Caller, MemberRole
from engine.account import NewSession, User, UserDraft
from engine.activity import ActivityFilter
from engine.batch import Batch
from engine.errors import WaypostError
from engine.idempotency import IdempotentRequest
from engine.key import KeyDraft, NewKey
from engine.link import Link, LinkDraft
from engine.member import Invitation, InvitationDraft, InvitationPreview, JoinResult, Member
from engine.ports_summaries import BufferedClicks, JournalWatermarks, WatermarkAdvance
from engine.profile import Profile, ProfileChange, ProfileDraft, Snapshot
from engine.rate import Quota, RateDecision
from engine.security import SecurityEvent, SecurityEventKind
from engine.visitor_key import DailyKey


class ListPage(NamedTuple):
    """One page of a list; `next_after` is the last id when there may be more."""

    items: list[Any]
    next_after: int | None


class LinkChange(NamedTuple):
    """One of many changes of a profile's links. `draft` makes what is wanted of what is stored (None for a
    create), and raises InvalidError; `link_id` and `if_version` are for updates and deletes."""

    op: Literal["create", "update", "delete"]
    draft: Callable[[Link | None], LinkDraft]
    link_id: int = 0
    if_version: int | None = None


class LinkChangeResult(NamedTuple):
    """What became of one: the link as it is now (None when it was deleted), or why nothing was done."""

    link: Link | None = None
    error: WaypostError | None = None


class ProfileStore(Protocol):
    """Profiles and links as the console changes them, each for its members.

    Every change bumps the profile's version in the same transaction and returns what was stored.
    Ids of what the caller is no member of raise NotFoundError, the same as ids that do not exist; a
    role or key that does not suffice raises ForbiddenError (engine/access.py has the table). Drafts have
    been checked already. `if_version` raises LostUpdateError when the object has another version. With
    `once`, a create raises AlreadyAnsweredError when the same request has been answered before, and
    InvalidError when another one has used its key.
    """

    async def create_profile(
        self, caller: Caller, draft: ProfileDraft, once: IdempotentRequest[Profile] | None = None
    ) -> Profile:
        """Raises ConflictError("handle", …)."""

    async def profile(self, caller: Caller, profile_id: int) -> Profile: ...

    async def list_profiles(self, caller: Caller, after: int, limit: int) -> ListPage: ...

    async def update_profile(
        self,
        caller: Caller,
        profile_id: int,
        draft: ProfileDraft,
        if_version: int | None = None,
    ) -> Profile: ...

    async def delete_profile(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> Profile:
        """Deletes its links too. Counts stay."""

    async def create_link(
        self,
        caller: Caller,
        profile_id: int,
        draft: LinkDraft,
        once: IdempotentRequest[tuple[Link, ProfileChange]] | None = None,
    ) -> tuple[Link, ProfileChange]:
        """Raises ConflictError("slug", …).

        `draft.short` True claims `/{slug}` or raises ConflictError("short", …); None claims it when it
        is free; False does not.
        """

    async def link(self, caller: Caller, link_id: int) -> Link: ...

    async def list_links(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_link(
        self,
        caller: Caller,
        link_id: int,
        draft: LinkDraft,
        if_version: int | None = None,
    ) -> tuple[Link, ProfileChange]:
        """Raises as `create_link` does. What changes nothing is returned as it is, with no new version.

        `draft.short` None keeps what the link has; with a new slug, it claims that one when it is free.
        """

    async def delete_link(
        self, caller: Caller, link_id: int, if_version: int | None = None
    ) -> ProfileChange: ...

    async def change_links(
        self,
        caller: Caller,
        profile_id: int,
        operations: Sequence[LinkChange],
        once: IdempotentRequest[tuple[list[LinkChangeResult], ProfileChange]] | None = None,
    ) -> tuple[list[LinkChangeResult], ProfileChange]:
        """Many changes of one profile's links in one transaction: what became of each, in their order.

        One that fails changes nothing and stops no other. Together they are one version of the profile,
        or none if nothing changed.
        """


class ErasureStore(Protocol):
    async def erase(
        self, caller: Caller, profile_id: int, if_version: int | None = None
    ) -> ProfileChange:
        """Delete a profile, as `ProfileStore.delete_profile` does, and have all else of it erased."""

    async def list_erasures(self, caller: Caller, before: int, limit: int) -> ListPage:
        """Erasures of the caller's tenant, by falling id of the profile, of ids below `before` (0: all)."""


class ArchiveSource(Protocol):
    """All that is kept of a profile, as lines of JSON: the first says what it is, the last that it is whole."""

    async def check(self, caller: Caller, profile_id: int) -> None:
        """Raises as `archive` would: it takes Action.ARCHIVE."""

    def archive(self, caller: Caller, profile_id: int) -> AsyncGenerator[bytes, None]:
        """Some lines at once, out of one snapshot. Raises UnavailableError when too many ask at once."""


class ImportRow(NamedTuple):
    """A checked row of an import file; `line` is where it stood. An empty title keeps a link's own."""

    line: int
    handle: str
    slug: str
    target: str
    title: str


class ImportResult(NamedTuple):
    """`rejected` pairs lines with reasons; `changes` are the profiles to announce."""

    created: int
    updated: int
    unchanged: int
    rejected: list[tuple[int, str]]
    changes: list[ProfileChange]


class LinkImporter(Protocol):
    async def import_rows(self, caller: Caller, rows: Sequence[ImportRow]) -> ImportResult:
        """One transaction for up to 5,000 rows. Idempotent: the same rows again change nothing.

        Of rows with the same handle and slug the last wins, and the others count as unchanged.
        """


class SnapshotSource(Protocol):
    """What edges read: every tenant's profiles, read only."""

    async def find(self, paths: Sequence[bytes]) -> list[Snapshot | None]:
        """The profile that answers each canonical path, in the order asked, or None.

        Paths are `/slug`, `/handle/slug` or `/@handle`, as `engine.name.canonical_path` spells them. A
        profile of more than MAX_WHOLE_LINKS links comes incomplete, with the asked links only;
        several asked paths of one profile give the very same Snapshot object.
        """

    async def refresh(self, profile_id: int, since: int, limit: int) -> Snapshot | None:
        """What changed after version `since`; None when the profile is gone.

        When more than `limit` links changed, the answer is incomplete with no links and `since` None:
        forget them and ask again as visitors come.
        """

    async def changes(self, cursor: str | None) -> tuple[list[ProfileChange] | None, str]:
        """Changes committed since `cursor`, and the next cursor; each at least once, none ever missed.

        With None: no changes, only a cursor of now. A list of None means too many: assume all changed.
        """


class Announcer(Protocol):
    """News of changes by Redis pub/sub: fast, and allowed to lose some. Polling makes up for that."""

    async def announce(self, changes: Sequence[ProfileChange]) -> None:
        """Never raises: a lost announcement is found by polling, and counted."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[ProfileChange]]: ...


class PlaceLookup(Protocol):
    """Where addresses are. Looking one up is synchronous, at the visitors' door."""

    def place(self, address: str) -> bytes:
        """The data of the item PLACE (engine/extra.py); empty when nobody can tell. Never raises."""

    async def refresh(self) -> bool:
        """Look whether there is something newer; whether places may differ now."""


class LocalKeyStore(Protocol):
    """What edges of one machine share without writing it to a disk."""

    def exchange(self, keys: Sequence[DailyKey], now_us: int) -> dict[int, DailyKey]:
        """Lay these down, drop what is past its time, and take the best of each day.

        Raises UnavailableError while another edge does the same, OSError when there is no room.
        """


class DailyKeyChannel(Protocol):
    """What edges of all machines hear, and nobody writes down."""

    async def send(self, message: bytes) -> int | None:
        """How many listen, the sender among them; None when nobody can tell, 0 when it failed. Never raises."""

    def listen(self) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Messages, the own ones too, from when the subscription stands or has failed once."""


class ActivityReader(Protocol):
    """The log of changes: newest first, at most `limit` entries before seq `before` (0: from the newest).

    A profile's log is for its members, as Action.READ_ACTIVITY says.
    """

    async def of_profile(
        self, caller: Caller, profile_id: int, asked: ActivityFilter, before: int, limit: int
    ) -> ListPage: ...

    async def of_tenant(
        self, caller: Caller, profile_id: int, asked: ActivityFilter, before: int, limit: int
    ) -> ListPage:
        """Of the caller's own tenant: with profile 0 its users and keys; else of a profile that lived
        there, which any of its users may read once the profile is deleted."""


class SecurityLog(Protocol):
    """Where doors say what concerns safety. Synchronous, never raises, never waits."""

    def note(
        self, kind: SecurityEventKind, caller: Caller | None, request_id: str, **detail: str | int
    ) -> None:
        """`caller` None: nobody was recognised. `detail`: a few short facts, never an address, an e-mail
        or a secret. The same again within a second is counted, not repeated."""


class SecurityStore(Protocol):
    async def write(self, events: Sequence[SecurityEvent]) -> None:
        """All of them, or nothing. A connection lost at the end may leave them written all the same."""

    async def events(self, caller: Caller, before: int, limit: int) -> ListPage:
        """StoredEvents of the caller's tenant, newest first, of ids below `before` (0: from the newest).
        Takes the scope admin."""


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

    async def admit(self, email: str, address: str) -> float:
        """Seconds to wait before another try for this account from this address; 0 when admitted.

        Without `email`, the address alone is judged. Raises UnavailableError when nobody can say:
        then nobody logs in.
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
    """Invitations to a profile; of the errors, those of a token are of `engine.member.refused`."""

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


class JournalLease(NamedTuple):
    """How far a journal is folded, and under which fencing token its stream is owned. `summarised` is how
    far it is in the counts by dimension, at most `sequence`."""

    journal_id: UUID
    folded: int
    fencing_token: int
    dimension_counted: int = 0


class ClickLedger(Protocol):
    """The counts, and each journal's watermark next to them in one transaction; in another one the counts
    by dimension and `summarised`, which follows the watermark."""

    async def register(self, journal_id: UUID) -> int:
        """Make the journal's row if there is none; its last click that is in all counts."""

    async def watermarks(self, journal_id: UUID) -> JournalWatermarks: ...

    async def lease(self, owner: str, limit: int, ttl_s: float) -> list[JournalLease]:
        """Renew the leases that `owner` holds and take free or expired ones, `limit` in all.

        A lease that changes hands gets a higher token. Times are the database's own.
        """

    async def release(self, owner: str) -> None: ...

    async def commit(self, position: JournalLease, batches: Sequence[Batch]) -> JournalLease:
        """Raw rows, rollups and the watermark's move, all or nothing.

        `batches` continue the position without a gap; what lies at or below it is skipped. Raises
        StaleLeaseError when the position or the token is no longer this one's.
        """

    async def delete_journal(self, journal_id: UUID) -> None:
        """Forget a journal that is wholly committed and deleted. Its id never comes again."""

    async def dead_letter(self, position: JournalLease, batch: Batch, reason: str) -> JournalLease:
        """Keep a batch that cannot be folded, whole, and move both positions past it, under the same guard:
        all before it must be summarised."""

    async def commit_dimension_counts(
        self, moves: Sequence[WatermarkAdvance], gathered: BufferedClicks
    ) -> None:
        """Counts by dimension, those of experiments, and the moves of `summarised`, all or nothing.

        `gathered` holds the clicks of the moves. Raises StaleLeaseError that names the journals whose
        position or token is no longer this one's; the others can be tried without them."""


class ClickStream(Protocol):
    """One Redis stream a journal; an entry is a batch, its id the batch's last sequence."""

    async def add(self, journal_id: UUID, previous: int, batch: Batch) -> bool:
        """Append a batch if the stream's last entry is `previous`; False when it is not.

        False means that the stream lost entries or has others: `reset` it and ship again from the
        watermark. `previous` 0 with an empty stream is always right after a reset.
        """

    async def last(self, journal_id: UUID) -> int | None:
        """The last entry's sequence; None when the stream is empty."""

    async def reset(self, journal_id: UUID) -> None: ...

    async def trim(self, journal_id: UUID, below: int) -> None:
        """Delete entries under sequence `below`, never the last one."""

    async def read(
        self, journal_id: UUID, after: int, max_batches: int, wait_ms: int
    ) -> list[Batch]:
        """Entries after a sequence, oldest first; waits up to `wait_ms` for the first."""


class Charge(NamedTuple):
    """`cost` units of `quota` for `subject`: a key's id, an address, an account."""

    quota: Quota
    subject: str
    cost: int = 1


class RateLimiter(Protocol):
    """Rate limits that all processes share."""

    async def decide(self, charges: Sequence[Charge]) -> list[RateDecision]:
        """A decision for each charge, in the order asked; by one clock, which is not the caller's.

        Each is decided and used up on its own, whatever becomes of the others: a request passes when
        all allow it. Raises ValueError for more than 16 charges, or a negative cost.
        """
