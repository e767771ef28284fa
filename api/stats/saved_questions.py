"""`/v1/profiles/{id}/saved-questions`: query strings of stats, by a name."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from api.http.bodies import Id, Version, utc
from api.stats.dashboard_items import ItemRoutesKind
from engine.stats.dashboards.item import (
    SavedQuestion,
    SavedQuestionDraft,
    saved_question_validator,
)


class SavedQuestionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A saved question. `query` is the query string of `GET …/stats`, as it was saved."""

    id: Id
    profile_id: Id
    name: str
    query: str
    created_by: Id
    version: Version
    created_at: datetime
    updated_at: datetime


def saved_question_kind(now: Callable[[], datetime]) -> ItemRoutesKind:
    """Return the kind, whose queries are validated by the clock `now`."""
    return ItemRoutesKind(
        path="saved-questions",
        id_name="question_id",
        name="SavedQuestion",
        noun="saved question",
        about="A query string of `GET …/stats` by a name, for every member of the profile. Its parameters are "
        "checked when it is saved.",
        draft=SavedQuestionDraft,
        validate=saved_question_validator(now),
        response=_response,
        response_type=SavedQuestionResponse,
        draft_example=_DRAFT,
        example=_DRAFT
        | {
            "id": "365072220160000061",
            "profile_id": "365072220160000001",
            "created_by": "365072220160000020",
            "version": 1,
            "created_at": "2026-05-01T09:31:00Z",
            "updated_at": "2026-05-01T09:31:00Z",
        },
    )


def _response(question: SavedQuestion) -> SavedQuestionResponse:
    return SavedQuestionResponse(
        id=str(question.id), profile_id=str(question.profile_id), name=question.name,
        query=question.query, created_by=str(question.created_by), version=question.version,
        created_at=utc(question.created_at), updated_at=utc(question.updated_at),
    )  # fmt: skip


_DRAFT: Final = {"name": "Italy, this month", "query": "period=month&filter[country]=IT"}
