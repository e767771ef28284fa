"""`GET /v1/profiles/{id}/archive`: all that is kept of a profile, to take along."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from quart import Response

from api.http.auth import current_caller
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.privacy.ports import ArchiveSource

LIMIT_S: Final = 3600


class ArchiveRoutes:
    def __init__(self, source: ArchiveSource) -> None:
        self._source = source

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/archive", self.read, _READ)]

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        id_, who = path_id(profile_id), current_caller()
        await self._source.check(who, id_)  # what is refused is refused with a status of its own
        response = Response(self._lines(who, id_), content_type="application/x-ndjson")
        response.timeout = LIMIT_S
        response.headers["Content-Disposition"] = f'attachment; filename="waypost-{id_}.ndjson"'
        return response

    async def _lines(self, who: Caller, profile_id: int) -> AsyncIterator[bytes]:
        async with aclosing(self._source.archive(who, profile_id)) as lines:
            async for some in lines:
                yield some


_READ: Final = Doc(
    id="archiveProfile",
    summary="Export all that is kept of a profile",
    tag="Profiles",
    description="Lines of JSON: the first says what this is, the others are rows of tables, and the last says "
    "that it is whole (`end`). Raw clicks are in it for as long as they are kept; pseudonyms of visitors and "
    "secrets are not. Takes the role owner.",
    responses={
        200: ResponseDoc(
            "All of it.",
            str,
            '{"waypost":"archive","format":1,"profile_id":"29482304924123136","at":"2026-05-01T10:00:00Z"}\n'
            '{"table":"profiles","row":{"id":"29482304924123136","handle":"ada"}}\n{"end":true,"rows":1}\n',
            content_type="application/x-ndjson",
        )
    },
)
