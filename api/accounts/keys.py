"""`/v1/keys`: the caller's own API keys."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
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
from engine.accounts.access import Scope
from engine.accounts.api_key import ApiKey, KeyDraft, NewKey, key_validator
from engine.accounts.ports import ApiKeyStore
from engine.common.idempotency import StoredResponse


class KeyResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its user sees it. `key` itself is only in the response that creates it."""

    id: Id
    prefix: str
    label: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    origins: tuple[str, ...]
    key: str | msgspec.UnsetType = msgspec.UNSET


class KeyRoutes:
    """Routes of API keys. `forget` is called with the id of each revoked key; `now` returns an aware time."""

    def __init__(
        self, store: ApiKeyStore, forget: Callable[[int], None], now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._forget = forget
        self._validate = key_validator(now)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/keys", self.create, _CREATE),
            Route("GET", "/v1/keys", self.list_page, _LIST),
            Route(
                "DELETE",
                "/v1/keys/<key_id>",
                self.revoke,
                _REVOKE,
                security_events={204: "key.revoked"},
            ),
        ]

    async def create(self) -> Response:
        refuse_parameters()
        draft = draft_of(KeyDraft, await json_object(), self._validate, {})
        idempotent_request = await idempotency_with_secret(_created)
        return response_of(
            _created(await self._store.create_key(current_caller(), draft, idempotent_request))
        )

    async def list_page(self) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_keys(current_caller(), after, limit)
        return json_response(page_response(items, _key_response))

    async def revoke(self, key_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(key_id)
        try:
            await self._store.revoke_key(current_caller(), id_)
        finally:
            # Also after an error: if the connection was lost, the key may be revoked all the same.
            self._forget(id_)
        return empty_response(204)


def _created(new_key: NewKey) -> StoredResponse:
    response = msgspec.structs.replace(_key_response(new_key.key), key=new_key.text)
    return replayable_response(response, 201, {"Location": f"/v1/keys/{new_key.key.id}"})


def _key_response(key: ApiKey) -> KeyResponse:
    return KeyResponse(
        id=str(key.id),
        prefix=key.prefix,
        label=key.label,
        scopes=key.scopes,
        created_at=utc(key.created_at),
        last_used_at=None if key.last_used_at is None else utc(key.last_used_at),
        expires_at=None if key.expires_at is None else utc(key.expires_at),
        origins=key.origins,
    )


_EXAMPLE: Final = {
    "id": "365072220160000011",
    "prefix": "wp_5fGk",
    "label": "nightly import",
    "scopes": ["read", "write"],
    "created_at": "2026-05-01T09:30:00Z",
    "last_used_at": None,
    "expires_at": "2027-05-01T00:00:00Z",
    "origins": ["https://app.example"],
}
_CREATE: Final = Doc(
    id="createKey",
    summary="Create an API key",
    tag="Keys",
    description="The key itself is in this response only. It may do what its user may, within its scopes. "
    "Pages of its `origins` may use it in a browser: whoever opens such a page can read the key.",
    body=KeyDraft,
    body_example={
        "label": "nightly import",
        "scopes": ["read", "write"],
        "expires_at": "2027-05-01T00:00:00Z",
        "origins": ["https://app.example"],
    },
    responses={
        201: ResponseDoc("The key.", KeyResponse, _EXAMPLE | {"key": "wp_5fGk…"}, ("Location",))
    },
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listKeys",
    summary="List the caller's API keys",
    tag="Keys",
    description="Oldest first, expired ones included, without the keys themselves.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of keys.", ListResponse[KeyResponse], {"items": [_EXAMPLE], "next_cursor": None}
        )
    },
)
_REVOKE: Final = Doc(
    id="revokeKey",
    summary="Revoke an API key",
    tag="Keys",
    description="It stops working at once; on other machines within seconds.",
    responses={204: ResponseDoc("The key is revoked.")},
)
