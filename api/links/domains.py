"""`/v1/profiles/{id}/domains` and `/v1/domains/{id}`: hosts of a profile's own, and `/internal/tls-ask`."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

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
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import (
    PAGE,
    page_of_request,
    page_response,
    parameters,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, Parameter, ResponseDoc, Route, changes_of
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.idempotency import StoredResponse
from engine.links.domain import (
    Domain,
    DomainDraft,
    DomainState,
    Draft,
    NewDomainDraft,
    canonical_host,
    record_name,
    record_value,
    validate_domain,
)
from engine.links.ports import DomainStore
from engine.links.slugs.slug_rules import SlugFeature
from engine.links.targets.target_policy import NO_POLICY, RefusedTargets


class TxtRecordResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The TXT record that proves a domain."""

    name: str
    value: str


class DomainResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as the API shows it. `reason` says why it is not verified; nobody is led
    to `blocked_targets`, which are on a blocklist; `next_check_at` null: it is looked at
    on request only."""

    id: Id
    profile_id: Id
    host: str
    root_target: str | None
    not_found_target: str | None
    slugs: tuple[SlugFeature, ...]
    state: DomainState
    reason: str
    txt_record: TxtRecordResponse
    verified_at: datetime | None
    checked_at: datetime | None
    next_check_at: datetime | None
    version: Version
    created_at: datetime
    updated_at: datetime
    blocked_targets: tuple[str, ...]


class DomainRoutes:
    """Routes of domains. `own_hosts` are the deployment's, which no profile can have; `policy` says where
    nothing may lead."""

    def __init__(
        self,
        store: DomainStore,
        own_hosts: tuple[str, ...],
        policy: Callable[[], RefusedTargets] = lambda: NO_POLICY,
    ) -> None:
        self._store = store
        self._own_hosts = own_hosts
        self._policy = policy

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/profiles/<profile_id>/domains", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/domains", self.list_page, _LIST),
            Route("GET", "/v1/domains/<domain_id>", self.read, _READ),
            Route("PATCH", "/v1/domains/<domain_id>", self.update, _UPDATE),
            Route("DELETE", "/v1/domains/<domain_id>", self.delete, _DELETE),
            Route("POST", "/v1/domains/<domain_id>/verify", self.verify, _VERIFY),
            Route("GET", "/internal/tls-ask", self.tls_ask, _TLS_ASK, access="public"),
        ]

    def _validate(
        self, draft: Draft, stored: Domain | None = None
    ) -> tuple[Draft | None, list[FieldError]]:
        policy = self._policy()
        if stored is None:
            return validate_domain(draft, self._own_hosts, policy=policy)
        targets = frozenset(filter(None, (stored.root_target, stored.not_found_target)))
        return validate_domain(
            draft, self._own_hosts, host=stored.host, policy=policy, stored=targets
        )

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(NewDomainDraft, await json_object(), self._validate, {})
        once = await idempotency_of_request(_created)
        return response_of(
            _created(await self._store.create_domain(current_caller(), id_, draft, once))
        )

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_domains(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(items, domain_response))

    async def read(self, domain_id: str) -> Response:
        refuse_parameters()
        domain = await self._store.domain(current_caller(), path_id(domain_id))
        return read_response(domain_response(domain), domain.version)

    async def update(self, domain_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        id_ = path_id(domain_id)
        body = await json_object()

        async def read() -> Domain:
            return await self._store.domain(current_caller(), id_)

        def merged(stored: Domain) -> DomainDraft:
            base = {field: getattr(stored, field) for field in DomainDraft.__struct_fields__}
            validate = partial(self._validate, stored=stored)
            return draft_of(DomainDraft, body, validate, base)

        async def write(if_version: int | None) -> Domain:
            return await self._store.update_domain(current_caller(), id_, merged, if_version)

        domain = await guarded_write(read, write)
        return json_response(domain_response(domain), headers={"ETag": etag(domain.version)})

    async def delete(self, domain_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(domain_id)

        async def read() -> Domain:
            return await self._store.domain(current_caller(), id_)

        async def delete(if_version: int | None) -> None:
            await self._store.delete_domain(current_caller(), id_, if_version)

        await guarded_write(read, delete)
        return empty_response(204)

    async def verify(self, domain_id: str) -> Response:
        refuse_parameters()
        domain = await self._store.look_again(current_caller(), path_id(domain_id))
        return json_response(domain_response(domain), 202)

    async def tls_ask(self) -> Response:
        """Answer 200 for a host that visitors are served at, else 404."""
        query, errors = parameters("domain")
        if not query.get("domain"):
            errors.append(FieldError("domain", "must be a host"))
        if errors:
            raise InvalidError(errors)
        host = canonical_host(query["domain"])
        if host is None or not (host in self._own_hosts or await self._store.is_verified(host)):
            raise NotFoundError.of("domain")
        return Response("ok\n", content_type="text/plain; charset=utf-8")


def domain_response(domain: Domain) -> DomainResponse:
    """Return a domain as the API shows it."""
    fields: dict[str, Any] = msgspec.structs.asdict(domain)
    record = TxtRecordResponse(
        name=record_name(domain.host), value=record_value(fields.pop("token"))
    )
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = utc(value)
    fields |= {"id": str(domain.id), "profile_id": str(domain.profile_id)}
    return DomainResponse(**fields, txt_record=record)


def _created(domain: Domain) -> StoredResponse:
    headers = {"Location": f"/v1/domains/{domain.id}", "ETag": etag(domain.version)}
    return replayable_response(domain_response(domain), 201, headers)


_TAG: Final = "Domains"
_EXAMPLE: Final[dict[str, Any]] = {
    "id": "365072220160000041",
    "profile_id": "365072220160000001",
    "host": "links.example.com",
    "root_target": "https://example.com/",
    "not_found_target": None,
    "slugs": [],
    "state": "pending",
    "reason": "_waypost.links.example.com has no TXT record with the value",
    "txt_record": {
        "name": "_waypost.links.example.com",
        "value": "waypost=0f3c5a1be2d94c7f8a6b5d4e3c2b1a09",
    },
    "verified_at": None,
    "checked_at": "2026-05-01T09:31:00Z",
    "next_check_at": "2026-05-01T09:32:00Z",
    "version": 1,
    "created_at": "2026-05-01T09:31:00Z",
    "updated_at": "2026-05-01T09:31:00Z",
    "blocked_targets": [],
}
_CREATE: Final = Doc(
    id="createDomain",
    summary="Add a domain",
    tag=_TAG,
    description="The domain answers visitors once its TXT record is found. It is looked for within a minute, "
    "then ever more rarely for a week. Takes the role admin.",
    body=NewDomainDraft,
    body_example={"host": "links.example.com", "root_target": "https://example.com/"},
    responses={201: ResponseDoc("The domain.", DomainResponse, _EXAMPLE, ("Location", "ETag"))},
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listDomains",
    summary="List a profile's domains",
    tag=_TAG,
    description="Oldest first.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of domains.",
            ListResponse[DomainResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readDomain",
    summary="Read a domain",
    tag=_TAG,
    description="With its state and the TXT record that proves it.",
    responses={200: ResponseDoc("The domain.", DomainResponse, _EXAMPLE)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateDomain",
    summary="Change a domain",
    tag=_TAG,
    description="Fields that are left out stay as they are. What slugs may have cannot be taken away while "
    "links have it that would answer at no other domain (409 names them). Takes the role admin.",
    body=changes_of(DomainDraft),
    body_example={"not_found_target": "https://example.com/lost"},
    responses={
        200: ResponseDoc(
            "The changed domain.", DomainResponse, _EXAMPLE | {"version": 2}, ("ETag",)
        )
    },
    errors=(409,),
    guarded=True,
)
_DELETE: Final = Doc(
    id="deleteDomain",
    summary="Delete a domain",
    tag=_TAG,
    description="Its visitors get 404 within two seconds. Refused while links have slugs that no other domain "
    "allows (409 names them). Takes the role admin.",
    responses={204: ResponseDoc("The domain is deleted.")},
    errors=(409,),
    guarded=True,
)
_VERIFY: Final = Doc(
    id="verifyDomain",
    summary="Have a domain's record looked at",
    tag=_TAG,
    description="Within a minute, and then as for a new domain. Takes the role admin.",
    responses={202: ResponseDoc("The domain, not looked at yet.", DomainResponse, _EXAMPLE)},
)
_TLS_ASK: Final = Doc(
    id="askTls",
    summary="Whether a host is served",
    tag=_TAG,
    description="For proxies that get certificates on demand, as Caddy does: 200 for a verified domain and for "
    "the engine's own host, 404 for every other one.",
    query=(Parameter("domain", "the host", str, "links.example.com"),),
    responses={
        200: ResponseDoc(
            "Visitors are served at the host.",
            str,
            "ok\n",
            content_type="text/plain; charset=utf-8",
        )
    },
    errors=(404, 422),
)
