"""`POST /v1/profiles/{id}/erasure`: a profile gone for good, with all that was counted and logged of it.
`GET /v1/erasures`: how far that is."""

from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.announce import announce
from api.auth import caller
from api.bodies import Id, ListAnswer, answer, utc
from api.etag import guarded_delete
from api.query import PAGE, nothing_else, page_answer, page_asked, path_id
from api.routes import Answer, Doc, Route
from engine.erasure import Erasure
from engine.ports import Announcer, ErasureStore, ProfileStore
from engine.profile import Change, Profile


class OrderAnswer(msgspec.Struct, frozen=True):
    """The profile that is being erased."""

    profile_id: Id


class ErasureAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` were erased in `sweeps`, the newest at `swept_at`; `finished` says that no other follows."""

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
            Route("GET", "/v1/erasures", self.page, _LIST),
        ]

    async def erase(self, profile_id: str) -> Response:
        nothing_else()
        id_ = path_id(profile_id)

        async def read() -> Profile:
            return await self._profiles.profile(caller(), id_)

        async def erase(if_version: int | None) -> Change:
            return await self._store.erase(caller(), id_, if_version)

        change = await guarded_delete(read, erase)
        await announce(self._announcer, [change])
        return answer(OrderAnswer(str(change.profile_id)), 202)

    async def page(self) -> Response:
        before, limit = page_asked()
        items = await self._store.list_erasures(caller(), before, limit)
        return answer(page_answer(items, _shown))


def _shown(erasure: Erasure) -> ErasureAnswer:
    return ErasureAnswer(
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
    description="Deletes it, and within two minutes erases all that was counted, logged and kept of it: "
    "clicks, statistics, experiments, webhooks and its log of changes. There is no way back; export it "
    "first. Sweeps for what arrives late follow for a week. Takes the role owner.",
    answers={
        202: Answer(
            "It is gone, and is being erased.", OrderAnswer, {"profile_id": "29482304924123136"}
        )
    },
    guarded=True,
)
_LIST: Final = Doc(
    id="listErasures",
    summary="List erasures",
    tag="Profiles",
    description="Of the caller's tenant, newest profiles first.",
    query=PAGE,
    answers={
        200: Answer(
            "One page of them.",
            ListAnswer[ErasureAnswer],
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
