"""Links as the API shows them, and what it says of names that may be taken for others."""

from datetime import datetime
from typing import Final

import msgspec

from api.github import sync
from api.github.bodies import SyncResponse
from api.http.bodies import FieldReason, Id, Url, Version, utc
from engine.links import name
from engine.links.confusables import confusable_reason
from engine.links.health import LinkHealth
from engine.links.link import Link


class LinkResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A link as the API shows it; `short_url` is there when it owns `/{slug}`, too, `github` when it is kept
    in step with a repository, `health` when its target has been checked. `warnings` are in the answers to
    changes: what is allowed, but may not be meant."""

    id: Id
    profile_id: Id
    slug: str
    target: str
    title: str
    status: int
    kind: str
    passthrough: bool
    click_id: bool
    short: bool
    url: Url
    short_url: Url | None
    version: Version
    created_at: datetime
    updated_at: datetime
    github: SyncResponse | msgspec.UnsetType = msgspec.UNSET
    health: LinkHealth | msgspec.UnsetType = msgspec.UNSET
    warnings: list[FieldReason] | msgspec.UnsetType = msgspec.UNSET


# What the API shows under the same name and in the same form as it is stored.
_AS_STORED: Final = (
    {field.name for field in msgspec.structs.fields(LinkResponse)}
    & {field.name for field in msgspec.structs.fields(Link)}
) - {"id", "profile_id", "created_at", "updated_at", "github", "health"}


class LinkResponses:
    def __init__(self, visitors_url: str) -> None:
        self._visitors_url = visitors_url

    def response(self, handle: str, link: Link) -> LinkResponse:
        """A link of the profile that has this handle."""
        return LinkResponse(
            id=str(link.id),
            profile_id=str(link.profile_id),
            url=self._url(handle, link.slug),
            short_url=self._url(link.slug) if link.short else None,
            created_at=utc(link.created_at),
            updated_at=utc(link.updated_at),
            github=msgspec.UNSET if link.github is None else sync.sync_response(link.github),
            health=msgspec.UNSET if link.health is None else _shown_health(link.health),
            **{name: getattr(link, name) for name in _AS_STORED},
        )

    def response_with_warnings(self, handle: str, link: Link) -> LinkResponse:
        """The same with warnings, if there are any."""
        reason = confusable_reason(link.slug)
        warnings = msgspec.UNSET if reason is None else [FieldReason("slug", reason)]
        return msgspec.structs.replace(self.response(handle, link), warnings=warnings)

    def _url(self, *keys: str) -> str:
        return self._visitors_url + name.encode_path(*keys).decode("ascii")


def tag_suffix(link: Link) -> str:
    """What the answer shows and the link's version does not count, as part of an entity tag."""
    github = "" if link.github is None else f"g{link.github.version}"
    health = "" if link.health is None else f"h{link.health.checked_at.timestamp():.6f}"
    return github + health


def _shown_health(health: LinkHealth) -> LinkHealth:
    return msgspec.structs.replace(
        health, checked_at=utc(health.checked_at), since=utc(health.since)
    )


EXAMPLE: Final = {
    "id": "365072220160000002",
    "profile_id": "365072220160000001",
    "slug": "spring",
    "target": "https://example.com/spring",
    "title": "Spring collection",
    "status": 302,
    "kind": "url",
    "passthrough": False,
    "click_id": False,
    "short": True,
    "url": "https://go.example/ada/spring",
    "short_url": "https://go.example/spring",
    "version": 1,
    "created_at": "2026-05-01T09:31:00Z",
    "updated_at": "2026-05-01T09:31:00Z",
}
