"""`POST /v1/links/{id}/counts/reset`: a link's total begins at 0."""

from typing import Final

from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_response
from api.http.etag import etag
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from api.links.announce import announce
from api.links.included_clicks import INCLUDABLE, IncludedClicks
from api.links.link_responses import EXAMPLE, LinkResponse, LinkResponses
from engine.links.link_clicks import ALL_TIME
from engine.links.ports import ProfileStore
from engine.visits.ports import Announcer


class LinkCountsRoutes:
    """Route of a link's counts."""

    def __init__(self, store: ProfileStore, announcer: Announcer, visitors_url: str) -> None:
        self._store = store
        self._announcer = announcer
        self._responses = LinkResponses(visitors_url)

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/links/<link_id>/counts/reset", self.reset, _RESET)]

    async def reset(self, link_id: str) -> Response:
        refuse_parameters()
        caller = current_caller()
        link, change = await self._store.reset_counts(caller, path_id(link_id))
        await announce(self._announcer, [change])
        profile = await self._store.profile(caller, link.profile_id)
        response = self._responses.response(profile.handle, link)
        included = IncludedClicks(frozenset(INCLUDABLE), ALL_TIME).add_to(response, link)
        return json_response(included, headers={"ETag": etag(link.version)})


_RESET: Final = Doc(
    id="resetLinkCounts",
    summary="Reset a link's counts",
    tag="Links",
    description="The link's total (`include=clicks` with `period=all`) begins at 0: opening clicks go, and "
    "clicks that are counted so far are no part of it. The log keeps both. Statistics, milestones and a click "
    "limit are about what happened, and stay as they are. Takes the role editor.",
    responses={
        200: ResponseDoc(
            "The link.",
            LinkResponse,
            EXAMPLE | {"version": 2, "clicks": 0, "last_click": "2026-05-01T09:30:00Z"},
            ("ETag",),
        )
    },
    errors=(422, 503),
)
