"""`/v1/profiles/{id}/shares`, tokens for dashboards elsewhere, and `/v1/shares/current`, their bounds."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller, require_share
from api.http.bodies import (
    Id,
    ListResponse,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.idempotency import idempotency_with_secret, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.common.idempotency import StoredResponse
from engine.stats.dashboards.ports import ShareStore
from engine.stats.dashboards.share import NewShare, Share, ShareDraft, SharePeriod, share_validator
from engine.stats.query import StatsMetric


class ShareResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A share. `token` is only in the response that creates it."""

    id: Id
    profile_id: Id
    prefix: str
    label: str
    metrics: tuple[StatsMetric, ...]
    dimensions: tuple[str, ...]
    period: SharePeriod
    origins: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    token: str | msgspec.UnsetType = msgspec.UNSET


class CurrentShareResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the share by whose token the request came."""

    profile_id: Id
    handle: str
    title: str
    metrics: tuple[StatsMetric, ...]
    dimensions: tuple[str, ...]
    period: SharePeriod
    expires_at: datetime | None


class ShareRoutes:
    """Routes of shares. `forget` is called with the id of each revoked share; `now` returns an aware time."""

    def __init__(
        self, store: ShareStore, forget: Callable[[int], None], now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._forget = forget
        self._validate = share_validator(now)

    def routes(self) -> list[Route]:
        shares = "/v1/profiles/<profile_id>/shares"
        return [
            Route("POST", shares, self.create, _CREATE),
            Route("GET", shares, self.list_page, _LIST),
            Route("DELETE", f"{shares}/<share_id>", self.revoke, _REVOKE),
            Route("GET", "/v1/shares/current", self.current, _CURRENT, access="shared"),
        ]

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(ShareDraft, await json_object(), self._validate, {})
        once = await idempotency_with_secret(_created, lambda new: new.share.profile_id)
        return response_of(
            _created(await self._store.create_share(current_caller(), id_, draft, once))
        )

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_shares(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(items, _share_response))

    async def revoke(self, profile_id: str, share_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(share_id)
        try:
            await self._store.revoke_share(current_caller(), path_id(profile_id), id_)
        finally:
            # Also after an error: if the connection was lost, the share may be revoked all the same.
            self._forget(id_)
        return empty_response(204)

    async def current(self) -> Response:
        refuse_parameters()
        share, profile = require_share()
        return json_response(
            CurrentShareResponse(
                profile_id=str(profile.id), handle=profile.handle, title=profile.title,
                metrics=share.metrics, dimensions=share.dimensions, period=_period(share.period),
                expires_at=None if share.expires_at is None else utc(share.expires_at),
            )
        )  # fmt: skip


def _created(new: NewShare) -> StoredResponse:
    share, token = new
    response = msgspec.structs.replace(_share_response(share), token=token)
    path = f"/v1/profiles/{share.profile_id}/shares/{share.id}"
    return replayable_response(response, 201, {"Location": path})


def _share_response(share: Share) -> ShareResponse:
    return ShareResponse(
        id=str(share.id), profile_id=str(share.profile_id), prefix=share.prefix, label=share.label,
        metrics=share.metrics, dimensions=share.dimensions, period=_period(share.period),
        origins=share.origins, created_at=utc(share.created_at),
        expires_at=None if share.expires_at is None else utc(share.expires_at),
    )  # fmt: skip


def _period(period: SharePeriod) -> SharePeriod:
    """Return the period with its ends in UTC."""
    return SharePeriod(
        from_=None if period.from_ is None else utc(period.from_),
        to=None if period.to is None else utc(period.to),
    )


_TAG: Final = "Statistics"
_BOUNDS: Final = {
    "metrics": ["clicks", "visitors"],
    "dimensions": ["country", "source"],
    "period": {"from": "2026-05-01T00:00:00Z", "to": None},
}
_DRAFT: Final = _BOUNDS | {
    "label": "The client's site",
    "origins": ["https://client.example"],
    "expires_at": "2027-05-01T00:00:00Z",
}
_EXAMPLE: Final = _DRAFT | {
    "id": "365072220160000041",
    "profile_id": "365072220160000001",
    "prefix": "wpr_5fGk",
    "created_at": "2026-05-01T09:31:00Z",
}
_CREATE: Final = Doc(
    id="createShare",
    summary="Create a share of statistics",
    tag=_TAG,
    description="Its token is in this response only. As `Authorization: Bearer` it reads `stats` and "
    "`stats/batch` of this profile within the share's metrics, dimensions and period, and nothing else. Takes "
    "the role admin.",
    body=ShareDraft,
    body_example=_DRAFT,
    responses={
        201: ResponseDoc(
            "The share.", ShareResponse, _EXAMPLE | {"token": "wpr_5fGk…"}, ("Location",)
        )
    },
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listShares",
    summary="List a profile's shares",
    tag=_TAG,
    description="Oldest first, expired ones included, without their tokens.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of shares.",
            ListResponse[ShareResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_REVOKE: Final = Doc(
    id="revokeShare",
    summary="Revoke a share",
    tag=_TAG,
    description="Its token stops working at once; on other machines within seconds. Takes the role admin.",
    responses={204: ResponseDoc("The share is revoked.")},
)
_CURRENT: Final = Doc(
    id="readCurrentShare",
    summary="Read what the token of this request may read",
    tag=_TAG,
    description="For the token of a share; a key or a session gets 403.",
    responses={
        200: ResponseDoc(
            "The bounds of the share.",
            CurrentShareResponse,
            _BOUNDS
            | {
                "profile_id": "365072220160000001",
                "handle": "ada",
                "title": "Ada Lovelace",
                "expires_at": "2027-05-01T00:00:00Z",
            },
        )
    },
)
