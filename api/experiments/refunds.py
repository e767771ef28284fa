"""`POST /v1/profiles/{id}/refunds`: value that orders give back, reported by the owners of the targets."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import draft_of, json_object, replayable_response
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.common.errors import FieldError
from engine.common.idempotency import StoredResponse
from engine.experiments.conversion import MAX_CLOCK_SKEW, name_errors
from engine.experiments.money import currency_code
from engine.experiments.ports import ConversionStore
from engine.experiments.refund import RefundDraft, VerifiedRefund, refund_errors


class RefundResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a refund. `duplicate`: it was recorded before, and nothing was added."""

    duplicate: bool


class RefundRoutes:
    """Routes of refunds. `now` returns aware times."""

    def __init__(self, store: ConversionStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/profiles/<profile_id>/refunds", self.create, _CREATE)]

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_, now = path_id(profile_id), self._now()

        def validate(draft: RefundDraft) -> tuple[RefundDraft | None, list[FieldError]]:
            if draft.currency is not None:
                draft = msgspec.structs.replace(draft, currency=currency_code(draft.currency))
            field_errors = refund_errors(draft) + name_errors(draft.name)
            if draft.at is not None and draft.at.tzinfo is None:
                field_errors.append(FieldError("at", "must have a time zone"))
            elif draft.at is not None and draft.at > now + MAX_CLOCK_SKEW:
                field_errors.append(FieldError("at", "must not be in the future"))
            return (None if field_errors else draft), field_errors

        draft = draft_of(RefundDraft, await json_object(), validate, {})
        refund = VerifiedRefund(
            draft.name, draft.order_id, draft.refund_id, draft.kind, draft.value, draft.currency,
            draft.at or now,
        )  # fmt: skip
        once = await idempotency_of_request(_response)
        new = await self._store.record_refunds(current_caller(), id_, [refund], once)
        return response_of(_response(new))


def _response(new: int) -> StoredResponse:
    return replayable_response(RefundResponse(duplicate=not new), 201 if new else 200, {})


_CREATE: Final = Doc(
    id="createRefund",
    summary="Report a refund",
    tag="Conversions",
    description="Value of an order that was given back, at its time; the order's conversion stays as it is. A "
    "refund may be reported before its order. Refunds of one order never give back more than its value. The "
    "same `order_id`, `name` and `refund_id` again change nothing. Takes the role editor.",
    body=RefundDraft,
    body_example={
        "order_id": "1001", "name": "sale", "refund_id": "r1", "value": "9.90", "currency": "EUR",
    },
    responses={
        201: ResponseDoc("It is recorded.", RefundResponse, {"duplicate": False}),
        200: ResponseDoc("It was recorded before.", RefundResponse, {"duplicate": True}),
    },
    idempotent=True,
)  # fmt: skip
