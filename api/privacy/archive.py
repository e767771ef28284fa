"""`GET /v1/profiles/{id}/archive`: an export of all data of a profile."""

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
        id_, caller = path_id(profile_id), current_caller()
        # Before the response begins, so that a refusal still gets its own status.
        await self._source.check(caller, id_)
        response = Response(self._lines(caller, id_), content_type="application/x-ndjson")
        response.timeout = LIMIT_S
        response.headers["Content-Disposition"] = f'attachment; filename="waypost-{id_}.ndjson"'
        return response

    async def _lines(self, caller: Caller, profile_id: int) -> AsyncIterator[bytes]:
        async with aclosing(self._source.archive(caller, profile_id)) as chunks:
            async for chunk in chunks:
                yield chunk


_READ: Final = Doc(
    id="archiveProfile",
    summary="Export all data of a profile",
    tag="Profiles",
    description="Lines of JSON: a header, rows of tables, and a last line with `end`, without which the "
    "archive is incomplete. It contains the raw clicks that are still kept, but no visitors' pseudonyms and no "
    "secrets. Takes the role owner.",
    responses={
        200: ResponseDoc(
            "The archive.",
            str,
            '{"waypost":"archive","format":1,"profile_id":"29482304924123136","at":"2026-05-01T10:00:00Z"}\n'
            '{"table":"profiles","row":{"id":"29482304924123136","handle":"ada"}}\n{"end":true,"rows":1}\n',
            content_type="application/x-ndjson",
        )
    },
)
