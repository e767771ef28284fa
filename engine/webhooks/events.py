"""Events: what webhooks tell of. The catalogue is the structs of this file, one for each type's `data`.

A body is `{"type", "timestamp", "data"}`, as Standard Webhooks has it. Only fields that stand here get out:
what a table has gained since is not told to anybody until it is written down here. Ids are decimal
strings, times RFC 3339 in UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from engine.audit.audit_log import with_ids

IdText = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,18}$")]


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    id: IdText
    slug: str
    target: str
    title: str
    status: int
    kind: str
    passthrough: bool


class ProfileState(msgspec.Struct, frozen=True, kw_only=True):
    id: IdText
    handle: str
    title: str


class MemberState(msgspec.Struct, frozen=True, kw_only=True):
    user_id: IdText
    role: str


class AssetState(msgspec.Struct, frozen=True, kw_only=True):
    id: IdText
    name: str = ""
    content_type: str = ""
    bytes: int = 0


class ChangeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is what was changed, `user_id` who did it: null when it was the engine itself."""

    id: IdText
    profile_id: IdText
    user_id: IdText | None = None


class LinkChanged(ChangeEvent, frozen=True, kw_only=True):
    """`before` is null when it was created, `after` when it was deleted."""

    before: LinkState | None = None
    after: LinkState | None = None


class ProfileChanged(ChangeEvent, frozen=True, kw_only=True):
    """`after` is null when it was deleted."""

    before: ProfileState | None = None
    after: ProfileState | None = None


class MemberChanged(ChangeEvent, frozen=True, kw_only=True):
    """`id` is the member's user. `before` is null when they joined, `after` when they left."""

    before: MemberState | None = None
    after: MemberState | None = None


class AssetChanged(ChangeEvent, frozen=True, kw_only=True):
    """`before` is null when it was created, `after` when it was deleted."""

    before: AssetState | None = None
    after: AssetState | None = None


class LinkClicks(msgspec.Struct, frozen=True, kw_only=True):
    link_id: IdText
    clicks: int


class LinksClicked(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks by people that were counted together; each click is in one such event only."""

    profile_id: IdText
    links: tuple[LinkClicks, ...]


class LinkMilestone(msgspec.Struct, frozen=True, kw_only=True):
    """A link has had this many clicks by people: 10, 100, 1,000, and so on."""

    profile_id: IdText
    link_id: IdText
    clicks: int


class ExperimentStarted(msgspec.Struct, frozen=True, kw_only=True):
    id: IdText
    profile_id: IdText
    name: str = ""
    variants: tuple[str, ...] = ()


class ExperimentDecided(msgspec.Struct, frozen=True, kw_only=True):
    """`winner` is null when it ended without one; `verdict` says why in a word."""

    id: IdText
    profile_id: IdText
    name: str = ""
    verdict: str
    winner: str | None = None


class ExperimentSrm(msgspec.Struct, frozen=True, kw_only=True):
    """Variants got other shares of the visitors than they should have: its figures are not to be trusted."""

    id: IdText
    profile_id: IdText
    name: str = ""
    p_value: float


class GithubSynced(msgspec.Struct, frozen=True, kw_only=True):
    """What a link's repository is like now."""

    profile_id: IdText
    link_id: IdText
    repository: str
    stars: int | None = None
    forks: int | None = None
    language: str | None = None
    archived: bool = False


class EndpointDisabled(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook of the profile is not called any more; told to the others."""

    profile_id: IdText
    webhook_id: IdText
    url: str
    reason: str


class EndpointTest(msgspec.Struct, frozen=True, kw_only=True):
    """Sent to one webhook when somebody asks for it."""

    profile_id: IdText
    webhook_id: IdText
    message: str


class EventType(NamedTuple):
    """`data` is the struct of the event's `data`. `opt_in`: only webhooks that name it get it."""

    name: str
    description: str
    data: type[msgspec.Struct]
    example: Mapping[str, Any]
    opt_in: bool = False


_LINK: Final = {
    "id": "365072220160000002",
    "slug": "spring",
    "target": "https://example.com/spring",
    "title": "Spring collection",
    "status": 302,
    "kind": "url",
    "passthrough": False,
}
_BY: Final = {"profile_id": "365072220160000001", "user_id": "365072220160000003"}
_OF_LINK: Final = {"id": "365072220160000002", **_BY}
_PROFILE: Final = {"id": "365072220160000001", "handle": "ada", "title": "Ada"}
_MEMBER: Final = {"user_id": "365072220160000004", "role": "editor"}
_ASSET: Final = {
    "id": "365072220160000005",
    "name": "cat.png",
    "content_type": "image/png",
    "bytes": 4096,
}
_EXPERIMENT: Final = {
    "id": "365072220160000006",
    "profile_id": "365072220160000001",
    "name": "Two headlines",
}
_HOOK: Final = {"profile_id": "365072220160000001", "webhook_id": "365072220160000007"}
_CLICKS: Final = {"link_id": "365072220160000002", "clicks": 3}

EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {
        one.name: one
        for one in (
            EventType("link.created", "A link was made", LinkChanged,
                      _OF_LINK | {"before": None, "after": _LINK}),
            EventType("link.updated", "A link was changed", LinkChanged,
                      _OF_LINK | {"before": _LINK | {"title": ""}, "after": _LINK}),
            EventType("link.deleted", "A link was deleted", LinkChanged,
                      _OF_LINK | {"before": _LINK, "after": None}),
            EventType("link.clicked", "Links were clicked: many clicks in one event", LinksClicked,
                      {"profile_id": "365072220160000001", "links": [_CLICKS]}, opt_in=True),
            EventType("link.milestone", "A link has had 10, 100, 1,000, … clicks", LinkMilestone,
                      {"profile_id": "365072220160000001", **_CLICKS, "clicks": 1000}),
            EventType("profile.updated", "The profile was changed", ProfileChanged,
                      {"id": "365072220160000001", **_BY, "before": _PROFILE | {"title": ""},
                       "after": _PROFILE}),
            EventType("profile.deleted", "The profile was deleted", ProfileChanged,
                      {"id": "365072220160000001", **_BY, "before": _PROFILE, "after": None}),
            EventType("member.created", "Somebody joined the profile", MemberChanged,
                      {"id": "365072220160000004", **_BY, "before": None, "after": _MEMBER}),
            EventType("member.updated", "A member got another role", MemberChanged,
                      {"id": "365072220160000004", **_BY, "before": _MEMBER | {"role": "viewer"},
                       "after": _MEMBER}),
            EventType("member.deleted", "A member left or was removed", MemberChanged,
                      {"id": "365072220160000004", **_BY, "before": _MEMBER, "after": None}),
            EventType("experiment.started", "An experiment was started", ExperimentStarted,
                      _EXPERIMENT | {"variants": ["a", "b"]}),
            EventType("experiment.decided", "An experiment has its verdict", ExperimentDecided,
                      _EXPERIMENT | {"verdict": "winner", "winner": "b"}),
            EventType("experiment.srm", "Visitors were not split as an experiment says", ExperimentSrm,
                      _EXPERIMENT | {"p_value": 0.0001}),
            EventType("github.synced", "What GitHub says of a link's repository has changed", GithubSynced,
                      {"profile_id": "365072220160000001", "link_id": "365072220160000002",
                       "repository": "ada/engine", "stars": 1815, "forks": 12, "language": "Python",
                       "archived": False}),
            EventType("asset.created", "A file was uploaded", AssetChanged,
                      {"id": "365072220160000005", **_BY, "before": None, "after": _ASSET}),
            EventType("asset.updated", "A file was changed", AssetChanged,
                      {"id": "365072220160000005", **_BY, "before": _ASSET | {"name": "a.png"},
                       "after": _ASSET}),
            EventType("asset.deleted", "A file was deleted", AssetChanged,
                      {"id": "365072220160000005", **_BY, "before": _ASSET, "after": None}),
            EventType("endpoint.disabled", "Another webhook of the profile is not called any more",
                      EndpointDisabled,
                      _HOOK | {"url": "https://example.com/hook", "reason": "it answered 410 Gone"}),
            EventType("endpoint.test", "Somebody asked for a test", EndpointTest,
                      _HOOK | {"message": "A test, sent on request."}),
        )
    }
)  # fmt: skip


class EventDraft(NamedTuple):
    """What has happened. `data` is of the type's struct. With `once`, only the first event of the profile
    under that name is told of, for as long as events are kept."""

    tenant_id: int
    profile_id: int
    type: str
    data: msgspec.Struct
    once: str | None = None


def matching_names(type_: str) -> tuple[str, ...]:
    """What a webhook may name to hear of events of a type; as event_names does in SQL."""
    if EVENT_TYPES[type_].opt_in:
        return (type_,)
    return (type_, type_.partition(".")[0] + ".*", "*")


SUBSCRIBABLE_NAMES: Final = tuple(
    sorted({name for type_ in EVENT_TYPES for name in matching_names(type_)})
)


def event_id(number: int) -> str:
    """As receivers see it in `webhook-id`: the same in every attempt and replay."""
    return f"evt_{number}"


def encode_body(type_: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """The JSON that is sent. `data` is a row of the events: what its struct does not have stays here.

    The same event makes the same bytes each time. Raises msgspec.ValidationError for other data.
    """
    shaped = {
        name: with_ids(value) if isinstance(value, dict) else value
        for name, value in (with_ids(dict(data)) or {}).items()
    }
    return msgspec.json.encode(
        {
            "type": type_,
            "timestamp": at.astimezone(UTC),
            "data": msgspec.convert(shaped, EVENT_TYPES[type_].data),
        }
    )
