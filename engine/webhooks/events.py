"""Events that webhooks can subscribe to: a catalogue of types, with a struct of each type's `data`.

A body is `{"type", "timestamp", "data"}`, as in Standard Webhooks. Only fields of these structs are sent: a new
column of a table reaches no receiver until a struct has it. Ids are decimal strings, times RFC 3339 in UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

import msgspec

_IDS_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND: Final = 2**43 - 1
IdText = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,18}$")]


class LinkState(msgspec.Struct, frozen=True, kw_only=True):
    """A link in an event."""

    id: IdText
    slug: str
    target: str
    title: str
    status: int
    kind: str
    passthrough: bool


class ProfileState(msgspec.Struct, frozen=True, kw_only=True):
    """A profile in an event."""

    id: IdText
    handle: str
    title: str


class MemberState(msgspec.Struct, frozen=True, kw_only=True):
    """A member in an event."""

    user_id: IdText
    role: str


class AssetState(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file in an event."""

    id: IdText
    name: str = ""
    content_type: str = ""
    bytes: int = 0


class ChangeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an object. `user_id` is the member who made it, null if it was the engine itself."""

    id: IdText
    profile_id: IdText
    user_id: IdText | None = None


class LinkChanged(ChangeEvent, frozen=True, kw_only=True):
    """A change of a link. `before` is null if it was created, `after` if it was deleted."""

    before: LinkState | None = None
    after: LinkState | None = None


class LinkQuarantine(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantine of a link by the engine or its operator, or its end. `rule`: blocklist, lookalike, reports
    or operator."""

    profile_id: IdText
    link_id: IdText
    rule: str
    reason: str


class ReportCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's report of a link."""

    profile_id: IdText
    link_id: IdText
    category: str


class ProfileChanged(ChangeEvent, frozen=True, kw_only=True):
    """A change of the profile. `after` is null if it was deleted."""

    before: ProfileState | None = None
    after: ProfileState | None = None


class MemberChanged(ChangeEvent, frozen=True, kw_only=True):
    """A change of a member. `id` is their user id; `before` is null if they joined, `after` if they left."""

    before: MemberState | None = None
    after: MemberState | None = None


class AssetChanged(ChangeEvent, frozen=True, kw_only=True):
    """A change of an uploaded file. `before` is null if it was created, `after` if it was deleted."""

    before: AssetState | None = None
    after: AssetState | None = None


class CountedClicks(msgspec.Struct, frozen=True, kw_only=True):
    """The number of new clicks on one link."""

    link_id: IdText
    clicks: int


class LinksClicked(msgspec.Struct, frozen=True, kw_only=True):
    """Human clicks that were counted in one commit. Each click is in one event only."""

    profile_id: IdText
    links: tuple[CountedClicks, ...]


class LinkMilestone(msgspec.Struct, frozen=True, kw_only=True):
    """A number of human clicks that a link has reached: 10, 100, 1,000, and so on."""

    profile_id: IdText
    link_id: IdText
    clicks: int


class ExperimentStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The start of an experiment, with the names of its variants."""

    id: IdText
    profile_id: IdText
    name: str = ""
    variants: tuple[str, ...] = ()


class ExperimentDecided(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an experiment. `winner` is null if it has none; `verdict` is the reason in one word."""

    id: IdText
    profile_id: IdText
    name: str = ""
    verdict: str
    winner: str | None = None


class ExperimentSrm(msgspec.Struct, frozen=True, kw_only=True):
    """A sample-ratio mismatch: variants did not get their shares of visitors, so do not trust the results."""

    id: IdText
    profile_id: IdText
    name: str = ""
    p_value: float


class GithubSynced(msgspec.Struct, frozen=True, kw_only=True):
    """New facts of a link's GitHub repository."""

    profile_id: IdText
    link_id: IdText
    repository: str
    stars: int | None = None
    forks: int | None = None
    language: str | None = None
    archived: bool = False


class PagePublished(msgspec.Struct, frozen=True, kw_only=True):
    """The publication of the profile's page. `user_id` is the member who published it."""

    profile_id: IdText
    user_id: IdText | None = None
    version: int


class DigestTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a period."""

    clicks: int
    visitors: int
    views: int


class DigestLink(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks on a link, and in the period before. `name`: its title or path."""

    link_id: IdText
    name: str
    clicks: int
    before: int


class DigestSource(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks from a source, and in the period before; null: not known."""

    source: str | None
    clicks: int
    before: int


class DigestCountry(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks from a country, and in the period before; null: not known."""

    country: str | None
    clicks: int
    before: int


class DigestReady(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The digest of a week or month, `to` exclusive: its totals, those of the period before, and the top five
    links, sources and countries."""

    profile_id: IdText
    from_: str
    to: str
    tz: str
    totals: DigestTotals
    before: DigestTotals
    links: tuple[DigestLink, ...]
    sources: tuple[DigestSource, ...]
    countries: tuple[DigestCountry, ...]


class EndpointDisabled(msgspec.Struct, frozen=True, kw_only=True):
    """The disabling of a webhook, sent to the profile's other webhooks."""

    profile_id: IdText
    webhook_id: IdText
    url: str
    reason: str


class EndpointTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test event, sent to one webhook when a member requests it."""

    profile_id: IdText
    webhook_id: IdText
    message: str


class EventType(NamedTuple):
    """A type of event. `data` is the struct of its data. `opt_in`: only webhooks that name the type get it."""

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
_CHANGED_BY: Final = {"profile_id": "365072220160000001", "user_id": "365072220160000003"}
_LINK_CHANGE: Final = {"id": "365072220160000002", **_CHANGED_BY}
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
_QUARANTINE: Final = {
    "profile_id": "365072220160000001",
    "link_id": "365072220160000002",
    "rule": "blocklist",
    "reason": "leads to bad.example, which is on this engine's blocklist",
}
_CLICKS: Final = {"link_id": "365072220160000002", "clicks": 3}
_DIGEST: Final = {
    "profile_id": "365072220160000001",
    "from": "2026-05-04",
    "to": "2026-05-11",
    "tz": "UTC",
    "totals": {"clicks": 420, "visitors": 300, "views": 510},
    "before": {"clicks": 400, "visitors": 310, "views": 450},
    "links": [
        {
            "link_id": "365072220160000002",
            "name": "Spring collection",
            "clicks": 200,
            "before": 180,
        }
    ],
    "sources": [{"source": "Instagram", "clicks": 300, "before": 250}],
    "countries": [{"country": None, "clicks": 9, "before": 0}],
}

EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {
        event_type.name: event_type
        for event_type in (
            EventType("link.created", "A link was created", LinkChanged,
                      _LINK_CHANGE | {"before": None, "after": _LINK}),
            EventType("link.updated", "A link was changed", LinkChanged,
                      _LINK_CHANGE | {"before": _LINK | {"title": ""}, "after": _LINK}),
            EventType("link.deleted", "A link was deleted", LinkChanged,
                      _LINK_CHANGE | {"before": _LINK, "after": None}),
            EventType("link.clicked", "Links were clicked: many clicks in one event", LinksClicked,
                      {"profile_id": "365072220160000001", "links": [_CLICKS]}, opt_in=True),
            EventType("link.milestone", "A link has had 10, 100, 1,000, … clicks", LinkMilestone,
                      {"profile_id": "365072220160000001", **_CLICKS, "clicks": 1000}),
            EventType("link.quarantined", "The engine or its operator quarantined a link", LinkQuarantine,
                      _QUARANTINE),
            EventType("link.released", "A link's quarantine by the engine or its operator has ended",
                      LinkQuarantine, _QUARANTINE),
            EventType("report.created", "A visitor reported a link", ReportCreated,
                      {"profile_id": "365072220160000001", "link_id": "365072220160000002",
                       "category": "phishing"}),
            EventType("profile.updated", "The profile was changed", ProfileChanged,
                      {"id": "365072220160000001", **_CHANGED_BY, "before": _PROFILE | {"title": ""},
                       "after": _PROFILE}),
            EventType("profile.deleted", "The profile was deleted", ProfileChanged,
                      {"id": "365072220160000001", **_CHANGED_BY, "before": _PROFILE, "after": None}),
            EventType("member.created", "A user joined the profile", MemberChanged,
                      {"id": "365072220160000004", **_CHANGED_BY, "before": None, "after": _MEMBER}),
            EventType("member.updated", "A member got another role", MemberChanged,
                      {"id": "365072220160000004", **_CHANGED_BY, "before": _MEMBER | {"role": "viewer"},
                       "after": _MEMBER}),
            EventType("member.deleted", "A member left or was removed", MemberChanged,
                      {"id": "365072220160000004", **_CHANGED_BY, "before": _MEMBER, "after": None}),
            EventType("page.published", "The profile's page was published", PagePublished,
                      {**_CHANGED_BY, "version": 3}),
            EventType("experiment.started", "An experiment was started", ExperimentStarted,
                      _EXPERIMENT | {"variants": ["a", "b"]}),
            EventType("experiment.decided", "An experiment has its verdict", ExperimentDecided,
                      _EXPERIMENT | {"verdict": "winner", "winner": "b"}),
            EventType("experiment.srm", "An experiment has a sample-ratio mismatch", ExperimentSrm,
                      _EXPERIMENT | {"p_value": 0.0001}),
            EventType("github.synced", "The facts of a link's GitHub repository have changed", GithubSynced,
                      {"profile_id": "365072220160000001", "link_id": "365072220160000002",
                       "repository": "ada/engine", "stars": 1815, "forks": 12, "language": "Python",
                       "archived": False}),
            EventType("asset.created", "A file was uploaded", AssetChanged,
                      {"id": "365072220160000005", **_CHANGED_BY, "before": None, "after": _ASSET}),
            EventType("asset.updated", "A file was changed", AssetChanged,
                      {"id": "365072220160000005", **_CHANGED_BY, "before": _ASSET | {"name": "a.png"},
                       "after": _ASSET}),
            EventType("asset.deleted", "A file was deleted", AssetChanged,
                      {"id": "365072220160000005", **_CHANGED_BY, "before": _ASSET, "after": None}),
            EventType("digest.weekly", "The digest of a week, from Monday to Sunday", DigestReady, _DIGEST),
            EventType("digest.monthly", "The digest of a month", DigestReady,
                      _DIGEST | {"from": "2026-05-01", "to": "2026-06-01"}),
            EventType("endpoint.disabled", "Another webhook of the profile was disabled",
                      EndpointDisabled,
                      _HOOK | {"url": "https://example.com/hook", "reason": "it answered 410 Gone"}),
            EventType("endpoint.test", "A member requested a test", EndpointTest,
                      _HOOK | {"message": "A test, sent on request."}),
        )
    }
)  # fmt: skip


class EventDraft(NamedTuple):
    """An event to be written to the outbox. `data` is the struct of its type. With `once`, only the profile's
    first event with that text is sent, for as long as events are kept."""

    tenant_id: int
    profile_id: int
    type: str
    data: msgspec.Struct
    once: str | None = None


def matching_names(type_: str) -> tuple[str, ...]:
    """Return the names by which a webhook may subscribe to a type of event. In SQL: event_names()."""
    if EVENT_TYPES[type_].opt_in:
        return (type_,)
    return (type_, type_.partition(".")[0] + ".*", "*")


SUBSCRIBABLE_NAMES: Final = tuple(
    sorted({name for type_ in EVENT_TYPES for name in matching_names(type_)})
)


def lowest_event_id(at: datetime, later_s: int = 0) -> int:
    """Return an id that no event made since `later_s` after `at` is below: ids begin with the milliseconds
    since 2026."""
    milliseconds = int((at - _IDS_BEGIN).total_seconds() + later_s) * 1000
    return min(max(milliseconds, 0), _LAST_MILLISECOND) << 20


def event_id(number: int) -> str:
    """Return the id that receivers get in `webhook-id`, equal in every attempt and replay."""
    return f"evt_{number}"


def encode_body(type_: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return the JSON body of an event. Fields of `data` that the type's struct lacks are left out.

    An event always gives the same bytes. Raises msgspec.ValidationError for data of another shape.
    """
    return msgspec.json.encode(
        {
            "type": type_,
            "timestamp": at.astimezone(UTC),
            "data": msgspec.convert(data, EVENT_TYPES[type_].data),
        }
    )
