"""A profile: a handle, a title and its links; and its changes, as they are announced to edges."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from engine.accounts.access import MemberRole
from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.links import name

MAX_TITLE_CHARS: Final = 120
RETENTION_DAYS: Final = 90
MAX_RETENTION_DAYS: Final = 3_650
MAX_WHOLE_LINKS: Final = 200  # an edge never loads all links of a profile with more
MAX_WHOLE_BYTES: Final = 262_144  # nor one whose targets and options are larger
MAX_PAGE_LINKS: Final = 200
MAX_HISTORY: Final = 10_000  # versions that a difference between snapshots may span


Handle = Annotated[
    str,
    msgspec.Meta(
        description="1-32 of a-z, 0-9, `_`, `.`, `-`; case is ignored",
        extra_json_schema={"pattern": name.HANDLE_PATTERN, "examples": ["ada"]},
    ),
]
ProfileTitle = Annotated[
    str,
    msgspec.Meta(
        description="shown on the profile's page", extra_json_schema=text_schema(MAX_TITLE_CHARS)
    ),
]


RetentionDays = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=MAX_RETENTION_DAYS,
        description="days for which raw clicks are kept; their counts stay",
    ),
]


class ProfileDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as a request wants it."""

    handle: Annotated[Handle, StandIn("ab")]
    title: ProfileTitle = ""
    raw_retention_days: RetentionDays = RETENTION_DAYS


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A stored profile. `version` grows by one with every change of the profile or of its links. `role` is the
    caller's, in a list of their profiles; else None."""

    id: int
    tenant_id: int
    handle: str
    title: str
    raw_retention_days: int = RETENTION_DAYS
    version: int
    created_at: datetime
    updated_at: datetime
    role: MemberRole | None = None


def validate_draft(draft: ProfileDraft) -> tuple[ProfileDraft | None, list[FieldError]]:
    """Return the draft with its handle in lower case, or None and all errors."""
    errors = name.handle_errors(draft.handle) + text_errors(draft.title, "title", MAX_TITLE_CHARS)
    if not 1 <= draft.raw_retention_days <= MAX_RETENTION_DAYS:
        errors.append(FieldError("raw_retention_days", f"must be from 1 to {MAX_RETENTION_DAYS}"))
    if errors:
        return None, errors
    return msgspec.structs.replace(draft, handle=draft.handle.lower()), []


def draft_of(profile: Profile) -> ProfileDraft:
    """Return the draft that would change nothing."""
    return ProfileDraft(
        handle=profile.handle,
        title=profile.title,
        raw_retention_days=profile.raw_retention_days,
    )


class ProfileChange(msgspec.Struct, frozen=True, gc=False):
    """A committed new version of a profile, as announced to edges. `deleted`: the profile is gone."""

    profile_id: int
    version: int
    deleted: bool = False
