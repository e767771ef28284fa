"""Ingest of conversions without an API key: by a script on the target's page, and by a shop's hooks.

Anybody with a click id can report a conversion of that click from a page with `/wp.js`: so such conversions are
only as trustworthy as visitors. A hook's URL is secret, and accepts clicks of its profile only.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Final

import msgspec
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge, Unauthorized

from api.experiments.conversions import (
    ConversionParser,
    ConversionResponse,
    conversion_response,
)
from api.http import client_address
from api.http.bodies import json_response, parsed_object, replayable_response
from api.http.idempotency import idempotency_of_request, response_of
from api.http.rate_limits import now_us
from api.http.routes import Doc, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.idempotency import StoredResponse
from engine.experiments.conversion import Attribution, RecordedReport
from engine.experiments.conversion_hook import ResolvedHook, body_sha256, read_report
from engine.experiments.ports import ConversionHookStore, ConversionStore
from engine.experiments.refund import MAX_AT_ONCE as MAX_REFUNDS
from engine.experiments.refund import RefundDraft, VerifiedRefund, refund_errors
from engine.experiments.shops.shop import SHOPS
from engine.experiments.shops.shop_body import FORM_TYPE, parse_form
from engine.experiments.shops.shop_report import ShopRefund, ShopReport
from engine.experiments.shops.shop_reports import ShopReportCounts
from engine.experiments.shops.shop_signature import TOLERANCE, is_signed
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


class ReceivedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a shop's request: of its order (`attribution`, `duplicate`), and how many of its `refunds`
    are new. `ignored`: the request is about neither."""

    attribution: Attribution | msgspec.UnsetType = msgspec.UNSET
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET
    refunds: int | msgspec.UnsetType = msgspec.UNSET
    ignored: bool | msgspec.UnsetType = msgspec.UNSET


class ConversionIngest:
    """Routes of the ingest. `trusted_hops` counts the proxies before the console; `now` returns aware times."""

    def __init__(
        self,
        store: ConversionStore,
        hooks: ConversionHookStore,
        parser: ConversionParser,
        reports: ShopReportCounts,
        now: Callable[[], datetime],
        trusted_hops: int,
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._parser = parser
        self.reports = reports
        self._now = now
        self._trusted_hops = trusted_hops
        self._limiters = LocalRateLimiters(MAX_SUBJECTS, "allow")
        self._known_hooks: OrderedDict[bytes, None] = OrderedDict()  # SHA-256 of tokens
        self._script = (resources.files(__package__) / "wp.js").read_bytes()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/wp.js", self.script, _SCRIPT, access="public"),
            Route("POST", "/collect", self.collect, _COLLECT, access="public"),
            Route("POST", "/in/<token>", self.receive, _RECEIVE, access="public"),
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
            *conversion.known_click[:2], [conversion], "script"
        )
        return _any_origin(json_response(conversion_response(recorded)))

    async def receive(self, token: str) -> Response:
        """Record the order and the refunds of a shop's request. One that reports neither is answered 200, as is
        an order without a click: shops give up hooks that refuse what they send."""
        hook = await self._hook(token)
        self._require_allowed(HOOK, f"{hook.tenant_id}:{hook.profile_id}")
        raw: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
        body = self._authentic_body(hook, raw)
        report = ShopReport() if body is None else read_report(hook, body, body_sha256(raw))
        if len(report.refunds) > MAX_REFUNDS:
            reason = f"must have at most {MAX_REFUNDS} refunds"
            raise InvalidError([FieldError("refunds", reason)])
        if report.order is None and not report.refunds:
            self.reports.count("ignored")
            return json_response(ReceivedResponse(ignored=True))
        order = await self._parser.parse_order(report.order, hook) if report.order else None
        refunds = [_verified_refund(refund, hook, self._now()) for refund in report.refunds]
        idempotent_request = await idempotency_of_request(_received_response, hook.profile_id)
        recorded = await self._store.record_report(
            hook.tenant_id, hook.profile_id, order, refunds, idempotent_request
        )
        self.reports.count_recorded(recorded)
        return response_of(_received_response(recorded))

    def _authentic_body(self, hook: ResolvedHook, raw: bytes) -> dict[str, Any] | None:
        """Return the body of a request that its shop has signed, or of a hook without secrets; None for a ping.

        Raises Unauthorized, BadRequest, InvalidError.
        """
        shop = SHOPS.get(hook.shop)
        if shop is None or shop.signature is None or not hook.secrets:
            return _body(raw)
        signature = request.headers.get(shop.signature.header, "")
        if not signature and shop.is_ping is not None and shop.is_ping(_body(raw)):
            return None
        if not is_signed(shop.signature, signature, raw, hook.secrets, self._now()):
            self.reports.count("unsigned")
            raise Unauthorized(
                f"{shop.signature.header} must sign the body with a secret of the hook, within "
                f"{TOLERANCE // timedelta(minutes=1)} minutes where it has a time"
            )
        return _body(raw)

    async def _hook(self, token: str) -> ResolvedHook:
        """Return the hook of a token. Raises NotFoundError, or TooSoonError, without a look-up, for an address
        that has sent many unknown tokens."""
        digest = hashlib.sha256(token.encode()).digest()
        if digest in self._known_hooks:
            self._known_hooks.move_to_end(digest)
        else:
            self._require_allowed(HOOK_LOOKUPS, self._client())
        hook = await self._hooks.hook_of(token)
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


def _body(raw: bytes) -> dict[str, Any]:
    """Return the fields of a shop's body, a form or JSON. Raises BadRequest, InvalidError."""
    return parse_form(raw) if request.mimetype == FORM_TYPE else parsed_object(raw)


def _verified_refund(refund: ShopRefund, hook: ResolvedHook, now: datetime) -> VerifiedRefund:
    """Return a refund as it is recorded, at its time if that has come. Raises InvalidError."""
    value = None if refund.kind == "void" else refund.value
    currency = None if refund.kind == "void" else refund.currency
    draft = RefundDraft(
        order_id=refund.order_id, name=hook.name, refund_id=refund.refund_id, kind=refund.kind,
        value=value, currency=currency,
    )  # fmt: skip
    if field_errors := refund_errors(draft):
        raise InvalidError(field_errors)
    return VerifiedRefund(
        hook.name, refund.order_id, refund.refund_id, refund.kind, value, currency,
        min(refund.at or now, now),
    )  # fmt: skip


def _received_response(recorded: RecordedReport) -> StoredResponse:
    """Return the response to a shop's request."""
    order = recorded.order
    response = ReceivedResponse(
        attribution=order.attribution if order else msgspec.UNSET,
        duplicate=order.duplicate if order else msgspec.UNSET,
        refunds=recorded.new_refunds or (msgspec.UNSET if order else 0),
    )
    is_new = order is not None and not order.duplicate
    return replayable_response(response, 201 if is_new else 200, {})


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


_TAG: Final = "Conversions"
_RECORDED: Final = {"attribution": "attributed", "duplicate": False}
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
    description="The body is what the hook's shop posts, JSON or a form; of a custom shop, the hook's `fields` "
    "are the paths of the conversion's fields in it. A hook with signing secrets takes what is signed with one "
    "of them. An order without a click of the hook's profile is kept as `unattributed`; a request about "
    f"neither an order nor a refund is `ignored`. A profile's hooks take {HOOK.units:,} requests per minute.",
    body=dict[str, Any],
    body_example={
        "order_number": 1001,
        "total_price": "49.90",
        "currency": "EUR",
        "note_attributes": [{"name": "wp_click", "value": "Xq3k9…"}],
    },
    responses={
        201: ResponseDoc("The order is recorded.", ReceivedResponse, _RECORDED),
        200: ResponseDoc(
            "The order was recorded before, or the request has none.",
            ReceivedResponse,
            _RECORDED | {"duplicate": True},
        ),
    },
    errors=(400, 401, 404, 413, 422, 429, 503),
    idempotent=True,
    paths={"token": "The hook's secret."},
)
