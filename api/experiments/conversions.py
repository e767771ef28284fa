"""`/v1/conversions`: conversions after clicks, reported by the owners of the targets."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    draft_of,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.idempotency import idempotency_key, idempotency_of_request, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.clicks.click_id import ClickId, ClickIdCipher
from engine.common.errors import FieldError, InvalidError, NotFoundError, WaypostError
from engine.common.idempotency import StoredResponse
from engine.experiments.conversion import (
    MAX_AT_ONCE,
    Attribution,
    Conversion,
    ConversionDraft,
    ConversionSource,
    RecordedConversion,
    VerifiedConversion,
    conversion_of_order,
    errors,
    with_currency_code,
)
from engine.experiments.conversion_hook import ResolvedHook
from engine.experiments.ports import ConversionStore
from engine.experiments.shops.shop_report import ShopOrder


class ConversionsBody(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion by its fields, or many as `conversions`."""

    click_id: str | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    order_id: str | msgspec.UnsetType = msgspec.UNSET
    at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    value: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    currency: str | msgspec.UnsetType | None = msgspec.UNSET
    conversions: (
        Annotated[list[ConversionDraft], msgspec.Meta(min_length=1, max_length=MAX_AT_ONCE)]
        | msgspec.UnsetType
    ) = msgspec.UNSET


class ConversionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a recorded conversion. `duplicate`: it was recorded before, and nothing was added. If it is
    not `attributed`, no experiment counts it, and it is kept all the same: the click has no exposure in an
    experiment (`unexposed`), the attribution window had ended (`expired`), the experiment is deleted
    (`deleted`), or no click of the profile is known (`unattributed`)."""

    attribution: Attribution
    duplicate: bool


class KeptConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded conversion. `variant` is the number of the experiment's variant; 0 is the control."""

    id: Id
    name: str
    order_id: str
    at: datetime
    received_at: datetime
    clicked_at: datetime | None
    link_id: Id | None
    value: str | None
    currency: str | None
    source: ConversionSource
    attribution: Attribution
    experiment_id: Id | None
    phase: int | None
    variant: int | None


class ItemError(msgspec.Struct, frozen=True):
    field: str
    reason: str


class ConversionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the conversion at `index` of the request."""

    index: int
    status: int
    conversion: ConversionResponse | None = None
    errors: list[ItemError] | None = None


class ConversionsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one conversion (`attribution`, `duplicate`), or the `results` of many."""

    attribution: Attribution | msgspec.UnsetType = msgspec.UNSET
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET
    results: list[ConversionResult] | msgspec.UnsetType = msgspec.UNSET


class ConversionParser:
    """Parser of reported conversions: it opens click ids and validates the fields.

    `secret` is called once, before the first conversion.
    """

    def __init__(self, secret: Callable[[], Awaitable[bytes]], now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._cipher: ClickIdCipher | None = None
        self._now = now

    async def parse(self, body: Mapping[str, Any]) -> VerifiedConversion:
        """Return the conversion with its opened click id.

        Raises InvalidError, and UnavailableError while the secret is not known.
        """
        now, cipher = self._now(), await self._cipher_of_clicks()
        click_ids: list[ClickId | None] = []

        def validate(draft: ConversionDraft) -> tuple[ConversionDraft | None, list[FieldError]]:
            draft = with_currency_code(draft)
            click_ids.append(cipher.open(draft.click_id))
            field_errors = errors(draft, click_ids[-1], now)
            return (None if field_errors else draft), field_errors

        draft = draft_of(ConversionDraft, body, validate, {})
        (click,) = click_ids
        assert click is not None
        return VerifiedConversion(draft, click, draft.at or now, now)

    async def parse_order(self, order: ShopOrder, hook: ResolvedHook) -> VerifiedConversion:
        """Return the conversion of an order that a hook received; errors as parse().

        Its click is that of its click id, if it is one of the hook's profile.
        """
        cipher = await self._cipher_of_clicks()
        click = cipher.open(order.click_id) if order.click_id else None
        if click is not None and click[:2] != (hook.tenant_id, hook.profile_id):
            click = None
        return conversion_of_order(order, hook.name, click, self._now())

    async def _cipher_of_clicks(self) -> ClickIdCipher:
        if self._cipher is None:
            self._cipher = ClickIdCipher(await self._secret())
        return self._cipher


class ConversionRoutes:
    def __init__(self, store: ConversionStore, parser: ConversionParser) -> None:
        self._store = store
        self._parser = parser

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/conversions", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/conversions", self.list_page, _LIST),
        ]

    async def list_page(self, profile_id: str) -> Response:
        before, limit = page_of_request()
        items = await self._store.list_conversions(
            current_caller(), path_id(profile_id), before, limit
        )
        return json_response(page_response(items, _kept_conversion))

    async def create(self) -> Response:
        refuse_parameters()
        body = await json_object()
        if "conversions" in body:
            return await self._create_many(body)
        conversion = await self._parser.parse(body)
        idempotent_request = await idempotency_of_request(recorded_response)
        try:
            recorded = await self._store.record(
                current_caller(),
                conversion.known_click.profile_id,
                [conversion],
                "api",
                idempotent_request,
            )
        except NotFoundError:
            raise NotFoundError.of("click") from None
        return response_of(recorded_response(recorded))

    async def _create_many(self, body: dict[str, Any]) -> Response:
        items = body["conversions"]
        if len(body) > 1:
            reason = "must be the only field; the fields of each conversion go into the list"
            raise InvalidError([FieldError("conversions", reason)])
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_AT_ONCE:
            reason = f"must be a list of 1 to {MAX_AT_ONCE} conversions"
            raise InvalidError([FieldError("conversions", reason)])
        idempotency_key()  # each conversion of a list is recorded once, with or without a key
        parsed: dict[int, VerifiedConversion] = {}
        results: dict[int, ConversionResult] = {}
        for index, item in enumerate(items):
            if index % 50 == 49:
                await trio.lowlevel.checkpoint()
            try:
                if not isinstance(item, dict):
                    raise InvalidError([FieldError("conversions", "must be JSON objects")])
                parsed[index] = await self._parser.parse(item)
            except InvalidError as error:
                results[index] = _refused(index, error)
        recorded = await self._record(list(parsed.values()), "api")
        for index, result in zip(parsed, recorded, strict=True):
            results[index] = (
                _refused(index, result)
                if isinstance(result, WaypostError)
                else ConversionResult(
                    index=index,
                    status=200 if result.duplicate else 201,
                    conversion=conversion_response(result),
                )
            )
        in_order = [results[index] for index in range(len(items))]
        return json_response(ConversionsResponse(results=in_order))

    async def _record(
        self, conversions: list[VerifiedConversion], source: ConversionSource
    ) -> list[RecordedConversion | WaypostError]:
        """Record the conversions, in one transaction per profile. Returns a result or an error for each.

        A click of a profile that the caller may not see is not found.
        """
        results: list[RecordedConversion | WaypostError] = [NotFoundError.of("click")] * len(
            conversions
        )
        by_profile: dict[int, list[int]] = {}
        for index, conversion in enumerate(conversions):
            by_profile.setdefault(conversion.known_click.profile_id, []).append(index)
        for profile_id, indexes in by_profile.items():
            of_profile = [conversions[index] for index in indexes]
            try:
                recorded = await self._store.record(
                    current_caller(), profile_id, of_profile, source
                )
            except NotFoundError:
                continue
            for index, result in zip(indexes, recorded, strict=True):
                results[index] = result
        return results


def _kept_conversion(kept: Conversion) -> KeptConversion:
    return KeptConversion(
        id=str(kept.id),
        name=kept.name,
        order_id=kept.order_id,
        at=utc(kept.at),
        received_at=utc(kept.received_at),
        clicked_at=None if kept.clicked_at is None else utc(kept.clicked_at),
        link_id=None if kept.link_id is None else str(kept.link_id),
        value=None if kept.value is None else str(kept.value),
        currency=kept.currency,
        source=kept.source,
        attribution=kept.attribution,
        experiment_id=None if kept.experiment_id is None else str(kept.experiment_id),
        phase=kept.phase,
        variant=kept.variant,
    )


def conversion_response(recorded: RecordedConversion) -> ConversionResponse:
    """Return the result of a recorded conversion, as the API shows it."""
    return ConversionResponse(attribution=recorded.attribution, duplicate=recorded.duplicate)


def recorded_response(recorded: list[RecordedConversion]) -> StoredResponse:
    """Return the response to a single conversion."""
    (conversion,) = recorded
    status = 200 if conversion.duplicate else 201
    return replayable_response(conversion_response(conversion), status, {})


def _refused(index: int, error: WaypostError) -> ConversionResult:
    if isinstance(error, InvalidError):
        item_errors = [ItemError(*field_error) for field_error in error.errors]
        return ConversionResult(index=index, status=422, errors=item_errors)
    return ConversionResult(index=index, status=404, errors=[ItemError("click_id", str(error))])


_LIST: Final = Doc(
    id="listConversions",
    summary="List a profile's conversions",
    tag="Conversions",
    description="Newest first. `attribution` says why an experiment does not count a conversion.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of conversions.",
            ListResponse[KeptConversion],
            {
                "items": [
                    {
                        "id": "365072220160000041",
                        "name": "sale",
                        "order_id": "1001",
                        "at": "2026-05-01T10:12:00Z",
                        "received_at": "2026-05-01T10:12:01Z",
                        "clicked_at": "2026-05-01T10:02:11Z",
                        "link_id": "365072220160000002",
                        "value": "49.9000",
                        "currency": "EUR",
                        "source": "api",
                        "attribution": "attributed",
                        "experiment_id": "365072220160000021",
                        "phase": 1,
                        "variant": 1,
                    }
                ],
                "next_cursor": None,
            },
        )
    },
)
_CREATE: Final = Doc(
    id="createConversions",
    summary="Report conversions",
    tag="Conversions",
    description="Conversions after clicks on the caller's links, by the click id that Waypost added to the "
    "target's URL. A conversion of the same click, name and order is recorded once. Up to 1,000 go into one "
    'request as `{"conversions": […]}`: a refused one stops no other. To a list an `Idempotency-Key` adds '
    "nothing: sent again, its conversions are duplicates. Takes the role editor.",
    body=ConversionsBody,
    body_example={
        "click_id": "Xq3k9…",
        "name": "sale",
        "order_id": "1001",
        "value": "49.90",
        "currency": "EUR",
    },
    responses={
        201: ResponseDoc(
            "It is recorded.",
            ConversionsResponse,
            {"attribution": "attributed", "duplicate": False},
        ),
        200: ResponseDoc(
            "It was recorded before; or, for many, a result for each.",
            ConversionsResponse,
            {
                "results": [
                    {
                        "index": 0,
                        "status": 201,
                        "conversion": {"attribution": "attributed", "duplicate": False},
                        "errors": None,
                    }
                ]
            },
        ),
    },
    errors=(404,),
    idempotent=True,
)
