"""`/v1/system`: every process of the engine on this machine and the actors in it, for the operator."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_response
from api.http.query import refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Caller, require_scope
from engine.common.errors import ForbiddenError, UnavailableError
from engine.operations.system import ProcessState

LIMIT_S: Final = 3.0


class SystemResponse(msgspec.Struct, frozen=True):
    """`ready` when every process is; each says why it is not."""

    ready: bool
    processes: list[ProcessState]


class SystemRoutes:
    """`is_operator`: whether the caller is at home in the tenant of whoever set the engine up. What errors
    say may concern any tenant, so it is for nobody else."""

    def __init__(
        self,
        system: Callable[[], Awaitable[list[ProcessState]]],
        is_operator: Callable[[Caller], Awaitable[bool]],
    ) -> None:
        self._system = system
        self._is_operator = is_operator

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/system", self.read, _READ)]

    async def read(self) -> Response:
        refuse_parameters()
        require_scope(current_caller(), "admin")
        if not await self._is_operator(current_caller()):
            raise ForbiddenError("this is for who runs the engine: users of its first tenant")
        try:
            with trio.fail_after(LIMIT_S):
                found = await self._system()
        except trio.TooSlowError:
            raise UnavailableError("the processes did not tell in time") from None
        return json_response(SystemResponse(all(one.ready for one in found), found))


_READ: Final = Doc(
    id="readSystem",
    summary="Read the state of every process and actor",
    tag="Service",
    description="Of the machine that answers. Takes the scope admin, and a user of the engine's first tenant.",
    responses={
        200: ResponseDoc(
            "All processes, each with its tree of supervisors and actors.",
            SystemResponse,
            {
                "ready": True,
                "processes": [
                    {
                        "name": "workers-0",
                        "pid": 4242,
                        "running": True,
                        "ready": True,
                        "reasons": [],
                        "restarts": 0,
                        "last_error": "",
                        "for_s": 3600.5,
                        "actors": [
                            {
                                "name": "aggregation",
                                "kind": "supervisor",
                                "running": True,
                                "done": False,
                                "for_s": 3600.4,
                                "restarts": 0,
                                "crashes": 0,
                                "mailbox": None,
                                "lag": {},
                                "last_error": "",
                                "children": [],
                            }
                        ],
                    }
                ],
            },
        )
    },
)
