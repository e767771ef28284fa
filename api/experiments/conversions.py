"""`/v1/conversions`: what visitors did after their clicks, told by whoever owns the targets."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, draft_of, json_object, json_response, utc
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.clicks.click_id import ClickId, ClickIdCipher
from engine.common.errors import FieldError, InvalidError, NotFoundError, WaypostError
from engine.experiments.conversion import (
    MAX_AT_ONCE,
    Attribution,
    Conversion,
    ConversionDraft,
    ConversionSource,
    RecordedConversion,
    VerifiedConversion,
    errors,
)
from engine.experiments.ports import ConversionStore


class ConversionsBody(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion by its fields, or many as `conversions`."""

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
    """`duplicate`: it had been told before, and nothing was added. Of one that is not `attributed`: the click
    was in no experiment or did not expose anybody (`unexposed`), the window was over (`expired`), or the
    experiment is gone (`deleted`); it is kept all the same."""

    attribution: Attribution
    duplicate: bool


class KeptConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion as it is kept. `variant` is the number of the experiment's variant, from 0."""

    id: Id
    name: str
    order_id: str
    at: datetime
    received_at: datetime
    clicked_at: datetime
    link_id: Id
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
    """What became of one of many, by its place in the request."""

    index: int
    status: int
    conversion: ConversionResponse | None = None
    errors: list[ItemError] | None = None


class ConversionsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Of one: its attribution and whether it is a duplicate. Of many: `results`."""

    attribution: Attribution | msgspec.UnsetType = msgspec.UNSET
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET
    results: list[ConversionResult] | msgspec.UnsetType = msgspec.UNSET


class ConversionParser:
    """Opens click ids and judges what is told of them. The `secret` is asked for when first needed."""

    def __init__(self, secret: Callable[[], Awaitable[bytes]], now: Callable[[], datetime]) -> None:
        self._secret = secret
        self._seal: ClickIdCipher | None = None
        self._now = now

    async def parse(self, body: Mapping[str, Any]) -> VerifiedConversion:
        """Raises InvalidError, and UnavailableError while nobody knows the secret."""
        if self._seal is None:
            self._seal = ClickIdCipher(await self._secret())
        now, seal = self._now(), self._seal
        opened: list[ClickId | None] = []

        def judged(draft: ConversionDraft) -> tuple[ConversionDraft | None, list[FieldError]]:
            opened.append(seal.open(draft.click_id))
            found = errors(draft, opened[-1], now)
            return (None if found else draft), found

        draft = draft_of(ConversionDraft, body, judged, {})
        (click,) = opened
        assert click is not None
        return VerifiedConversion(draft, click, draft.at or now, now)


class ConversionRoutes:
    def __init__(self, store: ConversionStore, teller: ConversionParser) -> None:
        self._store = store
        self._teller = teller

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/conversions", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/conversions", self.list_page, _LIST),
        ]

    async def list_page(self, profile_id: str) -> Response:
        before, limit = page_of_request()
        found = await self._store.list_conversions(
            current_caller(), path_id(profile_id), before, limit
        )
        return json_response(page_response(found, _kept))

    async def create(self) -> Response:
        refuse_parameters()
        body = await json_object()
        if "conversions" in body:
            return await self._many(body)
        told = await self._teller.parse(body)
        (recorded,) = await self._record([told], "api")
        if isinstance(recorded, WaypostError):
            raise recorded
        return json_response(_shown(recorded), 200 if recorded.duplicate else 201)

    async def _many(self, body: dict[str, Any]) -> Response:
        items = body["conversions"]
        if len(body) > 1:
            reason = "stands alone: fields of one conversion are in the list"
            raise InvalidError([FieldError("conversions", reason)])
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_AT_ONCE:
            raise InvalidError([FieldError("conversions", f"must be a list of 1 to {MAX_AT_ONCE}")])
        good: dict[int, VerifiedConversion] = {}
        results: dict[int, ConversionResult] = {}
        for index, item in enumerate(items):
            if index % 50 == 49:
                await trio.lowlevel.checkpoint()
            try:
                if not isinstance(item, dict):
                    raise InvalidError([FieldError("conversions", "must be JSON objects")])
                good[index] = await self._teller.parse(item)
            except InvalidError as error:
                results[index] = _refused(index, error)
        recorded = await self._record(list(good.values()), "api")
        for index, found in zip(good, recorded, strict=True):
            results[index] = (
                _refused(index, found)
                if isinstance(found, WaypostError)
                else ConversionResult(
                    index=index,
                    status=200 if found.duplicate else 201,
                    conversion=_shown(found),
                )
            )
        shown = [results[index] for index in range(len(items))]
        return json_response(ConversionsResponse(results=shown))

    async def _record(
        self, told: list[VerifiedConversion], source: ConversionSource
    ) -> list[RecordedConversion | WaypostError]:
        """By profile, each in a transaction of its own; a profile that is not the caller's has no clicks."""
        found: list[RecordedConversion | WaypostError] = [NotFoundError.of("click")] * len(told)
        by_profile: dict[int, list[int]] = {}
        for index, one in enumerate(told):
            by_profile.setdefault(one.click.profile_id, []).append(index)
        for profile_id, indexes in by_profile.items():
            try:
                some = [told[index] for index in indexes]
                recorded = await self._store.record(current_caller(), profile_id, some, source)
            except NotFoundError:
                continue
            for index, result in zip(indexes, recorded, strict=True):
                found[index] = result
        return found


def _kept(kept: Conversion) -> KeptConversion:
    return KeptConversion(
        id=str(kept.id),
        name=kept.name,
        order_id=kept.order_id,
        at=utc(kept.at),
        received_at=utc(kept.received_at),
        clicked_at=utc(kept.clicked_at),
        link_id=str(kept.link_id),
        value=None if kept.value is None else str(kept.value),
        currency=kept.currency,
        source=kept.source,
        attribution=kept.attribution,
        experiment_id=None if kept.experiment_id is None else str(kept.experiment_id),
        phase=kept.phase,
        variant=kept.variant,
    )


def _shown(recorded: RecordedConversion) -> ConversionResponse:
    return ConversionResponse(attribution=recorded.attribution, duplicate=recorded.duplicate)


def _refused(index: int, error: WaypostError) -> ConversionResult:
    if isinstance(error, InvalidError):
        reasons = [ItemError(*one) for one in error.errors]
        return ConversionResult(index=index, status=422, errors=reasons)
    return ConversionResult(index=index, status=404, errors=[ItemError("click_id", str(error))])


_LIST: Final = Doc(
    id="listConversions",
    summary="List a profile's conversions",
    tag="Conversions",
    description="Newest first, with those that no experiment counts and why.",
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
    summary="Tell conversions",
    tag="Conversions",
    description="Of clicks on one's own links, by the id that their target was called with. The same click, "
    'name and order again changes nothing. Many as `{"conversions": […]}`, 1,000 at most: one that is '
    "refused stops no other. Takes the role editor.",
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
            "It had been told before; or, of many, what became of each.",
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
)
