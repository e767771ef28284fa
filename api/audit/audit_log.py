"""`/v1/profiles/{id}/activity` and `/v1/activity`: the log of changes, with their times and users.

An export is sent page by page as it is read, so a long log takes no more memory than a short one. If reading
fails in between, the connection breaks before the end of the body: half a log never looks like a whole one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, json_response, utc
from api.http.excel import EXCEL, NAME, is_for_excel
from api.http.query import PAGE, id_parameter, moments, page_of, page_response, parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.audit.audit_log import COLUMNS, ActivityEntry, ActivityFilter, csv_row
from engine.audit.ports import ActivityReader
from engine.common.errors import FieldError, InvalidError
from engine.common.export import csv_lines, file_head
from engine.common.list_page import ListPage

EXPORT_PAGE: Final = 500
EXPORT_LIMIT_S: Final = 3600
MAX_WORD: Final = 64
_FILTERS: Final = ("action", "object_type", "object_id", "user_id", "key_id", "from", "to")
_FORMATS: Final = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


class ActorResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user who made a change; `email` only if the caller may know it."""

    id: Id
    email: str | None = None


class EntryResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A change. `id` counts from 1 in its log. `hash` is the SHA-256, in hexadecimal digits, of the bytes of
    the `hash` of the entry before (none for the first) and of `hashed` in UTF-8."""

    id: Id
    at: datetime
    user: ActorResponse | None
    key_id: Id | None
    request_id: str | None
    action: str
    object_type: str
    object_id: Id
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str
    hashed: str


class ActivityRoutes:
    def __init__(self, reader: ActivityReader) -> None:
        self._reader = reader

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/profiles/<profile_id>/activity", self.list_page, _PROFILES),
            Route("GET", "/v1/profiles/<profile_id>/activity/export", self.export, _EXPORT),
            Route("GET", "/v1/activity", self.list_tenant_page, _TENANT),
        ]

    async def list_page(self, profile_id: str) -> Response:
        id_ = path_id(profile_id)
        query, errors = parameters("cursor", "limit", *_FILTERS)
        before, limit = page_of(query, errors)
        filter_ = _filter(query, errors)
        items = await self._reader.of_profile(current_caller(), id_, filter_, before, limit)
        return json_response(page_response(items, _entry_response))

    async def list_tenant_page(self) -> Response:
        """List the tenant's own log, or the log of one of its profiles."""
        query, errors = parameters("cursor", "limit", "profile", *_FILTERS)
        before, limit = page_of(query, errors)
        profile_id = id_parameter(query, "profile", errors) or 0
        filter_ = _filter(query, errors)
        items = await self._reader.of_tenant(current_caller(), profile_id, filter_, before, limit)
        return json_response(page_response(items, _entry_response))

    async def export(self, profile_id: str) -> Response:
        id_, caller = path_id(profile_id), current_caller()
        query, errors = parameters("format", NAME, *_FILTERS)
        form = query.get("format", "csv")
        excel = is_for_excel(query.get(NAME), errors, form)
        if form not in _FORMATS:
            errors.append(FieldError("format", f"must be one of {', '.join(_FORMATS)}"))
        filter_ = _filter(query, errors)

        async def read(before: int) -> ListPage:
            return await self._reader.of_profile(caller, id_, filter_, before, EXPORT_PAGE)

        first = await read(
            0
        )  # before the response begins, so that an error still gets its own status
        response = Response(_pages(first, read, form, excel), content_type=_FORMATS[form])
        response.timeout = EXPORT_LIMIT_S
        response.headers["Content-Disposition"] = (
            f'attachment; filename="waypost-activity-{id_}.{form}"'
        )
        return response


async def _pages(
    page: ListPage, read: Callable[[int], Awaitable[ListPage]], form: str, excel: bool
) -> AsyncIterator[bytes]:
    if form == "csv":
        yield file_head("csv", COLUMNS, excel=excel)
    while True:
        if form == "csv":
            yield csv_lines(map(csv_row, page.items))
        else:
            lines = (msgspec.json.encode(_entry_response(entry)) + b"\n" for entry in page.items)
            yield b"".join(lines)
        if page.next_after is None:
            return
        page = await read(page.next_after)


def _filter(query: dict[str, str], errors: list[FieldError]) -> ActivityFilter:
    """Return the filter of the query. Raises InvalidError with `errors` and every bad parameter."""
    words = {name: query.get(name) for name in ("action", "object_type")}
    for name, word in words.items():
        if word is not None and (not 1 <= len(word) <= MAX_WORD or not word.isprintable()):
            errors.append(FieldError(name, f"must have 1 to {MAX_WORD} printable characters"))
    times = moments(query, ("from", "to"), errors)
    filter_ = ActivityFilter(
        object_id=id_parameter(query, "object_id", errors),
        user_id=id_parameter(query, "user_id", errors),
        key_id=id_parameter(query, "key_id", errors),
        start=times.get("from"),
        end=times.get("to"),
        **words,
    )
    if errors:
        raise InvalidError(errors)
    return filter_


def _entry_response(entry: ActivityEntry) -> EntryResponse:
    return EntryResponse(
        id=str(entry.seq),
        at=utc(entry.at),
        user=None if entry.user_id is None else ActorResponse(str(entry.user_id), entry.email),
        key_id=None if entry.key_id is None else str(entry.key_id),
        request_id=entry.request_id,
        action=entry.action,
        object_type=entry.object_type,
        object_id=str(entry.object_id),
        before=entry.before,
        after=entry.after,
        hash=entry.hash.hex(),
        hashed=entry.hashed,
    )


_EXAMPLE: Final = {
    "id": "17",
    "at": "2026-05-01T09:30:00Z",
    "user": {"id": "365072220160000001", "email": "ada@example.com"},
    "key_id": None,
    "request_id": "4f1d2c3b5a697887",
    "action": "link.updated",
    "object_type": "link",
    "object_id": "365072220160000010",
    "before": {"id": "365072220160000010", "slug": "spring", "target": "https://example.com/"},
    "after": {"id": "365072220160000010", "slug": "spring", "target": "https://example.org/"},
    "hash": "87f426cbb9dbdc84528740935db404fa47af665a96eb7f1e4f0f3f5517f1c019",
    "hashed": '["365072220160000001", 17, 1777627800000000, "365072220160000001", null, "4f1d2c3b5a697887", '
    '"link.updated", "link", "365072220160000010", '
    '{"id": "365072220160000010", "slug": "spring", "target": "https://example.com/"}, '
    '{"id": "365072220160000010", "slug": "spring", "target": "https://example.org/"}]',
}
_QUERY: Final = (
    Parameter("action", "Only this action, such as `link.updated`.", example="link.updated"),
    Parameter("object_type", "`profile`, `link`, `member`, `invitation`, `user` or `key`."),
    Parameter("object_id", "Only changes of the object with this id.", Id),
    Parameter("user_id", "Only changes by this user.", Id),
    Parameter("key_id", "Only changes by this API key.", Id),
    Parameter("from", "Begin: an instant, or a UTC date.", example="2026-05-01T00:00:00Z"),
    Parameter("to", "End, exclusive: an instant, or a UTC date."),
)
_PAGE: Final = ResponseDoc(
    "A page of changes, newest first.",
    ListResponse[EntryResponse],
    {"items": [_EXAMPLE], "next_cursor": None},
)
_PROFILES: Final = Doc(
    id="listActivity",
    summary="List the changes of a profile",
    tag="Activity",
    description="Takes the role editor.",
    query=(*PAGE, *_QUERY),
    responses={200: _PAGE},
)
_CSV: Final = "seq,at,action\r\n1,2026-05-01T09:30:00Z,profile.created\r\n"
_EXPORT: Final = Doc(
    id="exportActivity",
    summary="Export the changes of a profile",
    tag="Activity",
    description="The whole log as CSV or as lines of JSON, newest first. Takes the role editor.",
    query=(Parameter("format", "`csv` or `ndjson`.", example="csv"), EXCEL, *_QUERY),
    responses={200: ResponseDoc("The whole log.", str, _CSV, content_type="text/csv")},
)
_TENANT: Final = Doc(
    id="listOwnActivity",
    summary="List the changes outside of profiles",
    tag="Activity",
    description="Changes of the users and keys of the caller's tenant; with `profile`, the log of a profile of "
    "this tenant, even if it has been deleted.",
    query=(*PAGE, Parameter("profile", "A profile; it may be deleted.", Id), *_QUERY),
    responses={200: _PAGE},
    errors=(404,),
)
