"""Links as the API shows them, and what it says of names that may be taken for others."""

from typing import Final

import msgspec

from api.github import sync
from api.http.bodies import FieldReason, utc
from api.links.bodies import LinkResponse
from engine.links import name
from engine.links.confusables import confusable_reason
from engine.links.health import LinkHealth
from engine.links.link import Link


class LinkResponses:
    def __init__(self, visitors_url: str) -> None:
        self._visitors_url = visitors_url

    def response(self, handle: str, link: Link) -> LinkResponse:
        """A link of the profile that has this handle."""
        return LinkResponse(
            id=str(link.id),
            profile_id=str(link.profile_id),
            slug=link.slug,
            target=link.target,
            title=link.title,
            status=link.status,
            kind=link.kind,
            passthrough=link.passthrough,
            click_id=link.click_id,
            short=link.short,
            url=self._url(handle, link.slug),
            short_url=self._url(link.slug) if link.short else None,
            version=link.version,
            created_at=utc(link.created_at),
            updated_at=utc(link.updated_at),
            github=msgspec.UNSET if link.github is None else sync.sync_response(link.github),
            health=msgspec.UNSET if link.health is None else _shown_health(link.health),
        )

    def response_with_warnings(self, handle: str, link: Link) -> LinkResponse:
        """The same with warnings, if there are any."""
        reason = confusable_reason(link.slug)
        warnings = msgspec.UNSET if reason is None else [FieldReason("slug", reason)]
        return msgspec.structs.replace(self.response(handle, link), warnings=warnings)

    def _url(self, *keys: str) -> str:
        return self._visitors_url + name.encode_path(*keys).decode("ascii")


def besides(link: Link) -> str:
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
