"""Links by what else names them: `PUT /v1/profiles/{id}/links/external/{external_id}`, and
`GET /v1/links/lookup`."""

import re
from functools import partial
from typing import Any, Final

from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_object, json_response
from api.http.etag import etag
from api.http.query import parameters, path_id, refuse_parameters
from api.http.routes import Doc, Parameter, ResponseDoc, Route, changes_of
from api.links.announce import announce
from api.links.link_drafts import LinkDrafts
from api.links.link_responses import EXAMPLE, LinkResponse, LinkResponses
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.links.domain import canonical_host
from engine.links.link import Link, LinkDraft
from engine.links.name import canonical_path
from engine.links.ports import DomainStore, ProfileStore
from engine.links.visitor_path import parse
from engine.visits.paths.ruled_path import path_at_domain
from engine.visits.ports import Announcer

_AT_DOMAIN: Final = re.compile(r"(?i)https?://([^/@:]+)(?::[0-9]+)?(/.*)")


class LinkAddressRoutes:
    """Routes that find links by an id of another system, or by their address."""

    def __init__(
        self,
        store: ProfileStore,
        domains: DomainStore,
        announcer: Announcer,
        visitors_url: str,
        drafts: LinkDrafts,
    ) -> None:
        self._store = store
        self._domains = domains
        self._announcer = announcer
        self._visitors_url = visitors_url
        self._responses = LinkResponses(visitors_url, drafts.policy)
        self._drafts = drafts

    def routes(self) -> list[Route]:
        external = "/v1/profiles/<profile_id>/links/external/<whole:external_id>"
        return [
            Route("PUT", external, self.put, _PUT),
            Route("GET", "/v1/links/lookup", self.lookup, _LOOKUP),
        ]

    async def put(self, profile_id: str, external_id: str) -> Response:
        """Create the link with this external id, or change the fields that the body names."""
        refuse_parameters()
        body = await json_object()
        if body.get("external_id", external_id) != external_id:
            reason = "must be that of the path, or be left out"
            raise InvalidError([FieldError("external_id", reason)])
        profile = await self._store.profile(current_caller(), path_id(profile_id))
        fields = await self._drafts.with_hash({**body, "external_id": external_id})
        link, change, created = await self._store.put_link(
            current_caller(), profile.id, external_id, partial(_draft, self._drafts, fields)
        )
        await announce(self._announcer, [change])
        headers = {"ETag": etag(link.version)}
        if created:
            headers["Location"] = f"/v1/links/{link.id}"
        response = self._responses.response_with_warnings(profile.handle, link)
        return json_response(response, 201 if created else 200, headers)

    async def lookup(self) -> Response:
        given, errors = parameters("url")
        if "url" not in given and not errors:
            errors.append(FieldError("url", "is required"))
        if errors:
            raise InvalidError(errors)
        link = await self._store.link_at(current_caller(), parse(await self._path(given["url"])))
        profile = await self._store.profile(current_caller(), link.profile_id)
        return json_response(self._responses.response(profile.handle, link))

    async def _path(self, url: str) -> bytes:
        """Return the canonical path of a visitors' URL, or of a path alone. Raises NotFoundError."""
        base = self._visitors_url.rstrip("/")
        text = url.removeprefix(base) if url.startswith(base + "/") else url
        text = text.partition("#")[0].partition("?")[0]
        if (at_domain := _AT_DOMAIN.fullmatch(text)) is not None:
            return await self._path_at(at_domain[1], at_domain[2])
        if not text.startswith("/"):
            text = f"/{text}" if "/" not in text else ""
        return _link_path(text.encode("utf-8", "surrogatepass"))

    async def _path_at(self, host: str, path: str) -> bytes:
        """Return the canonical path of a path at a domain of the caller's profiles. Raises NotFoundError."""
        domain = await self._domains.domain_at(current_caller(), canonical_host(host) or "")
        raw, handle = path.encode("utf-8", "surrogatepass"), domain.handle.encode()
        return _link_path(path_at_domain(handle, domain.slugs, raw) or b"")


def _link_path(path: bytes) -> bytes:
    """Return the canonical path of a raw path that a link can have. Raises NotFoundError."""
    canonical = canonical_path(path) if path else None
    if canonical is None or canonical.startswith(b"/@"):
        raise NotFoundError.of("link")
    return canonical


def _draft(drafts: LinkDrafts, fields: dict[str, Any], stored: Link | None) -> LinkDraft:
    return drafts.draft(fields, stored)


_PUT: Final = Doc(
    id="putLinkByExternalId",
    summary="Create or change a link by its external id",
    tag="Links",
    description="Repeated requests have the effect of one. Of a link that exists, fields that are left out "
    "stay as they are. Takes the role editor.",
    body=changes_of(LinkDraft, "LinkByExternalId"),
    body_example={"target": "https://example.com/spring", "title": "Spring collection"},
    responses={
        200: ResponseDoc(
            "The link, changed or as it was.",
            LinkResponse,
            EXAMPLE | {"external_id": "sku-17"},
            ("ETag",),
        ),
        201: ResponseDoc(
            "The new link.", LinkResponse, EXAMPLE | {"external_id": "sku-17"}, ("Location", "ETag")
        ),
    },
    errors=(409,),
    paths={"external_id": "The link's id in another system, percent-encoded; `/` is `%2F`."},
)
_LOOKUP: Final = Doc(
    id="lookUpLink",
    summary="Find a link by its address",
    tag="Links",
    description="Among the links of profiles that the caller is a member of. "
    "By target, filter the list of a profile's links.",
    query=(
        Parameter(
            "url", "The address that visitors use, or its path.", str, "https://go.example/spring"
        ),
    ),
    responses={200: ResponseDoc("The link.", LinkResponse, EXAMPLE)},
    errors=(404,),
)
