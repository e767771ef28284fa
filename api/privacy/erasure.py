"""`POST /v1/profiles/{id}/erasure` and `GET /v1/erasures`: erasure of a profile with its counts and logs, and
the progress of erasures."""

from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, json_response, utc
from api.http.etag import guarded_write
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from api.links.announce import announce
from engine.links.ports import ProfileStore
from engine.links.profile import Profile, ProfileChange
from engine.privacy.erasure import Erasure
from engine.privacy.ports import ErasureStore
from engine.visits.ports import Announcer


class OrderResponse(msgspec.Struct, frozen=True):
    """The profile that is being erased."""

    profile_id: Id


class ErasureResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of an erasure: `rows` erased in `sweeps`, the last at `swept_at`. Once `finished`, no sweep
    follows."""

    profile_id: Id
    requested_at: datetime
    swept_at: datetime | None
    sweeps: int
    rows: int
    finished: bool


class ErasureRoutes:
    def __init__(self, profiles: ProfileStore, store: ErasureStore, announcer: Announcer) -> None:
        self._profiles = profiles
        self._store = store
        self._announcer = announcer

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/erasure", self.erase, _ERASE),
            Route("GET", "/v1/erasures", self.list_page, _LIST),
        ]

    async def erase(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)

        async def read() -> Profile:
            return await self._profiles.profile(current_caller(), id_)

        async def erase(if_version: int | None) -> ProfileChange:
            return await self._store.erase(current_caller(), id_, if_version)

        change = await guarded_write(read, erase)
        await announce(self._announcer, [change])
        return json_response(OrderResponse(str(change.profile_id)), 202)

    async def list_page(self) -> Response:
        before, limit = page_of_request()
        items = await self._store.list_erasures(current_caller(), before, limit)
        return json_response(page_response(items, _erasure_response))


def _erasure_response(erasure: Erasure) -> ErasureResponse:
    return ErasureResponse(
        profile_id=str(erasure.profile_id),
        requested_at=utc(erasure.requested_at),
        swept_at=None if erasure.swept_at is None else utc(erasure.swept_at),
        sweeps=erasure.sweeps,
        rows=erasure.rows,
        finished=erasure.finished,
    )


_ERASE: Final = Doc(
    id="eraseProfile",
    summary="Erase a profile",
    tag="Profiles",
    description="Deletes the profile, and within two minutes erases all its data: clicks, statistics, "
    "experiments, webhooks and its log of changes. This cannot be undone; export the profile first. For a "
    "week, further sweeps erase clicks that arrive late. Takes the role owner.",
    responses={
        202: ResponseDoc(
            "The profile is deleted; its data are being erased.",
            OrderResponse,
            {"profile_id": "29482304924123136"},
        )
    },
    guarded=True,
)
_LIST: Final = Doc(
    id="listErasures",
    summary="List erasures",
    tag="Profiles",
    description="Erasures of the caller's tenant, newest profiles first.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of erasures.",
            ListResponse[ErasureResponse],
            {
                "items": [
                    {
                        "profile_id": "29482304924123136",
                        "requested_at": "2026-05-01T10:00:00Z",
                        "swept_at": "2026-05-01T10:00:41Z",
                        "sweeps": 1,
                        "rows": 8123,
                        "finished": False,
                    }
                ],
                "next_cursor": None,
            },
        )
    },
)
