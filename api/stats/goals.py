"""`/v1/profiles/{id}/goals`, and `…/goal-results`: how many visitors reach each goal."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, Version, json_response, utc
from api.http.query import path_id
from api.http.routes import Doc, ResponseDoc, Route
from api.stats.answers import Count
from api.stats.dashboard_items import DashboardItemRoutes, ItemRoutesKind
from api.stats.parameters import FILTERS, QUERY
from api.stats.stats import first_day, request_pairs
from engine.accounts.access import Caller
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.links.ports import ProfileStore
from engine.stats.dashboards.goal import (
    GOAL_DIMENSIONS,
    PERIOD,
    Goal,
    GoalDraft,
    goal_queries,
    validate_goal,
)
from engine.stats.dashboards.ports import DashboardItemStore
from engine.stats.parameters.comparison import Alignment, ComparisonKind
from engine.stats.ports import ProfileQuestion, QuestionError, StatsReader
from engine.stats.query import StatsQuery
from engine.stats.result import MetricValues, Stats

GoalStore = DashboardItemStore[GoalDraft, Goal]


class GoalResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A goal: an own event, if it has a `property` with that alone, or a click on the link of this id; '' for
    what it is not."""

    id: Id
    profile_id: Id
    name: str
    event: str
    property: str
    link: str
    created_by: Id
    version: Version
    created_at: datetime
    updated_at: datetime


class GoalRoutes:
    """Routes of goals and of their results. `now` returns an aware time."""

    def __init__(
        self, profiles: ProfileStore, store: GoalStore, reader: StatsReader, now: Callable[[], datetime]
    ) -> None:  # fmt: skip
        self._profiles = profiles
        self._store = store
        self._reader = reader
        self._now = now

    def routes(self) -> list[Route]:
        results = Route("GET", "/v1/profiles/<profile_id>/goal-results", self.results, _RESULTS)
        return [results, *DashboardItemRoutes(self._store, KIND, self._check).routes()]

    async def _check(self, profile_id: int, body: dict[str, Any]) -> None:
        """Raise InvalidError if the body names a link that the profile does not have."""
        link = body.get("link")
        if not isinstance(link, str) or not link.isascii() or not link.isdigit():
            return  # the draft's rules say what is wrong
        if not await self._has_link(current_caller(), profile_id, int(link)):
            raise InvalidError([FieldError("link", "must be a link of this profile")])

    async def _has_link(self, caller: Caller, profile_id: int, link_id: int) -> bool:
        try:
            return (await self._profiles.link(caller, link_id)).profile_id == profile_id
        except NotFoundError:
            return False

    async def results(self, profile_id: str) -> Response:
        id_, pairs = path_id(profile_id), request_pairs()
        profile = await self._profiles.profile(current_caller(), id_)
        goals = await self._store.all_of(profile.tenant_id, id_)
        first = await first_day(self._reader, pairs, [profile])
        queries = goal_queries(pairs, goals, self._now(), first)
        questions = [ProfileQuestion(id_, query) for query in (queries.visitors, *queries.goals)]
        try:
            (visitors, *reached), _ = await self._reader.answers(profile.tenant_id, questions)
        except QuestionError as error:
            raise InvalidError(error.causes) from None
        return json_response(_results(queries.visitors, visitors, goals, reached))


class GoalPeriod(
    msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}
):  # fmt: skip
    """The period to compare with, and its visitors; `alignment` as in answers of stats."""

    compare: ComparisonKind
    alignment: Alignment
    start: datetime
    end: datetime
    visitors: Count


class GoalReached(msgspec.Struct, frozen=True, kw_only=True):
    """`reached`: the visitors who reached the goal; `times`: its own events or clicks; `rate`: `reached` by the
    visitors of clicks and views, null without any."""

    reached: Count
    times: Count
    rate: float | None


class GoalResult(GoalReached, frozen=True, kw_only=True, omit_defaults=True):
    """A goal as it was reached in the period, and in the one to compare with."""

    id: Id
    name: str
    event: str = ""
    property: str = ""
    link: str = ""
    previous: GoalReached | msgspec.UnsetType = msgspec.UNSET


class GoalResultsResponse(
    msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}
):  # fmt: skip
    """Results of a profile's goals in the order of their creation. `visitors` are those of clicks and views, of
    whom the filters, if there are any, let pass."""

    start: datetime
    end: datetime
    as_of: datetime | None
    visitors: Count
    goals: list[GoalResult]
    previous: GoalPeriod | msgspec.UnsetType = msgspec.UNSET


def _results(
    query: StatsQuery, visitors: Stats, goals: Any, reached: list[Stats]
) -> GoalResultsResponse:
    comparison, compared = query.comparison, visitors.compared
    before: GoalPeriod | msgspec.UnsetType = msgspec.UNSET
    if comparison is not None and compared is not None:
        before = GoalPeriod(
            compare=comparison.kind, alignment=comparison.alignment, start=utc(comparison.start),
            end=utc(comparison.end), visitors=compared.totals.visitors or 0,
        )  # fmt: skip
    return GoalResultsResponse(
        start=utc(query.start),
        end=utc(query.end),
        as_of=None if visitors.as_of is None else utc(visitors.as_of),
        visitors=visitors.totals.visitors or 0,
        goals=[_result(*of, visitors) for of in zip(goals, reached, strict=True)],
        previous=before,
    )


def _result(goal: Goal, stats: Stats, visitors: Stats) -> GoalResult:
    previous: GoalReached | msgspec.UnsetType = msgspec.UNSET
    if stats.compared is not None and visitors.compared is not None:
        previous = GoalReached(**_reached(stats.compared.totals, visitors.compared.totals))
    return GoalResult(
        id=str(goal.id), name=goal.name, event=goal.event, property=goal.property, link=goal.link,
        previous=previous, **_reached(stats.totals, visitors.totals),
    )  # fmt: skip


def _reached(of_goal: MetricValues, of_all: MetricValues) -> dict[str, Any]:
    reached, visitors = of_goal.visitors or 0, of_all.visitors or 0
    rate = round(reached / visitors, 4) if visitors else None
    return {"reached": reached, "times": of_goal.clicks, "rate": rate}


def _response(goal: Goal) -> GoalResponse:
    return GoalResponse(
        id=str(goal.id), profile_id=str(goal.profile_id), name=goal.name, event=goal.event,
        property=goal.property, link=goal.link, created_by=str(goal.created_by),
        version=goal.version, created_at=utc(goal.created_at), updated_at=utc(goal.updated_at),
    )  # fmt: skip


_DRAFT: Final = {"name": "Pro sign-ups", "event": "signup", "property": "plan=pro", "link": ""}
KIND: Final = ItemRoutesKind(
    path="goals",
    id_name="goal_id",
    name="Goal",
    noun="goal",
    about="An own event, if you like with a property, or a click on a link, that visitors are to reach.",
    draft=GoalDraft,
    validate=validate_goal,
    response=_response,
    response_type=GoalResponse,
    draft_example=_DRAFT,
    example=_DRAFT
    | {
        "id": "365072220160000071",
        "profile_id": "365072220160000001",
        "created_by": "365072220160000002",
        "version": 1,
        "created_at": "2026-05-01T09:31:00Z",
        "updated_at": "2026-05-01T09:31:00Z",
    },
)
_QUERY: Final = tuple(parameter for parameter in QUERY if parameter.name in PERIOD)
_FILTERS: Final = tuple(
    parameter
    for parameter in FILTERS
    if not parameter.name.startswith(tuple(f"filter[{name}]" for name in GOAL_DIMENSIONS))
)
_RESULTS: Final = Doc(
    id="readGoalResults",
    summary="Read how many visitors reach each goal",
    tag="Statistics",
    description="Of the period, all goals from one database snapshot. Filters hold for visitors and goals "
    "alike; as visitors do, those who reach a goal add up over days.",
    query=(*_QUERY, *_FILTERS),
    responses={
        200: ResponseDoc(
            "The results.",
            GoalResultsResponse,
            {
                "from": "2026-05-01T00:00:00Z",
                "to": "2026-06-01T00:00:00Z",
                "as_of": "2026-05-31T10:00:00Z",
                "visitors": 41,
                "goals": [
                    {
                        "id": "365072220160000071",
                        "name": "Pro sign-ups",
                        "event": "signup",
                        "property": "plan=pro",
                        "reached": 5,
                        "times": 6,
                        "rate": 0.122,
                    }
                ],
            },
        )
    },
)
