"""Goals: what members want visitors to do, an own event or a click on a link, and how many reach it.

A visitor of a UTC day reaches a goal by its event or click on that day. The rate is the visitors who reach it
by the visitors of clicks and views; it exceeds 1 if own events come from visitors who are seen nowhere else.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Final

import msgspec

from engine.clicks.own_event import MAX_NAME_CHARS as MAX_EVENT_CHARS
from engine.clicks.own_event import MAX_VALUE_CHARS, is_property_name
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.common.text_rules import text_errors
from engine.stats.dashboards.item import MAX_NAME_CHARS, DashboardItem
from engine.stats.parameters.filter_values import joined_values
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query

MAX_GOALS: Final = 20  # of one profile
_LINK: Final = re.compile(r"[1-9][0-9]{0,18}")
GOAL_DIMENSIONS: Final = (
    "event",
    "property",
    "link",
    "variant",
)  # that goals filter by, or do not have
PERIOD: Final = ("from", "to", "period", "tz", "week_start", "compare")
# Of one row: what is asked for is the total.
_ONE_ROW: Final = (("group", "time"), ("interval", "year"), ("fill", "none"))

Pairs = Sequence[tuple[str, str]]


class Goal(DashboardItem, frozen=True, kw_only=True):
    """A goal: an own event, or a click on the link of this id; '' for what it is not."""

    name: str
    event: str
    property: str
    link: str


class GoalDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A goal to be kept: its name, and either an own event, if you like with a property (`plan=pro`), or the id
    of a link."""

    name: Annotated[str, StandIn("-")]
    event: str = ""
    property: str = ""
    link: str = ""


def validate_goal(draft: GoalDraft) -> tuple[GoalDraft | None, list[FieldError]]:
    """Return the draft, or None and all errors."""
    errors = text_errors(draft.name, "name", MAX_NAME_CHARS)
    if not draft.name.strip():
        errors.append(FieldError("name", "must not be empty"))
    errors += text_errors(draft.event, "event", MAX_EVENT_CHARS)
    if draft.event != draft.event.strip() or not draft.event.isprintable():
        errors.append(FieldError("event", "must be printable, without blanks around it"))
    if bool(draft.event) == bool(draft.link):
        errors.append(FieldError("event", "must be given, or a link: one of the two"))
    if draft.link and _LINK.fullmatch(draft.link) is None:
        errors.append(FieldError("link", "must be the id of a link"))
    if draft.property:
        errors += _property_errors(draft)
    return (None, errors) if errors else (draft, [])


def _property_errors(draft: GoalDraft) -> list[FieldError]:
    name, equals, value = draft.property.partition("=")
    if not draft.event:
        return [FieldError("property", "must be left out without an event")]
    is_line = value == value.strip() and value.isprintable()
    if not equals or not is_property_name(name) or not is_line or len(value) > MAX_VALUE_CHARS:
        return [FieldError("property", "must be a property and its value, such as plan=pro")]
    return []


class GoalQueries(msgspec.Struct, frozen=True):
    """The queries whose totals tell how goals are reached: of all visitors, then of each goal."""

    visitors: StatsQuery
    goals: tuple[StatsQuery, ...]


def goal_queries(
    pairs: Pairs, goals: Sequence[Goal], now: datetime, first_day: date | None
) -> GoalQueries:
    """Return the queries for the parameters of a request: a period, a comparison, and filters that hold for
    visitors and goals alike. Raises InvalidError with every bad parameter."""
    errors = [
        FieldError(name[:64], f"must not be given here: there are {', '.join(PERIOD)} and filters")
        for name, _ in pairs
        if name not in PERIOD and not name.startswith("filter[")
    ]
    errors += [
        FieldError(name[:64], "must be of another dimension: goals say what is reached")
        for name, _ in pairs
        if name.startswith(tuple(f"filter[{own}]" for own in GOAL_DIMENSIONS))
    ]
    if errors:
        raise InvalidError(errors)
    base = [*pairs, *_ONE_ROW]
    visitors = parse_query([*base, ("metrics", "clicks,visitors")], now, first_day)
    return GoalQueries(
        visitors, tuple(parse_query([*base, *_pairs_of(goal)], now, first_day) for goal in goals)
    )


def _pairs_of(goal: Goal) -> list[tuple[str, str]]:
    if goal.link:
        return [("link", goal.link), ("metrics", "clicks,visitors")]
    pairs = [("filter[event]", joined_values([goal.event])), ("metrics", "events,visitors")]
    if goal.property:
        pairs.append(("filter[property]", joined_values([goal.property])))
    return pairs
