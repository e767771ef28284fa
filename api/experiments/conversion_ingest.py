"""How conversions come in without a key: by a script on the target's page, and by a shop's own webhooks.

Whoever has a click id may tell a conversion of that click, from the page by `/wp.js`: so such figures are as
honest as visitors are. A hook's URL is secret, and tells of clicks of its profile only.
"""

from datetime import datetime
from importlib import resources
from typing import Any, Final

import msgspec
import orjson
from quart import Response, request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from api.experiments.conversions import ConversionParser, ConversionResponse
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
    utc,
)
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.rate_limits import now_us
from api.http.routes import Doc, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.experiments.conversion import (
    ConversionHook,
    HookDraft,
    HookFieldPaths,
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
# By address, and by hook: of this console alone.
SCRIPT: Final = Rate("script", units=120, period_s=60)
HOOK: Final = Rate("hook", units=6000, period_s=60)
_KEPT: Final = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}


class HookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A hook. `url` is in the answer that makes it and never again."""

    id: Id
    profile_id: Id
    label: str
    name: str
    fields: HookFieldPaths
    created_at: datetime
    url: Url | msgspec.UnsetType = msgspec.UNSET


class ConversionIngest:
    """`url` is where people reach the console, `hops` how many proxies stand in front of it."""

    def __init__(
        self, store: ConversionStore, teller: ConversionParser, url: str, hops: int
    ) -> None:
        self._store = store
        self._teller = teller
        self._url = url.rstrip("/")
        self._hops = hops
        self._limiters = LocalRateLimiters(MAX_SUBJECTS, "allow")
        self._script = (resources.files(__package__) / "wp.js").read_bytes()

    def routes(self) -> list[Route]:
        hooks = "/v1/profiles/<profile_id>/conversion-hooks"
        return [
            Route("GET", "/wp.js", self.script, _SCRIPT, access="public"),
            Route("POST", "/collect", self.collect, _COLLECT, access="public"),
            Route("POST", "/in/<token>", self.take, _TAKE, access="public"),
            Route("POST", hooks, self.create, _CREATE),
            Route("GET", hooks, self.list_hooks, _LIST),
            Route("DELETE", f"{hooks}/<hook_id>", self.delete, _DELETE),
        ]

    async def script(self) -> Response:
        return Response(self._script, content_type="text/javascript; charset=utf-8", headers=_KEPT)

    async def collect(self) -> Response:
        """What the script sends; the page that it runs on reads no answer."""
        self._require_allowed(SCRIPT, network_of(client_address.address(self._hops)))
        told = await self._teller.parse(await _json())
        recorded = await self._store.record_from_ingest(
            told.click.tenant_id, told.click.profile_id, [told], "script"
        )
        return _allowed(json_response(ConversionResponse(
            attribution=recorded[0].attribution, duplicate=recorded[0].duplicate
        )))  # fmt: skip

    async def take(self, token: str) -> Response:
        """A shop's own JSON."""
        hook = await self._store.hook_of(token)
        if hook is None:
            raise NotFoundError.of("hook")
        self._require_allowed(HOOK, f"{hook.tenant_id}:{hook.profile_id}")
        body = await json_object()
        found = {
            name: value_at_path(body, getattr(hook.fields, name))
            for name in HookFieldPaths.__struct_fields__
        }
        given: dict[str, Any] = {name: text for name, text in found.items() if text is not None}
        if "value" not in given or "currency" not in given:
            given = {k: v for k, v in given.items() if k not in ("value", "currency")}
        told = await self._teller.parse({**given, "name": hook.name})
        if told.click.profile_id != hook.profile_id:
            raise InvalidError([FieldError("click_id", "is of another profile's click")])
        (recorded,) = await self._store.record_from_ingest(
            hook.tenant_id, hook.profile_id, [told], "hook"
        )
        return json_response(
            ConversionResponse(attribution=recorded.attribution, duplicate=recorded.duplicate),
            200 if recorded.duplicate else 201,
        )

    def _require_allowed(self, rate: Rate, subject: str) -> None:
        """Charge one request. Raises TooSoonError."""
        require_allowed([rate], self._limiters.decide([Charge(rate, subject)], now_us()))

    # ---- hooks ----------------------------------------------------------------------------------

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(HookDraft, await json_object(), validate_hook, {})
        hook, token = await self._store.create_hook(current_caller(), id_, draft)
        url = f"{self._url}/in/{token}"
        return json_response(msgspec.structs.replace(_shown(hook), url=url), 201)

    async def list_hooks(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        found = await self._store.list_hooks(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(found, _shown))

    async def delete(self, profile_id: str, hook_id: str) -> Response:
        refuse_parameters()
        await self._store.delete_hook(current_caller(), path_id(profile_id), path_id(hook_id))
        return empty_response(204)


async def _json() -> dict[str, Any]:
    """A body as `sendBeacon` sends it: JSON that calls itself text, so that browsers ask nobody first."""
    text: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
    if len(text) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidError([FieldError("body", "must be a JSON object")])
    return value


def _allowed(response: Response) -> Response:
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _shown(hook: ConversionHook) -> HookResponse:
    return HookResponse(
        id=str(hook.id),
        profile_id=str(hook.profile_id),
        label=hook.label,
        name=hook.name,
        fields=hook.fields,
        created_at=utc(hook.created_at),
    )


_TAG: Final = "Conversions"
_TOLD: Final = {"attribution": "attributed", "duplicate": False}
_EXAMPLE: Final = {
    "id": "365072220160000031",
    "profile_id": "365072220160000001",
    "label": "The shop",
    "name": "sale",
    "fields": {
        "click_id": "note_attributes.0.value",
        "order_id": "id",
        "value": "total_price",
        "currency": "currency",
    },
    "created_at": "2026-05-01T09:31:00Z",
}
_SCRIPT: Final = Doc(
    id="readScript",
    summary="The script for a target's page",
    tag=_TAG,
    description="It keeps the click id of the page's address on the target's own site, and tells a conversion "
    "with `waypost(name, {value, currency, order_id})` or by its attribute `data-convert`.",
    responses={200: ResponseDoc("The script.", str, "(function…", content_type="text/javascript")},
)
_COLLECT: Final = Doc(
    id="collectConversion",
    summary="Tell a conversion from a page",
    tag=_TAG,
    description="What `/wp.js` sends: a conversion as JSON, of any Content-Type. An address may send "
    f"{SCRIPT.units} a minute.",
    responses={
        200: ResponseDoc("It is recorded, or had been told before.", ConversionResponse, _TOLD)
    },
    errors=(400, 404, 413, 422, 429, 503),
)
_TAKE: Final = Doc(
    id="takeConversion",
    summary="Tell a conversion by a hook",
    tag=_TAG,
    description="A shop's own JSON; the hook says where in it the fields stand. Numbers of a value may have "
    "four decimal places. What is not of one of the profile's clicks is refused.",
    body=dict[str, Any],
    body_example={
        "id": 1001,
        "total_price": "49.90",
        "currency": "EUR",
        "note_attributes": [{"name": "wp_click", "value": "Xq3k9…"}],
    },
    responses={
        201: ResponseDoc("It is recorded.", ConversionResponse, _TOLD),
        200: ResponseDoc(
            "It had been told before.", ConversionResponse, _TOLD | {"duplicate": True}
        ),
    },
    errors=(404, 422, 429, 503),
    paths={"token": "The hook's secret."},
)
_CREATE: Final = Doc(
    id="createConversionHook",
    summary="Create a hook for conversions",
    tag=_TAG,
    description="Its URL is in this answer and never again. Takes the role editor.",
    body=HookDraft,
    body_example={"label": "The shop", "fields": _EXAMPLE["fields"]},
    responses={
        201: ResponseDoc(
            "The hook.", HookResponse, _EXAMPLE | {"url": "https://console.example/in/wph_5fGk…"}
        )
    },
    errors=(409,),
)
_LIST: Final = Doc(
    id="listConversionHooks",
    summary="List a profile's hooks for conversions",
    tag=_TAG,
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
    description="Its URL is good for nothing any more. Takes the role editor.",
    responses={204: ResponseDoc("It is gone.")},
)
