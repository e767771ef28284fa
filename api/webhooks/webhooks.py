"""`/v1/profiles/{id}/webhooks` and `/v1/webhooks/{id}`: the webhooks of a profile."""

from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    Version,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
    utc,
)
from api.http.etag import etag, guarded_write, read_response
from api.http.idempotency import idempotency_with_secret, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from engine.common.errors import FieldError
from engine.common.idempotency import StoredResponse
from engine.webhooks.ports import WebhookStore
from engine.webhooks.webhook import (
    CIRCUIT_STATES,
    Draft,
    NewSecret,
    NewWebhookDraft,
    Webhook,
    WebhookDraft,
    validate_draft,
)


class CircuitResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's circuit breaker: `open` rests until `until`, `half_open` permits one request at a time.
    `failures` counts those in a row."""

    state: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(CIRCUIT_STATES)})]
    failures: int
    until: datetime | None


class WebhookResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as the API shows it. `secret` is only in the response that makes it; with the signature v1a,
    every response has `public_key` instead. `failing_since`: no delivery has succeeded since then; null after
    one has, and before the first."""

    id: Id
    profile_id: Id
    url: str
    description: str
    event_types: tuple[str, ...]
    ordered: bool
    max_concurrency: int | None
    max_rate: int | None
    enabled: bool
    disabled_reason: str | None
    signature: str
    public_key: str | None
    secret_changed_at: datetime
    version: Version
    created_at: datetime
    updated_at: datetime
    failing_since: datetime | None
    circuit: CircuitResponse
    secret: str | msgspec.UnsetType = msgspec.UNSET


class WebhookRoutes:
    """Routes of webhooks. `loopback`: whether a webhook's URL may be on this machine."""

    def __init__(self, store: WebhookStore, loopback: bool) -> None:
        self._store = store
        self._loopback = loopback

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/webhooks", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/webhooks", self.list_page, _LIST),
            Route("GET", "/v1/webhooks/<webhook_id>", self.read, _READ),
            Route("PATCH", "/v1/webhooks/<webhook_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/webhooks/<webhook_id>", self.delete, _DELETE),
            Route("POST", "/v1/webhooks/<webhook_id>/rotate-secret", self.rotate, _ROTATE),
        ]

    def _validate(self, draft: Draft) -> tuple[Draft | None, list[FieldError]]:
        return validate_draft(draft, loopback=self._loopback)

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(NewWebhookDraft, await json_object(), self._validate, {})

        idempotent_request = await idempotency_with_secret(_created, _profile_of)
        new = await self._store.create_webhook(current_caller(), id_, draft, idempotent_request)
        return response_of(_created(new))

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_webhooks(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(items, webhook_response))

    async def read(self, webhook_id: str) -> Response:
        refuse_parameters()
        webhook = await self._store.webhook(current_caller(), path_id(webhook_id))
        noted = webhook.failing_since, webhook.failures, webhook.rests_until
        suffix = (
            blake2b(msgspec.json.encode(noted), digest_size=8).hexdigest() if any(noted) else ""
        )
        return read_response(webhook_response(webhook), webhook.version, suffix)

    async def update(self, webhook_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        id_ = path_id(webhook_id)
        body = await json_object()

        async def read() -> Webhook:
            return await self._store.webhook(current_caller(), id_)

        def merged(stored: Webhook) -> WebhookDraft:
            base = {field: getattr(stored, field) for field in _FIELDS}
            base["event_types"] = list(stored.event_types)
            return draft_of(WebhookDraft, body, self._validate, base)

        async def write(if_version: int | None) -> Webhook:
            return await self._store.update_webhook(current_caller(), id_, merged, if_version)

        webhook = await guarded_write(read, write)
        return json_response(webhook_response(webhook), headers={"ETag": etag(webhook.version)})

    async def delete(self, webhook_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(webhook_id)

        async def read() -> Webhook:
            return await self._store.webhook(current_caller(), id_)

        async def delete(if_version: int | None) -> None:
            await self._store.delete_webhook(current_caller(), id_, if_version)

        await guarded_write(read, delete)
        return empty_response(204)

    async def rotate(self, webhook_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(webhook_id)
        idempotent_request = await idempotency_with_secret(_rotated, _profile_of)
        return response_of(
            _rotated(await self._store.rotate_secret(current_caller(), id_, idempotent_request))
        )


_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(WebhookDraft))


def webhook_response(webhook: Webhook) -> WebhookResponse:
    """Return a webhook as the API shows it, without its secret."""
    return WebhookResponse(
        id=str(webhook.id),
        profile_id=str(webhook.profile_id),
        url=webhook.url,
        description=webhook.description,
        event_types=webhook.event_types,
        ordered=webhook.ordered,
        max_concurrency=webhook.max_concurrency,
        max_rate=webhook.max_rate,
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason,
        signature=webhook.signature,
        public_key=webhook.public_key,
        secret_changed_at=utc(webhook.secret_changed_at),
        version=webhook.version,
        created_at=utc(webhook.created_at),
        updated_at=utc(webhook.updated_at),
        failing_since=None if webhook.failing_since is None else utc(webhook.failing_since),
        circuit=CircuitResponse(
            state=webhook.circuit_state,
            failures=webhook.failures,
            until=None if webhook.rests_until is None else utc(webhook.rests_until),
        ),
    )


def _created(new: NewSecret) -> StoredResponse:
    return _response_with_secret(new, 201)


def _rotated(new: NewSecret) -> StoredResponse:
    return _response_with_secret(new, 200)


def _profile_of(new: NewSecret) -> int:
    return new.webhook.profile_id


def _response_with_secret(new: NewSecret, status: int) -> StoredResponse:
    webhook = new.webhook
    headers = {"Location": f"/v1/webhooks/{webhook.id}", "ETag": etag(webhook.version)}
    return replayable_response(_with_secret(new), status, headers)


def _with_secret(new: NewSecret) -> WebhookResponse:
    secret = msgspec.UNSET if new.secret is None else new.secret
    return msgspec.structs.replace(webhook_response(new.webhook), secret=secret)


EXAMPLE: Final = {
    "id": "365072220160000007",
    "profile_id": "365072220160000001",
    "url": "https://example.com/hooks",
    "description": "our shop",
    "event_types": ["link.*", "member.created"],
    "ordered": False,
    "max_concurrency": None,
    "max_rate": 20,
    "enabled": True,
    "disabled_reason": None,
    "signature": "v1",
    "public_key": None,
    "secret_changed_at": "2026-05-01T09:31:00Z",
    "version": 1,
    "created_at": "2026-05-01T09:31:00Z",
    "updated_at": "2026-05-01T09:31:00Z",
    "failing_since": None,
    "circuit": {"state": "closed", "failures": 0, "until": None},
}
_CREATE: Final = Doc(
    id="createWebhook",
    summary="Create a webhook",
    tag="Webhooks",
    description="Its secret is in this response only. Takes the role admin.",
    body=NewWebhookDraft,
    body_example={
        "url": "https://example.com/hooks",
        "event_types": ["link.*", "member.created"],
        "description": "our shop",
    },
    responses={
        201: ResponseDoc(
            "The webhook.",
            WebhookResponse,
            EXAMPLE | {"secret": "whsec_MfKQ9r…"},
            ("Location", "ETag"),
        )
    },
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listWebhooks",
    summary="List a profile's webhooks",
    tag="Webhooks",
    description="Oldest first. Takes the role admin.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of webhooks.",
            ListResponse[WebhookResponse],
            {"items": [EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readWebhook",
    summary="Read a webhook",
    tag="Webhooks",
    description="Takes the role admin.",
    responses={200: ResponseDoc("The webhook.", WebhookResponse, EXAMPLE)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateWebhook",
    summary="Change a webhook",
    tag="Webhooks",
    description="Fields that are left out stay as they are. A disabled webhook gets events again once "
    "`enabled` is true, beginning with the pending deliveries. Takes the role admin.",
    body=changes_of(WebhookDraft),
    body_example={"enabled": True},
    responses={
        200: ResponseDoc(
            "The changed webhook.", WebhookResponse, EXAMPLE | {"version": 2}, ("ETag",)
        )
    },
    guarded=True,
)
_DELETE: Final = Doc(
    id="deleteWebhook",
    summary="Delete a webhook",
    tag="Webhooks",
    description="Deletes its deliveries too. Takes the role admin.",
    responses={204: ResponseDoc("The webhook is deleted.")},
    guarded=True,
)
_ROTATE: Final = Doc(
    id="rotateWebhookSecret",
    summary="Replace a webhook's secret",
    tag="Webhooks",
    description="The new secret is in this response only. For 24 hours requests are signed with both secrets. "
    "Takes the role admin.",
    responses={
        200: ResponseDoc(
            "The webhook.",
            WebhookResponse,
            EXAMPLE | {"secret": "whsec_6Xb0dC…", "version": 2},
            ("Location", "ETag"),
        )
    },
    errors=(409,),
    idempotent=True,
)
