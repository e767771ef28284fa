"""Items that members keep for a profile's dashboard: annotations, and saved questions.

An annotation marks a day, or a moment, in charts. A saved question is a named query string of stats.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Final
from urllib.parse import parse_qsl

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.common.json_forms import time_text
from engine.common.text_rules import text_errors
from engine.stats import period
from engine.stats.query_parser import parse_query

MAX_ANNOTATIONS: Final = 500  # of one profile
MAX_TEXT_CHARS: Final = 200
MAX_SAVED_QUESTIONS: Final = 100  # of one profile
MAX_NAME_CHARS: Final = 100
MAX_QUERY_CHARS: Final = 2_000
ANNOTATIONS: Final = "annotations"  # the parameter that adds annotations to an answer
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_YEARS: Final = range(2000, 9999)


class DashboardItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a profile. `version` grows with each change."""

    id: int
    profile_id: int
    version: int
    created_by: int
    created_at: datetime
    updated_at: datetime


class Annotation(DashboardItem, frozen=True, kw_only=True):
    """A text at a day (2026-05-01, in whatever zone a chart has) or a moment (2026-05-01T09:30:00Z)."""

    at: str
    text: str


class SavedQuestion(DashboardItem, frozen=True, kw_only=True):
    """A query string of stats, by a name."""

    name: str
    query: str


class AnnotationDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation to be kept: its day or moment, and its text."""

    at: Annotated[str, StandIn("2026-05-01")]
    text: Annotated[str, StandIn("-")]


class SavedQuestionDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A question to be saved: its name, and its parameters as in a URL of stats."""

    name: Annotated[str, StandIn("-")]
    query: Annotated[str, StandIn("")]


def validate_annotation(
    draft: AnnotationDraft,
) -> tuple[AnnotationDraft | None, list[FieldError]]:
    """Return the draft with its moment in UTC, or None and all errors."""
    errors = _line_errors(draft.text, "text", MAX_TEXT_CHARS)
    at = _canonical_moment(draft.at)
    if at is None:
        reason = "must be a day, or a time with an offset, as in 2026-05-01 or 2026-05-01T09:30:00Z"
        errors.append(FieldError("at", reason))
    if errors or at is None:
        return None, errors
    return AnnotationDraft(at=at, text=draft.text), []


def saved_question_validator(
    now: Callable[[], datetime],
) -> Callable[[SavedQuestionDraft], tuple[SavedQuestionDraft | None, list[FieldError]]]:
    """Return a function that validates a draft by the clock `now`: its query must be one of stats."""

    def validate(
        draft: SavedQuestionDraft,
    ) -> tuple[SavedQuestionDraft | None, list[FieldError]]:
        errors = _line_errors(draft.name, "name", MAX_NAME_CHARS)
        query = draft.query.removeprefix("?")
        errors += _query_errors(query, now())
        if errors:
            return None, errors
        return SavedQuestionDraft(name=draft.name, query=query), []

    return validate


def _line_errors(text: str, field: str, max_chars: int) -> list[FieldError]:
    errors = text_errors(text, field, max_chars)
    return errors if text.strip() else [*errors, FieldError(field, "must not be empty")]


def _query_errors(query: str, now: datetime) -> list[FieldError]:
    if len(query) > MAX_QUERY_CHARS:
        return [FieldError("query", f"must have at most {MAX_QUERY_CHARS:,} characters")]
    if not query.isprintable():
        return [FieldError("query", "must not have control characters; percent-encode them")]
    pairs, shows = without_annotations(parse_qsl(query, keep_blank_values=True))
    if shows is None:
        return [FieldError("query", f"{ANNOTATIONS} must be 0 or 1, once")]
    try:
        parse_query(pairs, now)
    except InvalidError as error:
        return [FieldError("query", f"{field} {reason}") for field, reason in error.errors]
    return []


def _canonical_moment(text: str) -> str | None:
    """Return a day as it is, a moment in UTC to the second, or None for any other text."""
    try:
        if _DAY.fullmatch(text):
            return text if date.fromisoformat(text).year in _YEARS else None
        moment = datetime.fromisoformat(text)
        if len(text) < len("2026-05-01T09:30Z") or moment.tzinfo is None:
            return None
        moment = moment.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None
    return time_text(moment) if moment.year in _YEARS else None


def without_annotations(
    pairs: Sequence[tuple[str, str]],
) -> tuple[list[tuple[str, str]], bool | None]:
    """Return a query's other parameters, and whether it asks for annotations; None for a bad value of that."""
    values = [value for name, value in pairs if name == ANNOTATIONS]
    others = [(name, value) for name, value in pairs if name != ANNOTATIONS]
    return others, {(): False, ("0",): False, ("1",): True}.get(tuple(values))


def annotations_within(
    annotations: Sequence[Annotation], start: datetime, end: datetime, tz: str
) -> list[Annotation]:
    """Return the annotations of [start, end) in the order of their times. A day is in a period that has a part
    of it, by the clocks of `tz`; it stands before the moments of that day."""
    zone = period.zone(tz)
    first_day = start.astimezone(zone).date().isoformat()
    last_day = _last_day(end.astimezone(zone))
    start_text, end_text = time_text(start.astimezone(UTC)), time_text(end.astimezone(UTC))

    def is_within(annotation: Annotation) -> bool:
        if _DAY.fullmatch(annotation.at):
            return first_day <= annotation.at <= last_day
        return start_text <= annotation.at < end_text

    return sorted(filter(is_within, annotations), key=lambda kept: (kept.at, kept.id))


def _last_day(end: datetime) -> str:
    """Return the last local day of a period that ends before `end`."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    ordinal = end.date().toordinal() - (end == midnight)
    return str(date.fromordinal(max(ordinal, 1)))
