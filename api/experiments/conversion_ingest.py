"""Ingest of conversions without an API key: by a script on the target's page, and by a shop's webhooks.

Anybody with a click id can report a conversion of that click from a page with `/wp.js`: so such conversions are
only as trustworthy as visitors. A hook's URL is secret, and accepts clicks of its profile only.
"""

import hashlib
from collections import OrderedDict
from datetime import datetime
from importlib import resources
from typing import Any, Final

import msgspec
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from api.experiments.conversions import (
    ConversionParser,
    ConversionResponse,
    conversion_response,
    recorded_response,
)
from api.http import client_address
from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    Url,
    draft_of,
    empty_response,
    json_object,
    json_response,
    parsed_object,
    replayable_response,
    utc,
)
from api.http.idempotency import idempotency_of_request, idempotency_with_secret, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.rate_limits import now_us
from api.http.routes import Doc, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.idempotency import StoredResponse
from engine.experiments.conversion import (
    ConversionHook,
    HookDraft,
    HookFieldPaths,
    ResolvedHook,
    validate_hook,
    value_at_path,
)
from engine.experiments.ports import ConversionStore
from engine.limits.local_limiter import LocalRateLimiters
from engine.limits.ports import Charge
from engine.limits.rate import Rate, require_allowed
from engine.visits.client_address import network_of

SCRIPT_BYTES: Final = 1024
MAX_BODY_BYTES: Final = 4096
MAX_SUBJECTS: Final = 50_000
MAX_KNOWN_HOOKS: Final = 10_000
# Per client address, and per profile with hooks; each console counts by itself.
SCRIPT: Final = Rate("script", units=120, period_s=60)
HOOK: Final = Rate("hook", units=6000, period_s=60)
# Tokens from one address that this console has not seen valid. A platform sends for many shops from one
# address, so known tokens cost nothing.
HOOK_LOOKUPS: Final = Rate("hook-lookups", units=300, period_s=60)
_CACHED: Final = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}


class HookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A hook for conversions. `url` is only in the response that creates it."""

    id: Id
    profile_id: Id
    label: str
    name: str
    fields: HookFieldPaths
    created_at: datetime
    url: Url | msgspec.UnsetType = msgspec.UNSET


class ConversionIngest:
    """Routes of the ingest. `url` is the console's public URL; `trusted_hops` counts the proxies before it."""

    def __init__(
        self, store: ConversionStore, parser: ConversionParser, url: str, trusted_hops: int
    ) -> None:
        self._store = store
        self._parser = parser
        self._url = url.rstrip("/")
        self._trusted_hops = trusted_hops
        self._limiters = LocalRateLimiters(MAX_SUBJECTS, "allow")
        self._known_hooks: OrderedDict[bytes, None] = OrderedDict()  # SHA-256 of tokens
        self._script = (resources.files(__package__) / "wp.js").read_bytes()

    def routes(self) -> list[Route]:
        hooks = "/v1/profiles/<profile_id>/conversion-hooks"
        return [
            Route("GET", "/wp.js", self.script, _SCRIPT, access="public"),
            Route("POST", "/collect", self.collect, _COLLECT, access="public"),
            Route("POST", "/in/<token>", self.receive, _RECEIVE, access="public"),
            Route("POST", hooks, self.create, _CREATE),
            Route("GET", hooks, self.list_hooks, _LIST),
            Route("DELETE", f"{hooks}/<hook_id>", self.delete, _DELETE),
        ]

    async def script(self) -> Response:
        return Response(
            self._script, content_type="text/javascript; charset=utf-8", headers=_CACHED
        )

    async def collect(self) -> Response:
        """Record a conversion that the script sends."""
        self._require_allowed(SCRIPT, self._client())
        conversion = await self._parser.parse(await _json())
        (recorded,) = await self._store.record_from_ingest(
            conversion.click.tenant_id, conversion.click.profile_id, [conversion], "script"
        )
        return _any_origin(json_response(conversion_response(recorded)))

    async def receive(self, token: str) -> Response:
        """Record a conversion from a shop's own JSON, by the field paths of the hook."""
        hook = await self._hook(token)
        self._require_allowed(HOOK, f"{hook.tenant_id}:{hook.profile_id}")
        body = await json_object()
        conversion = await self._parser.parse({**_fields(hook.fields, body), "name": hook.name})
        if conversion.click.profile_id != hook.profile_id:
            raise InvalidError([FieldError("click_id", "must be of a click of the hook's profile")])
        idempotent_request = await idempotency_of_request(recorded_response, hook.profile_id)
        recorded = await self._store.record_from_ingest(
            hook.tenant_id, hook.profile_id, [conversion], "hook", idempotent_request
        )
        return response_of(recorded_response(recorded))

    async def _hook(self, token: str) -> ResolvedHook:
        """Return the hook of a token. Raises NotFoundError, or TooSoonError, without a look-up, for an address
        that has sent many unknown tokens."""
        digest = hashlib.sha256(token.encode()).digest()
        if digest in self._known_hooks:
            self._known_hooks.move_to_end(digest)
        else:
            self._require_allowed(HOOK_LOOKUPS, self._client())
        hook = await self._store.hook_of(token)
        if hook is None:
            self._known_hooks.pop(digest, None)
            raise NotFoundError.of("hook")
        self._known_hooks[digest] = None
        if len(self._known_hooks) > MAX_KNOWN_HOOKS:
            self._known_hooks.popitem(last=False)
        return hook

    def _client(self) -> str:
        """Return the network of the request's client."""
        return network_of(client_address.address(self._trusted_hops))

    def _require_allowed(self, rate: Rate, subject: str) -> None:
        """Charge one request. Raises TooSoonError."""
        require_allowed([rate], self._limiters.decide([Charge(rate, subject)], now_us()))

    # ---- hooks ----------------------------------------------------------------------------------

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

    async def delete(self, profile_id: str, hook_id: str) -> Response:
        refuse_parameters()
        await self._store.delete_hook(current_caller(), path_id(profile_id), path_id(hook_id))
        return empty_response(204)


def _fields(paths: HookFieldPaths, body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a conversion that the paths find in a shop's body."""
    fields: dict[str, Any] = {}
    for name in HookFieldPaths.__struct_fields__:
        value = value_at_path(body, getattr(paths, name))
        if value is not None:
            fields[name] = value
    if "value" not in fields or "currency" not in fields:
        # A value counts only with its currency; without it, the conversion has none.
        fields = {name: text for name, text in fields.items() if name not in ("value", "currency")}
    return fields


async def _json() -> dict[str, Any]:
    """Return the JSON object of a body of any Content-Type: `sendBeacon` sends text/plain, to avoid a
    preflight.

    Raises BadRequest, InvalidError, or RequestEntityTooLarge beyond MAX_BODY_BYTES.
    """
    text: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    if len(text) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return parsed_object(text)


def _any_origin(response: Response) -> Response:
    """Return the response with a header that lets pages of any origin read it."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _hook_response(hook: ConversionHook) -> HookResponse:
    return HookResponse(
        id=str(hook.id),
        profile_id=str(hook.profile_id),
        label=hook.label,
        name=hook.name,
        fields=hook.fields,
        created_at=utc(hook.created_at),
    )


_TAG: Final = "Conversions"
_RECORDED: Final = {"attribution": "attributed", "duplicate": False}
_EXAMPLE: Final = {
    "id": "365072220160000031",
    "profile_id": "365072220160000001",
    "label": "The shop",
    "name": "sale",
    "fields": {
        "click_id": "note_attributes.0.value",
        "order_id": "order_number",
        "value": "total_price",
        "currency": "currency",
    },
    "created_at": "2026-05-01T09:31:00Z",
}
_SCRIPT: Final = Doc(
    id="readScript",
    summary="Read the script for a target's page",
    tag=_TAG,
    description="The script keeps the click id of the page's URL on the target's own site, and reports a "
    "conversion by `waypost(name, {value, currency, order_id})` or by its attribute `data-convert`.",
    responses={200: ResponseDoc("The script.", str, "(function…", content_type="text/javascript")},
)
_COLLECT: Final = Doc(
    id="collectConversion",
    summary="Report a conversion from a page",
    tag=_TAG,
    description="Used by `/wp.js`: a conversion as JSON, of any Content-Type. A client address may send "
    f"{SCRIPT.units} per minute.",
    responses={
        200: ResponseDoc("It is recorded, or was recorded before.", ConversionResponse, _RECORDED)
    },
    errors=(400, 404, 413, 422, 429, 503),
)
_RECEIVE: Final = Doc(
    id="takeConversion",
    summary="Report a conversion by a hook",
    tag=_TAG,
    description="The body is a shop's own JSON; the hook's `fields` are the paths of the conversion's fields "
    "in it. A value may have four decimal places. The click must be one of the hook's profile. A profile's "
    f"hooks take {HOOK.units:,} requests per minute.",
    body=dict[str, Any],
    body_example={
        "order_number": 1001,
        "total_price": "49.90",
        "currency": "EUR",
        "note_attributes": [{"name": "wp_click", "value": "Xq3k9…"}],
    },
    responses={
        201: ResponseDoc("It is recorded.", ConversionResponse, _RECORDED),
        200: ResponseDoc(
            "It was recorded before.", ConversionResponse, _RECORDED | {"duplicate": True}
        ),
    },
    errors=(404, 422, 429, 503),
    idempotent=True,
    paths={"token": "The hook's secret."},
)
_CREATE: Final = Doc(
    id="createConversionHook",
    summary="Create a hook for conversions",
    tag=_TAG,
    description="Its URL is in this response only. Takes the role editor.",
    body=HookDraft,
    body_example={"label": "The shop", "fields": _EXAMPLE["fields"]},
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
