"""`GET /v1/domains/{id}/orphans`: visits at a domain that led to no link, by path."""

import re
from datetime import date
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, json_response
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError
from engine.links.orphan_visits import KEPT_DAYS, MAX_LISTED, OTHER, OrphanVisitLists

DEFAULT_DAYS: Final = 7
_PERIOD: Final = re.compile(r"([1-9][0-9]?)d")


class OrphanPathResponse(msgspec.Struct, frozen=True):
    """A path, percent-encoded as it was visited, its visits, and the last day that had some (UTC)."""

    path: str
    visits: int
    last_day: date


class OrphanVisitsResponse(msgspec.Struct, frozen=True):
    """The paths with the most visits; `(other)` stands for those beyond the bounds."""

    domain_id: Id
    period: str
    items: list[OrphanPathResponse]


class OrphanVisitRoutes:
    """Route of orphan visits."""

    def __init__(self, lists: OrphanVisitLists) -> None:
        self._lists = lists

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/domains/<domain_id>/orphans", self.list_paths, _DOC)]

    async def list_paths(self, domain_id: str) -> Response:
        query, errors = parameters("period")
        period = query.get("period", f"{DEFAULT_DAYS}d")
        match = _PERIOD.fullmatch(period)
        if match is None or int(match[1]) > KEPT_DAYS:
            errors.append(FieldError("period", f"must be 1d to {KEPT_DAYS}d"))
        if errors or match is None:
            raise InvalidError(errors)
        id_ = path_id(domain_id)
        paths = await self._lists.orphans(current_caller(), id_, int(match[1]))
        items = [OrphanPathResponse(*path) for path in paths]
        return json_response(OrphanVisitsResponse(str(id_), period, items))


_DOC: Final = Doc(
    id="listOrphanVisits",
    summary="List visits at a domain that led to no link",
    tag="Domains",
    description=f"The {MAX_LISTED} paths with the most visits, the path `/` where it leads to the domain's "
    f"`root_target`. They are kept for {KEPT_DAYS} days, and come up to ten seconds late.",
    query=(
        Parameter(
            "period",
            f"Days up to today (UTC), at most {KEPT_DAYS}; {DEFAULT_DAYS}d, if left out.",
            Annotated[str, msgspec.Meta(pattern="^([1-9]|[12][0-9]|30)d$")],
            "7d",
        ),
    ),
    responses={
        200: ResponseDoc(
            "The paths.",
            OrphanVisitsResponse,
            {
                "domain_id": "365072220160000041",
                "period": "7d",
                "items": [
                    {"path": "/sprng", "visits": 12, "last_day": "2026-05-01"},
                    {"path": OTHER, "visits": 3, "last_day": "2026-05-01"},
                ],
            },
        )
    },
)
