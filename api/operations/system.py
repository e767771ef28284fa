"""`/v1/system`: processes of the engine on this machine and their actors, for the operator."""

from collections.abc import Awaitable, Callable
from importlib import metadata
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
    """States of all processes. `ready` if every process is; `reasons` of a process say why it is not. `version`
    is the console's."""

    ready: bool
    version: str
    processes: list[ProcessState]


class SystemRoutes:
    """The endpoint. Only the operator may read it, because texts of errors may concern any tenant."""

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
            raise ForbiddenError("only the operator (a user of the first tenant) may read this")
        try:
            with trio.fail_after(LIMIT_S):
                processes = await self._system()
        except trio.TooSlowError:
            raise UnavailableError(
                f"the engine's processes did not report their states within {LIMIT_S:g} s; try again"
            ) from None
        ready = all(process.ready for process in processes)
        return json_response(SystemResponse(ready, metadata.version("waypost"), processes))


_READ: Final = Doc(
    id="readSystem",
    summary="Read the state of every process and actor",
    tag="Service",
    description="States on the machine that answers. Requires the scope admin, and a user of the first tenant.",
    responses={
        200: ResponseDoc(
            "All processes, each with its tree of supervisors and actors.",
            SystemResponse,
            {
                "ready": True,
                "version": "0.1.0",
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
