"""`/v1/profiles/{id}/conversion-hooks`: URLs that shops post their orders to, and the shops that are known."""

from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    Url,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.idempotency import idempotency_with_secret, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from engine.common.idempotency import StoredResponse
from engine.experiments.conversion_hook import (
    ConversionHook,
    HookDraft,
    HookFieldPaths,
    validate_hook,
)
from engine.experiments.ports import ConversionHookStore
from engine.experiments.shops.shop import SHOPS, ShopName


class HookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A hook for conversions. `secrets` is how many signing secrets it has; `url` is only in the response that
    creates it."""

    id: Id
    profile_id: Id
    label: str
    name: str
    shop: ShopName
    fields: HookFieldPaths
    value_factor: int | None
    secrets: int
    created_at: datetime
    url: Url | msgspec.UnsetType = msgspec.UNSET


class ShopResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A known shop. `signature_header` is null for one that signs nothing. `click_id_paths` are where its
    bodies may have the click id; in `sample`, `WP_CLICK` stands for one. `content_type` is of its bodies."""

    name: ShopName
    signature_header: str | None
    events: list[str]
    click_id_paths: list[str]
    content_type: str
    sample: dict[str, Any]


class HookRoutes:
    """Routes of hooks. `url` is the console's public URL."""

    def __init__(self, store: ConversionHookStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")

    def routes(self) -> list[Route]:
        hooks = "/v1/profiles/<profile_id>/conversion-hooks"
        return [
            Route("GET", "/v1/conversion-shops", self.list_shops, _SHOPS),
            Route("POST", hooks, self.create, _CREATE),
            Route("GET", hooks, self.list_hooks, _LIST),
            Route("PATCH", f"{hooks}/<hook_id>", self.update, _UPDATE),
            Route("DELETE", f"{hooks}/<hook_id>", self.delete, _DELETE),
        ]

    async def list_shops(self) -> Response:
        refuse_parameters()
        return json_response(ListResponse(items=_shops(), next_cursor=None))

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(HookDraft, await json_object(), validate_hook, {})
        idempotent_request = await idempotency_with_secret(
            self._created, lambda new: new[0].profile_id
        )
        return response_of(
            self._created(
                await self._store.create_hook(current_caller(), id_, draft, idempotent_request)
            )
        )

    def _created(self, new: tuple[ConversionHook, str]) -> StoredResponse:
        hook, token = new
        response = msgspec.structs.replace(_hook_response(hook), url=f"{self._url}/in/{token}")
        path = f"/v1/profiles/{hook.profile_id}/conversion-hooks/{hook.id}"
        return replayable_response(response, 201, {"Location": path})

    async def list_hooks(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_hooks(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(items, _hook_response))

    async def update(self, profile_id: str, hook_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        body = await json_object()

        def merged(stored: HookDraft) -> HookDraft:
            return draft_of(HookDraft, body, validate_hook, msgspec.structs.asdict(stored))

        hook = await self._store.update_hook(
            current_caller(), path_id(profile_id), path_id(hook_id), merged
        )
        return json_response(_hook_response(hook))

    async def delete(self, profile_id: str, hook_id: str) -> Response:
        refuse_parameters()
        await self._store.delete_hook(current_caller(), path_id(profile_id), path_id(hook_id))
        return empty_response(204)


def _hook_response(hook: ConversionHook) -> HookResponse:
    return HookResponse(
        id=str(hook.id),
        profile_id=str(hook.profile_id),
        label=hook.label,
        name=hook.name,
        shop=hook.shop,
        fields=hook.fields,
        value_factor=hook.value_factor,
        secrets=hook.secrets,
        created_at=utc(hook.created_at),
    )


def _shops() -> list[ShopResponse]:
    return [
        ShopResponse(
            name=name,  # type: ignore[arg-type]  # the keys are the literals
            signature_header=shop.signature.header if shop.signature else None,
            events=list(shop.events),
            click_id_paths=list(shop.click_ids),
            content_type="application/x-www-form-urlencoded"
            if shop.is_form
            else "application/json",
            sample=dict(shop.sample),
        )
        for name, shop in SHOPS.items()
    ]


_TAG: Final = "Conversions"
_FIELDS: Final = {
    "click_id": "note_attributes[name=wp_click].value",
    "order_id": "order_number",
    "value": "total_price",
    "currency": "currency",
    "refund_id": None,
}
_EXAMPLE: Final = {
    "id": "365072220160000031",
    "profile_id": "365072220160000001",
    "label": "The shop",
    "name": "sale",
    "shop": "custom",
    "fields": _FIELDS,
    "value_factor": 1,
    "secrets": 0,
    "created_at": "2026-05-01T09:31:00Z",
}
_SHOPS: Final = Doc(
    id="listConversionShops",
    summary="List the shops that hooks know",
    tag=_TAG,
    description="How each of them signs, which of its events to subscribe to, where it sends the click id, and "
    "a sample of what it posts.",
    responses={
        200: ResponseDoc(
            "The shops.",
            ListResponse[ShopResponse],
            {"items": [msgspec.to_builtins(shop) for shop in _shops()[:1]], "next_cursor": None},
        )
    },
)
_CREATE: Final = Doc(
    id="createConversionHook",
    summary="Create a hook for conversions",
    tag=_TAG,
    description="Its URL is in this response only. A known `shop` needs no `fields`; its `secrets` may be set "
    "later, as shops tell them once they know the URL. Takes the role editor.",
    body=HookDraft,
    body_example={"label": "The shop", "fields": _FIELDS},
    responses={
        201: ResponseDoc(
            "The hook.",
            HookResponse,
            _EXAMPLE | {"url": "https://console.example/in/wph_5fGkZ3v8QmW1"},
            ("Location",),
        )
    },
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listConversionHooks",
    summary="List a profile's hooks for conversions",
    tag=_TAG,
    description="Oldest first, without their URLs.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of hooks.",
            ListResponse[HookResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_DELETE: Final = Doc(
    id="deleteConversionHook",
    summary="Delete a hook for conversions",
    tag=_TAG,
    description="Its URL stops working. Takes the role editor.",
    responses={204: ResponseDoc("The hook is deleted.")},
)
_UPDATE: Final = Doc(
    id="updateConversionHook",
    summary="Change a hook for conversions",
    tag=_TAG,
    description="Fields that are left out stay as they are. To change a signing secret without losing an "
    "order, set the old and the new one, and later the new one alone. Takes the role editor.",
    body=changes_of(HookDraft, "HookChanges"),
    body_example={"secrets": ["whsec_new", "whsec_old"]},
    responses={200: ResponseDoc("The hook.", HookResponse, _EXAMPLE)},
)
