"""Objects of the API as the client returns them. Fields that a newer console adds are ignored."""

from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar

import msgspec

T = TypeVar("T")


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile; `url` is its page. `role` is the caller's in it, in lists."""

    id: str
    handle: str
    title: str
    url: str
    version: int
    raw_retention_days: int
    created_at: datetime
    updated_at: datetime
    role: str | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link. `url` is its address, `short_url` its address without the handle, if it has one; `clicks` and
    `last_click` are those of a list that was asked for with `include`."""

    id: str
    slug: str
    title: str
    target: str
    url: str
    short_url: str | None
    profile_id: str
    status: int
    kind: str
    passthrough: bool
    click_id: bool
    short: bool
    external_id: str
    tags: tuple[str, ...]
    folder: str
    notes: str
    hidden: bool
    position: int
    opening_clicks: int
    has_password: bool
    paused: bool
    paused_reason: str
    quarantined: bool
    quarantine_reason: str
    active_from: datetime | None
    active_until: datetime | None
    click_limit: int | None
    fallback_target: str
    web_target: str
    extra_path: bool
    rules: tuple[dict[str, Any], ...]
    utm: dict[str, str] | None
    noindex: bool
    preview: dict[str, str] | None
    engine_quarantine: dict[str, Any] | None = None
    version: int
    created_at: datetime
    updated_at: datetime
    github: dict[str, Any] | None = None
    health: dict[str, Any] | None = None
    clicks: int | None = None
    last_click: datetime | None = None
    warnings: tuple[dict[str, str], ...] = ()

    @property
    def address(self) -> str:
        """Return the shortest address that visitors use."""
        return self.short_url or self.url


class PlainLinkFields(TypedDict, total=False):
    """Fields of a link that requests may set, beyond its target and external id."""

    slug: str | None
    title: str
    status: int
    kind: str
    passthrough: bool
    click_id: bool
    short: bool | None
    tags: list[str]
    folder: str
    notes: str
    hidden: bool
    position: int | None
    opening_clicks: int
    password: str | None
    paused: bool
    paused_reason: str
    quarantined: bool
    quarantine_reason: str
    active_from: datetime | None
    active_until: datetime | None
    click_limit: int | None
    fallback_target: str
    web_target: str
    extra_path: bool
    rules: list[dict[str, Any]]
    utm: dict[str, str] | None
    noindex: bool
    preview: dict[str, str] | None


class LinkFields(PlainLinkFields, total=False):
    """Fields of a link that requests may set, beyond its target. Those left out stay as they are."""

    external_id: str


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list. `next_cursor` leads to the next one; None: this is the last."""

    items: list[T]
    next_cursor: str | None = None


class Stats(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """The answer to a question about clicks. `totals` and each of `rows` have the metrics by name; rows have
    their time or the values that they are grouped by, too. `as_of`: when counts were last committed."""

    start: datetime
    end: datetime
    tz: str
    interval: str
    as_of: datetime | None
    totals: dict[str, Any]
    rows: list[dict[str, Any]]
    next_cursor: str | None = None
