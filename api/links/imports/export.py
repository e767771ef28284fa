"""`GET /v1/profiles/{id}/links/export`: all links of a profile with every field, as an import reads them.

Links are streamed page by page, in the order of the profile's page. A failure after the first line breaks the
connection, so a file that arrives without an error is complete.
"""

from collections.abc import AsyncIterator
from typing import Final

from quart import Response

from api.http.auth import current_caller
from api.http.excel import EXCEL, NAME, is_for_excel
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.accounts.access import Action, Caller
from engine.common import export
from engine.common.errors import FieldError, InvalidError
from engine.common.export import CONTENT_TYPES, FORMATS, ExportFormat
from engine.limits.tenant_slots import TenantSlots
from engine.links.imports.exported_link import EXPORT_COLUMNS, exported_link
from engine.links.link_query import LinkQuery, sort_value
from engine.links.ports import ProfileStore
from engine.links.profile import Profile

MAX_AT_ONCE: Final = 4
MAX_OF_TENANT: Final = 1
LIMIT_S: Final = 3_600
PAGE_LINKS: Final = 1_000


class LinkExportRoutes:
    """Route of exports of links."""

    def __init__(self, store: ProfileStore) -> None:
        self._store = store
        self._slots = TenantSlots("exports of links", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/links/export", self.export, _EXPORT)]

    async def export(self, profile_id: str) -> Response:
        query, errors = parameters("format", NAME)
        excel = is_for_excel(query.get(NAME), errors, query.get("format"))
        if query.get("format") not in FORMATS:
            errors.append(FieldError("format", f"must be one of {', '.join(FORMATS)}"))
        if errors:
            raise InvalidError(errors)
        format_: ExportFormat = "csv" if query["format"] == "csv" else "ndjson"
        caller = current_caller()
        profile = await self._store.profile(caller, path_id(profile_id), Action.EDIT)
        self._slots.admit(profile.tenant_id)  # so that a refusal is a problem response
        response = Response(
            self._lines(caller, profile, format_, excel), content_type=CONTENT_TYPES[format_]
        )
        response.timeout = LIMIT_S
        name = f"waypost-links-{profile.id}.{format_}"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    async def _lines(
        self, caller: Caller, profile: Profile, format_: ExportFormat, excel: bool
    ) -> AsyncIterator[bytes]:
        with self._slots.taken(profile.tenant_id):
            yield export.file_head(format_, EXPORT_COLUMNS, excel=excel)
            after, query = 0, LinkQuery(sort="position")
            while True:
                page = await self._store.list_links(caller, profile.id, after, PAGE_LINKS, query)
                rows = [exported_link(profile.handle, link, format_) for link in page.items]
                yield export.file_rows(format_, EXPORT_COLUMNS, rows)
                if page.next_after is None:
                    return
                last = page.items[-1]
                after = last.id
                query = query._replace(after_value=sort_value(last, "position"))


_EXPORT: Final = Doc(
    id="exportLinks",
    summary="Export a profile's links",
    tag="Links",
    description="All links with every field, in the order of the profile's page, as `waypost import` and "
    "`imports` read them. Takes the role editor, as hashes of links' passwords are among the fields. In CSV, "
    "a text that a spreadsheet would take for a formula is preceded by an apostrophe. One export of a tenant "
    "runs at a time; another one gets 429.",
    query=(Parameter("format", "`csv`, for spreadsheets, or `ndjson`.", example="csv"), EXCEL),
    responses={
        200: ResponseDoc(
            "The links.",
            str,
            ",".join(EXPORT_COLUMNS) + "\r\n",
            content_type="text/csv",
        )
    },
)
