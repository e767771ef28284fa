"""`/v1/links/{id}/reports`: what visitors report. `/v1/operator/…`: what the operator makes of it."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    ListResponse,
    Url,
    Version,
    draft_of,
    empty_response,
    json_object,
    json_response,
    utc,
)
from api.http.etag import guarded_write
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from api.links.link_responses import quarantine_in_utc
from engine.accounts.access import Caller, require_scope
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, ForbiddenError, NotFoundError
from engine.common.text_rules import text_errors
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.abuse.report import KEPT_DAYS, Category, LinkReport, ReportedLink, ReportStore
from engine.links.options import MAX_REASON_CHARS
from engine.links.slugs.link_path import link_path


class ReportResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's report. `reviewed_at` null: the operator has not looked at the link since."""

    id: Id
    category: Category
    reported_at: datetime
    reviewed_at: datetime | None


class ReportedLinkResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A link with reports that are not reviewed: `reports` of them, `categories` says how many for what, and
    `details` what the last visitors wrote. `version` is the link's."""

    link_id: Id
    version: Version
    profile_id: Id
    url: Url
    target: str
    engine_quarantine: EngineQuarantine | None
    reports: int
    categories: dict[str, int]
    details: tuple[str, ...]
    last_reported_at: datetime


class QuarantineDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantine by the operator, as a request wants it."""

    reason: Annotated[
        str,
        StandIn("a"),
        msgspec.Meta(
            description="why, for members of the profile",
            extra_json_schema={"minLength": 1, "maxLength": MAX_REASON_CHARS},
        ),
    ]


class ReportRoutes:
    """Routes of reports and of the operator's quarantines. `is_operator` returns whether a caller is one."""

    def __init__(
        self,
        store: ReportStore,
        visitors_url: str,
        is_operator: Callable[[Caller], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._visitors_url = visitors_url
        self._is_operator = is_operator

    def routes(self) -> list[Route]:
        quarantine = "/v1/operator/links/<link_id>/quarantine"
        return [
            Route("GET", "/v1/links/<link_id>/reports", self.list_page, _LIST),
            Route("GET", "/v1/operator/reports", self.list_links, _LIST_LINKS),
            Route("PUT", quarantine, self.quarantine, _QUARANTINE),
            Route("DELETE", quarantine, self.release, _RELEASE),
        ]

    async def list_page(self, link_id: str) -> Response:
        after, limit = page_of_request()
        page = await self._store.list_reports(current_caller(), path_id(link_id), after, limit)
        return json_response(page_response(page, _response))

    async def list_links(self) -> Response:
        after, limit = page_of_request()
        await self._require_operator()
        page = await self._store.reported_links(current_caller(), after, limit)
        return json_response(page_response(page, self._link_response))

    async def quarantine(self, link_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(link_id)
        await self._require_operator()
        draft = draft_of(QuarantineDraft, await json_object(), _validated, {})
        await self._review(id_, draft.reason)
        return empty_response(204)

    async def release(self, link_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(link_id)
        await self._require_operator()
        await self._review(id_, None)
        return empty_response(204)

    async def _review(self, link_id: int, reason: str | None) -> None:
        """Answer a link's reports; with `If-Match` only those of the version that the operator has seen."""
        await guarded_write(
            partial(self._reported, link_id),
            lambda version: self._store.review(current_caller(), link_id, reason, version),
        )

    async def _reported(self, link_id: int) -> ReportedLink:
        page = await self._store.reported_links(current_caller(), link_id - 1, 1)
        if not page.items or page.items[0].id != link_id:
            raise NotFoundError("no report of this link waits to be reviewed")
        link: ReportedLink = page.items[0]
        return link

    async def _require_operator(self) -> None:
        require_scope(current_caller(), "admin")
        if not await self._is_operator(current_caller()):
            raise ForbiddenError("only the operator (a user of the first tenant) may do this")

    def _link_response(self, link: ReportedLink) -> ReportedLinkResponse:
        path = link_path(link.handle, link.slug).decode("ascii")
        return ReportedLinkResponse(
            link_id=str(link.id),
            version=link.version,
            profile_id=str(link.profile_id),
            url=self._visitors_url + path,
            target=link.target,
            engine_quarantine=quarantine_in_utc(link.engine_quarantine),
            reports=link.reports,
            categories=link.categories,
            details=link.details,
            last_reported_at=utc(link.last_reported_at),
        )


def _validated(draft: QuarantineDraft) -> tuple[QuarantineDraft | None, list[FieldError]]:
    reason = draft.reason.strip()
    errors = text_errors(reason, "reason", MAX_REASON_CHARS)
    if not reason:
        errors.append(FieldError("reason", "must not be empty"))
    return (None, errors) if errors else (QuarantineDraft(reason=reason), [])


def _response(report: LinkReport) -> ReportResponse:
    return ReportResponse(
        id=str(report.id),
        category=report.category,
        reported_at=utc(report.reported_at),
        reviewed_at=None if report.reviewed_at is None else utc(report.reviewed_at),
    )


_TAG: Final = "Links"
_LIST: Final = Doc(
    id="listLinkReports",
    summary="List visitors' reports of a link",
    tag=_TAG,
    description=f"Oldest first; they are kept for {KEPT_DAYS} days. What visitors "
    "wrote is for the operator alone.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of reports.",
            ListResponse[ReportResponse],
            {
                "items": [
                    {
                        "id": "365072220160000061",
                        "category": "phishing",
                        "reported_at": "2026-05-01T09:31:00Z",
                        "reviewed_at": None,
                    }
                ],
                "next_cursor": None,
            },
        )
    },
)
_LIST_LINKS: Final = Doc(
    id="listReportedLinks",
    summary="List links that visitors reported",
    tag=_TAG,
    description="Links of all tenants with reports that nobody has reviewed. For the operator: requires "
    "the scope admin, and a user of the first tenant.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of links.",
            ListResponse[ReportedLinkResponse],
            {
                "items": [
                    {
                        "link_id": "365072220160000002",
                        "version": 3,
                        "profile_id": "365072220160000001",
                        "url": "https://go.example/ada/spring",
                        "target": "https://example.com/spring",
                        "engine_quarantine": {
                            "rule": "reports",
                            "reason": "10 visitors reported it within a day",
                            "since": "2026-05-01T09:31:00Z",
                        },
                        "reports": 10,
                        "categories": {"phishing": 9, "other": 1},
                        "details": ["It asks for my bank's password"],
                        "last_reported_at": "2026-05-01T09:31:00Z",
                    }
                ],
                "next_cursor": None,
            },
        )
    },
)
_QUARANTINE: Final = Doc(
    id="quarantineLink",
    summary="Quarantine a link of any tenant",
    tag=_TAG,
    description="Visitors are warned within a second, and no member can lift it. The link's reports are "
    "reviewed by it. For the operator: requires the scope admin, and a user of the first tenant.",
    body=QuarantineDraft,
    body_example={"reason": "a copy of a bank's page"},
    guarded=True,
    responses={204: ResponseDoc("The link is quarantined.")},
)
_RELEASE: Final = Doc(
    id="releaseLink",
    summary="Release a link of any tenant",
    tag=_TAG,
    description="Ends its quarantine by a rule or the operator, if it has one, and notes that it was reviewed: "
    "rules leave it alone for as long as it leads to the same targets. A member's own quarantine stays. For "
    "the operator: requires the scope admin, and a user of the first tenant.",
    guarded=True,
    responses={204: ResponseDoc("The link is released.")},
)
