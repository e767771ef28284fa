"""`POST /v1/profiles/{id}/stats/batch`: a dashboard's page in one call.

All answers come from one database snapshot, and the response has one entity tag. It reads only, so
`If-None-Match` is answered 304 as for a GET: the tag is of the body's questions.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from quart import Response

from api.http.bodies import draft_of, empty_response, json_object, json_response, utc
from api.http.etag import tag_matches
from api.http.query import path_id
from api.http.routes import Doc, ResponseDoc, Route
from api.stats.annotations import (
    AnnotationStore,
    ShownAnnotation,
    require_no_share,
    shown_annotations,
)
from api.stats.answers import StatsResponse, answer_body
from api.stats.polls import Version, cache_headers
from api.stats.readable import current_share, readable_profile, require_shared, shared_pairs
from api.stats.stats import Pairs, first_day, stats_tag, version_of
from engine.clicks.dimension import SPECS
from engine.common.errors import FieldError, ForbiddenError, InvalidError
from engine.links.ports import ProfileStore
from engine.stats.dashboards.item import ANNOTATIONS
from engine.stats.dashboards.share import require_now
from engine.stats.parameters.filter_values import joined_values
from engine.stats.ports import (
    LatestClick,
    ProfileKey,
    ProfileQuestion,
    RecentAnswer,
    RecentQuestion,
    StatsReader,
)
from engine.stats.query import StatsQuery
from engine.stats.query_parser import parse_query
from engine.stats.result import LinkName
from engine.visits.classifier import RULES_VERSION

MAX_QUESTIONS: Final = 20
MAX_LATEST: Final = 50
ACTIVE_S: Final = 300  # visitors_now: how long a visitor stays active
_LINK_NAMES: Final = LinkName._fields

ParameterValue = str | int | list[str]


class BatchBody(msgspec.Struct, frozen=True, kw_only=True):
    """Up to 20 questions, each an object of the parameters of `GET …/stats`.

    A filter's value is a text, as there, or a list of values. `visitors_now`: count the visitors of the last
    five minutes; `latest_clicks`: how many of the latest clicks to list; `annotations`: add those of the span
    of all periods, by the clocks of the first question's `tz`.
    """

    questions: Annotated[
        list[dict[str, ParameterValue]], msgspec.Meta(max_length=MAX_QUESTIONS)
    ] = []
    visitors_now: bool = False
    annotations: bool = False
    latest_clicks: Annotated[int, msgspec.Meta(ge=0, le=MAX_LATEST)] = 0


LatestClickResponse = msgspec.defstruct(
    "LatestClickResponse",
    [
        ("time", datetime),
        ("link", str),
        *((name, str | None | msgspec.UnsetType, msgspec.UNSET) for name in _LINK_NAMES),
        *(
            (dimension.name.lower(), str | msgspec.UnsetType, msgspec.UNSET)
            for dimension, spec in SPECS.items()
            if spec.live
        ),
    ],
    namespace={
        "__doc__": "A click or view, with the names of its link and its known values; nothing that tells "
        "visitors apart. `link` 0: a view of the page."
    },
)


class BatchResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answers in the order of the questions, all from one snapshot.

    `as_of`: when counts were last committed.
    """

    as_of: datetime | None
    rule: int
    answers: list[StatsResponse]
    visitors_now: Annotated[int, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    latest_clicks: list[LatestClickResponse] | msgspec.UnsetType = msgspec.UNSET  # type: ignore[valid-type]
    annotations: list[ShownAnnotation] | msgspec.UnsetType = msgspec.UNSET


class StatsBatchRoutes:
    """The route of many questions at once. `now` is the clock: aware."""

    def __init__(
        self,
        store: ProfileStore,
        annotations: AnnotationStore,
        reader: StatsReader,
        version: Version,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._annotations = annotations
        self._reader = reader
        self._version = version
        self._now = now

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST", "/v1/profiles/<profile_id>/stats/batch", self.read, _BATCH, access="shared"
            )
        ]

    async def read(self, profile_id: str) -> Response:
        id_, now = path_id(profile_id), utc(self._now())
        body = draft_of(BatchBody, await json_object(), _checked, {})
        profile = await readable_profile(self._store, id_)
        _require_shared_activity(body, now)
        all_pairs = [shared_pairs(_pairs(question), now) for question in body.questions]
        first = await first_day(
            self._reader, [pair for pairs in all_pairs for pair in pairs], [profile]
        )
        queries = _parsed(all_pairs, lambda pairs: parse_query(pairs, now, first))
        for query in queries:
            require_shared(query, now)
        recent = _recent(body, id_, now)
        # Visitors become inactive without a commit, so a minute ends what the tag says of them.
        minute = now.replace(second=0, microsecond=0) if body.visitors_now else None
        shown = None
        if body.annotations:
            require_no_share()
            shown = await shown_annotations(self._annotations, profile.tenant_id, id_, queries)
        question = (id_, profile.version, queries, body.latest_clicks, minute, shown)
        # The version is read first: counts may be newer than their tag, never older.
        tag = stats_tag(
            question, await version_of(queries, self._version, [ProfileKey(profile.tenant_id, id_)])
        )
        if tag is not None and tag_matches(tag):
            return empty_response(304, cache_headers(tag))
        stats, activity = await self._reader.answers(
            profile.tenant_id, [ProfileQuestion(id_, query) for query in queries], recent
        )
        answers = [answer_body(query, each) for query, each in zip(queries, stats, strict=True)]
        response = {
            "as_of": answers[0]["as_of"] if answers else None,
            "rule": RULES_VERSION,
            "answers": answers,
            **_activity_body(activity),
            **({} if shown is None else {ANNOTATIONS: shown}),
        }
        return json_response(response, headers=cache_headers(tag))


def _checked(body: BatchBody) -> tuple[BatchBody, list[FieldError]]:
    if not body.questions and not body.visitors_now and not body.latest_clicks:
        return body, [FieldError("questions", f"must have 1 to {MAX_QUESTIONS} questions")]
    return body, []


def _pairs(question: dict[str, ParameterValue]) -> Pairs:
    """Return a question's parameters as those of a query. Values of a list are one each."""
    return [
        (name, joined_values(value) if isinstance(value, list) else str(value))
        for name, value in question.items()
    ]


def _parsed(all_pairs: list[Pairs], parse: Callable[[Pairs], StatsQuery]) -> list[StatsQuery]:
    """Return the queries. Raises InvalidError with every bad parameter of every question."""
    queries, errors = [], []
    for number, pairs in enumerate(all_pairs):
        try:
            queries.append(parse(pairs))
        except InvalidError as error:
            errors += [
                FieldError(f"questions[{number}].{field}", reason) for field, reason in error.errors
            ]
    if errors:
        raise InvalidError(errors)
    return queries


def _require_shared_activity(body: BatchBody, now: datetime) -> None:
    """Raise ForbiddenError if the request came by a share that does not allow what happens now."""
    share = current_share()
    if share is not None and body.latest_clicks:
        raise ForbiddenError("latest_clicks: a share has counts, no single clicks")
    if share is not None and body.visitors_now:
        require_now(share, now)


def _recent(body: BatchBody, profile_id: int, now: datetime) -> RecentQuestion | None:
    if not body.visitors_now and not body.latest_clicks:
        return None
    return RecentQuestion(
        profile_id,
        now,
        now - timedelta(seconds=ACTIVE_S) if body.visitors_now else None,
        body.latest_clicks or None,
    )


def _activity_body(activity: RecentAnswer | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if activity is not None and activity.visitors_now is not None:
        body["visitors_now"] = activity.visitors_now
    if activity is not None and activity.latest is not None:
        body["latest_clicks"] = [_click_body(click) for click in activity.latest]
    return body


def _click_body(click: LatestClick) -> dict[str, Any]:
    names = click.name._asdict() if click.name else dict.fromkeys(_LINK_NAMES)
    return {"time": utc(click.at), "link": str(click.link_id), **names, **click.values}


_BATCH: Final = Doc(
    id="readStatsBatch",
    summary="Read the answers to many stats queries at once",
    tag="Statistics",
    description="Up to 20 questions, answered from one database snapshot with one `as_of` and one `ETag`; "
    "`If-None-Match` with that tag and the same questions is answered 304. `visitors_now` counts the "
    "visitors of the last five minutes, `latest_clicks` lists as many of the latest clicks and views.",
    body=BatchBody,
    body_example={
        "questions": [
            {"period": "28d", "compare": "previous"},
            {"period": "28d", "group": "country", "limit": 10},
        ],
        "visitors_now": True,
        "latest_clicks": 1,
    },
    tagged=True,
    responses={
        200: ResponseDoc(
            "The answers.",
            BatchResponse,
            {
                "as_of": "2026-05-31T10:00:00Z",
                "rule": 1,
                "answers": [
                    {
                        "from": "2026-05-01T00:00:00Z",
                        "to": "2026-06-01T00:00:00Z",
                        "tz": "UTC",
                        "interval": "day",
                        "as_of": "2026-05-31T10:00:00Z",
                        "rule": 1,
                        "sampling": "none",
                        "totals": {"clicks": 42},
                        "rows": [{"country": "DE", "clicks": 42}],
                    }
                ],
                "visitors_now": 3,
                "latest_clicks": [
                    {
                        "time": "2026-05-31T09:59:58Z",
                        "link": "365072220160000011",
                        "handle": "ada",
                        "slug": "notes",
                        "title": "Notes",
                        "country": "DE",
                    }
                ],
            },
        )
    },
)
