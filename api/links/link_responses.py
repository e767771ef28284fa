"""Responses with links, and their warnings of confusable slugs and doubtful targets."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from api.github import sync
from api.github.bodies import SyncResponse
from api.http.bodies import FieldReason, Id, Url, Version, utc
from engine.links import name
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.confusables import confusable_reason
from engine.links.health import LinkHealth
from engine.links.link import Link
from engine.links.options import LinkOptions
from engine.links.slugs.link_path import link_path
from engine.links.targets.target_policy import NO_POLICY, TargetPolicy


class LinkFields(msgspec.Struct, frozen=True, kw_only=True):
    """A link's own fields, which responses have before its options."""

    id: Id
    slug: str
    title: str
    target: str
    url: Url
    short_url: Url | None
    profile_id: Id
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
    has_password: bool
    opening_clicks: int


# A subclass of LinkOptions would have the options first, and a reader look for the id.
_WithOptions = msgspec.defstruct(
    "LinkWithOptions",
    [(field.name, field.type, field.default) for field in msgspec.structs.fields(LinkOptions)],
    bases=(LinkFields,),
    frozen=True,
    kw_only=True,
)


class LinkResponse(_WithOptions, frozen=True, kw_only=True):  # type: ignore[call-arg, misc, valid-type]
    """A link as the API shows it. `short_url` is set if the link also owns `/{slug}`, `github` if it is
    synchronised with a repository, `health` once its target has been checked, `clicks` and `last_click` (the
    quarter of an hour in which it was, null: none) if `include` names them. `engine_quarantine` says
    why the engine or its operator has quarantined it, null: neither has. `warnings` are in responses to changes
    and name fields that are allowed, but perhaps mistaken."""

    engine_quarantine: EngineQuarantine | None
    version: Version
    created_at: datetime
    updated_at: datetime
    github: SyncResponse | msgspec.UnsetType = msgspec.UNSET
    health: LinkHealth | msgspec.UnsetType = msgspec.UNSET
    clicks: int | msgspec.UnsetType = msgspec.UNSET
    last_click: datetime | msgspec.UnsetType | None = msgspec.UNSET
    warnings: list[FieldReason] | msgspec.UnsetType = msgspec.UNSET


# Fields that the API shows exactly as they are stored.
_AS_STORED: Final = (
    {field.name for field in msgspec.structs.fields(LinkResponse)}
    & {field.name for field in msgspec.structs.fields(Link)}
) - {
    "id", "profile_id", "active_from", "active_until", "created_at", "updated_at", "github", "health",
    "clicks", "engine_quarantine",
}  # fmt: skip


class LinkResponses:
    """Builder of responses with links; `policy` returns what is said of their targets."""

    def __init__(
        self, visitors_url: str, policy: Callable[[], TargetPolicy] = lambda: NO_POLICY
    ) -> None:
        self._visitors_url = visitors_url
        self._policy = policy

    def response(self, handle: str, link: Link) -> LinkResponse:
        """Return a link of the profile with this handle."""
        return LinkResponse(
            id=str(link.id),
            profile_id=str(link.profile_id),
            url=self._url(link_path(handle, link.slug)),
            short_url=self._url(name.encode_path(link.slug)) if link.short else None,
            has_password=link.password is not None,
            active_from=None if link.active_from is None else utc(link.active_from),
            active_until=None if link.active_until is None else utc(link.active_until),
            created_at=utc(link.created_at),
            updated_at=utc(link.updated_at),
            engine_quarantine=quarantine_in_utc(link.engine_quarantine),
            github=msgspec.UNSET if link.github is None else sync.sync_response(link.github),
            health=msgspec.UNSET if link.health is None else _in_utc(link.health),
            **{name: getattr(link, name) for name in _AS_STORED},
        )

    def response_with_warnings(self, handle: str, link: Link) -> LinkResponse:
        """Return the link as response() does, with warnings of a confusable slug and of doubtful targets."""
        texts = self._policy().warnings(link, link.target)
        if (reason := confusable_reason(link.slug)) is not None:
            texts = {"slug": reason, **texts}
        warnings = [FieldReason(field, text) for field, text in texts.items()]
        response = self.response(handle, link)
        return msgspec.structs.replace(response, warnings=warnings or msgspec.UNSET)

    def _url(self, path: bytes) -> str:
        return self._visitors_url + path.decode("ascii")


def tag_suffix(link: Link) -> str:
    """Return the suffix of the link's entity tag: it changes with `github` and `health`, which the link's
    version does not count."""
    github = "" if link.github is None else f"g{link.github.version}"
    health = "" if link.health is None else f"h{link.health.checked_at.timestamp():.6f}"
    return github + health


def _in_utc(health: LinkHealth) -> LinkHealth:
    return msgspec.structs.replace(
        health, checked_at=utc(health.checked_at), since=utc(health.since)
    )


def quarantine_in_utc(quarantine: EngineQuarantine | None) -> EngineQuarantine | None:
    """Return a quarantine with its time in UTC."""
    if quarantine is None:
        return None
    return msgspec.structs.replace(quarantine, since=utc(quarantine.since))


EXAMPLE: Final = {
    "id": "365072220160000002",
    "slug": "spring",
    "title": "Spring collection",
    "target": "https://example.com/spring",
    "url": "https://go.example/ada/spring",
    "short_url": "https://go.example/spring",
    "profile_id": "365072220160000001",
    "status": 302,
    "kind": "url",
    "passthrough": False,
    "click_id": False,
    "short": True,
    "external_id": "",
    "tags": ["campaign"],
    "folder": "",
    "notes": "",
    "hidden": False,
    "position": 0,
    "has_password": False,
    "opening_clicks": 0,
    "paused": False,
    "paused_reason": "",
    "quarantined": False,
    "quarantine_reason": "",
    "active_from": None,
    "active_until": None,
    "click_limit": None,
    "fallback_target": "",
    "web_target": "",
    "extra_path": False,
    "rules": [],
    "utm": None,
    "noindex": False,
    "preview": None,
    "engine_quarantine": None,
    "version": 1,
    "created_at": "2026-05-01T09:31:00Z",
    "updated_at": "2026-05-01T09:31:00Z",
}
