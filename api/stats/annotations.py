"""`/v1/profiles/{id}/annotations`: texts at days or moments, and how answers of stats show them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from api.http.auth import share_or_none
from api.http.bodies import Id, Version, utc
from api.stats.dashboard_items import ItemRoutesKind
from engine.common.errors import FieldError, ForbiddenError, InvalidError
from engine.stats.dashboards.item import (
    ANNOTATIONS,
    Annotation,
    AnnotationDraft,
    annotations_within,
    validate_annotation,
    without_annotations,
)
from engine.stats.dashboards.ports import DashboardItemStore
from engine.stats.query import StatsQuery

AnnotationStore = DashboardItemStore[AnnotationDraft, Annotation]
Pairs = list[tuple[str, str]]


class AnnotationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation. `at` is a day (`2026-05-01`, by the clocks of any chart) or a time in UTC."""

    id: Id
    profile_id: Id
    at: str
    text: str
    created_by: Id
    version: Version
    created_at: datetime
    updated_at: datetime


class ShownAnnotation(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation in an answer."""

    id: Id
    at: str
    text: str


def annotation_pairs(pairs: Pairs) -> tuple[Pairs, bool]:
    """Return a query's other parameters, and whether it asks for annotations.

    Raises InvalidError for a bad value, and ForbiddenError for a share: its bounds are counts.
    """
    others, shows = without_annotations(pairs)
    if shows is None:
        raise InvalidError([FieldError(ANNOTATIONS, "must be 0 or 1, once")])
    if shows:
        require_no_share()
    return others, shows


def require_no_share() -> None:
    """Raise ForbiddenError if the request came by a share."""
    if share_or_none() is not None:
        raise ForbiddenError("annotations: a share has counts, no texts of members")


async def shown_annotations(
    store: AnnotationStore, tenant_id: int, profile_id: int, queries: Sequence[StatsQuery]
) -> list[dict[str, Any]]:
    """Return the profile's annotations of the span of the queries' periods, by time."""
    if not queries:
        return []
    start, end = min(query.start for query in queries), max(query.end for query in queries)
    annotations = await store.all_of(tenant_id, profile_id)
    return [
        {"id": str(annotation.id), "at": annotation.at, "text": annotation.text}
        for annotation in annotations_within(annotations, start, end, queries[0].tz)
    ]


def _response(annotation: Annotation) -> AnnotationResponse:
    return AnnotationResponse(
        id=str(annotation.id), profile_id=str(annotation.profile_id), at=annotation.at,
        text=annotation.text, created_by=str(annotation.created_by), version=annotation.version,
        created_at=utc(annotation.created_at), updated_at=utc(annotation.updated_at),
    )  # fmt: skip


_DRAFT: Final = {"at": "2026-05-01", "text": "Spring collection is out"}
KIND: Final = ItemRoutesKind(
    path="annotations",
    id_name="annotation_id",
    name="Annotation",
    noun="annotation",
    about="A text at a day (`2026-05-01`) or a time with an offset (kept in UTC), which charts show: "
    "`annotations=1` adds those of its period to an answer of stats.",
    draft=AnnotationDraft,
    validate=validate_annotation,
    response=_response,
    response_type=AnnotationResponse,
    draft_example=_DRAFT,
    example=_DRAFT
    | {
        "id": "365072220160000051",
        "profile_id": "365072220160000001",
        "created_by": "365072220160000020",
        "version": 1,
        "created_at": "2026-05-01T09:31:00Z",
        "updated_at": "2026-05-01T09:31:00Z",
    },
)
