"""Questions for a profile's links: which of them, and in which order."""

from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from engine.common.json_forms import time_text
from engine.links.link import Link
from engine.links.link_clicks import NO_CLICKS, ClickPeriod, LinkClickCounts

LinkSort = Literal["created", "updated", "title", "slug", "position", "clicks", "last_click"]
LinkState = Literal["active", "paused", "scheduled", "over", "quarantined"]
HealthFilter = Literal["ok", "broken", "unknown", "unchecked"]
SORTS: Final[tuple[str, ...]] = get_args(LinkSort)
STATES: Final[tuple[str, ...]] = get_args(LinkState)
HEALTH_FILTERS: Final[tuple[str, ...]] = get_args(HealthFilter)
MAX_SEARCH_CHARS: Final = 200


class LinkQuery(NamedTuple):
    """Filters, all of which a link must pass; an empty one lets every link pass.

    `text` is in the slug, title, target, notes or external id, case ignored. `target` is the whole target.
    With another sort than `created`, `after_value` is sort_value() of the last link of the page before.
    Links come with their clicks in `period`, if there is one, as the sorts `clicks` and `last_click` need.
    """

    text: str = ""
    tag: str = ""
    folder: str = ""
    kind: str = ""
    state: str = ""
    health: str = ""
    target: str = ""
    external_id: str = ""
    hidden: bool | None = None
    sort: str = "created"
    descending: bool = False
    after_value: str = ""
    period: ClickPeriod | None = None


ALL: Final = LinkQuery()


def state_of(link: Link, now: datetime) -> LinkState:
    """Return the state of a link at a time, by its own settings; not whether its limit is used up."""
    if link.paused:
        return "paused"
    if link.active_until is not None and link.active_until <= now:
        return "over"
    if link.active_from is not None and now < link.active_from:
        return "scheduled"
    return "quarantined" if link.quarantined or link.engine_quarantine else "active"


def sort_value(link: Link, sort: str) -> str:
    """Return the value by which a link is sorted before its id, as text that sorts alike."""
    match sort:
        case "updated":
            return time_text(link.updated_at)
        case "title":
            return link.title.lower()
        case "slug":
            return link.slug
        case "position":
            return str(link.position)
        case "clicks":
            return str((link.clicks or NO_CLICKS).clicks)
        case "last_click":
            last = (link.clicks or NO_CLICKS).last_click
            return str(0 if last is None else round(last.timestamp()) // 900)
    return ""


def with_clicks(link: Link, counted: LinkClickCounts | None, period: ClickPeriod) -> Link:
    """Return the link with its clicks in the period: `counted`, and of all time its total."""
    clicks = counted or NO_CLICKS
    if period.all_time:
        total = max(0, clicks.clicks + link.opening_clicks - link.counts_offset)
        clicks = msgspec.structs.replace(clicks, clicks=total)
    return msgspec.structs.replace(link, clicks=clicks)


def matches(link: Link, query: LinkQuery, now: datetime) -> bool:
    """Return whether a link passes the query's filters."""
    text = query.text.lower()
    searched = (link.slug, link.title, link.target, link.notes, link.external_id)
    return (
        any(text in field.lower() for field in searched)
        and (not query.tag or query.tag.lower() in [tag.lower() for tag in link.tags])
        and query.folder in ("", link.folder)
        and query.kind in ("", link.kind)
        and query.target in ("", link.target)
        and query.external_id in ("", link.external_id)
        and query.hidden in (None, link.hidden)
        and query.state in ("", state_of(link, now))
        and query.health in ("", link.health.state if link.health else "unchecked")
    )


def is_sort_value(sort: str, value: str) -> bool:
    """Return whether a text can be the sort_value() of a link."""
    try:
        match sort:
            case "created":
                return value == ""
            case "updated":
                return datetime.fromisoformat(value).tzinfo is not None
            case "position":
                return abs(int(value)) < 2**31
            case "clicks" | "last_click":
                return 0 <= int(value) < 2**62
    except (ValueError, OverflowError):
        return False
    return True
