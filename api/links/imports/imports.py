"""`/v1/profiles/{id}/imports`: links from a file in a request's body, imported by a worker.

The file is kept in chunks while it arrives, so it may be larger than other bodies.
"""

from datetime import datetime
from typing import Any, Final, cast

import msgspec
import trio
from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, json_response, printable_name, utc
from api.http.protocol import Scope, require_whole_body
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.accounts.access import Action, Caller
from engine.common.errors import FieldError, InvalidError
from engine.limits.tenant_slots import TenantSlots
from engine.links.import_ports import ImportStore
from engine.links.imports.columns import COLUMNS
from engine.links.imports.link_import import (
    CHUNK_BYTES,
    MAX_KEPT_REJECTS,
    MAX_OPEN_IMPORTS,
    ImportState,
    ImportWishes,
    LinkImport,
)
from engine.links.imports.plan import IF_EXISTS
from engine.links.imports.row_error import RowReject
from engine.links.ports import ProfileStore

MAX_AT_ONCE: Final = 4
MAX_OF_TENANT: Final = 2
ARRIVAL_S: Final = 600.0
SILENCE_S: Final = 30.0
MAX_NAME_CHARS: Final = 200
_PARAMETERS: Final = ("dry_run", "if_exists", "column")


class RejectResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was left out: its line, or its number in a document of JSON, and why. `first_line` is the row
    that has its address or external id, if that is the reason."""

    line: int
    reason: str
    first_line: int | None


class ImportResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An import. `created` to `rejected` count the rows that are done, of `total`, which is null until they are
    counted. `unread` are the columns that mean nothing; `error` says why the import failed."""

    id: Id
    profile_id: Id
    state: ImportState
    dry_run: bool
    if_exists: str
    size: int
    total: int | None
    created: int
    updated: int
    unchanged: int
    rejected: int
    unread: list[str]
    error: str
    created_at: datetime
    finished_at: datetime | None


class LinkImportRoutes:
    """Routes of imports. `max_bytes` is the size of the largest file."""

    def __init__(self, profiles: ProfileStore, imports: ImportStore, max_bytes: int) -> None:
        self._profiles = profiles
        self._imports = imports
        self._max_bytes = max_bytes
        self._slots = TenantSlots("uploads", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    def routes(self) -> list[Route]:
        of_profile = "/v1/profiles/<profile_id>/imports"
        return [
            Route("POST", of_profile, self.create, _CREATE, max_body_bytes=self._max_bytes),
            Route("GET", of_profile, self.list_page, _LIST),
            Route("GET", f"{of_profile}/<import_id>", self.read, _READ),
            Route("GET", f"{of_profile}/<import_id>/rejects", self.list_rejects, _REJECTS),
            Route("POST", f"{of_profile}/<import_id>/cancel", self.cancel, _CANCEL),
        ]

    async def create(self, profile_id: str) -> Response:
        wishes = _wishes(request.args.to_dict(flat=False))
        caller = current_caller()
        profile = await self._profiles.profile(caller, path_id(profile_id), Action.EDIT)
        with self._slots.taken(profile.tenant_id):
            link_import = await self._imports.begin(caller, profile.id, wishes)
            try:
                link_import = await self._receive(caller, link_import)
            except BaseException:
                with trio.move_on_after(1, shield=True):
                    await self._imports.discard(caller, link_import)
                raise
        location = f"/v1/profiles/{profile.id}/imports/{link_import.id}"
        return json_response(import_response(link_import), 202, {"Location": location})

    async def _receive(self, caller: Caller, link_import: LinkImport) -> LinkImport:
        """Keep the request's body as the import's file, and start the import. Raises RequestTimeout."""
        buffer = bytearray()
        size = number = 0
        with trio.move_on_after(ARRIVAL_S):
            while (piece := await _piece()) is not None:
                buffer += piece
                size += len(piece)
                while len(buffer) >= CHUNK_BYTES:
                    chunk = bytes(buffer[:CHUNK_BYTES])
                    del buffer[:CHUNK_BYTES]
                    await self._imports.add_chunk(caller, link_import, number, chunk)
                    number += 1
                _require_size(size, self._max_bytes)
            require_whole_body(cast(Scope, request.scope))
            if not size:
                raise InvalidError([FieldError("body", "must be a file of links")])
            if buffer:
                await self._imports.add_chunk(caller, link_import, number, bytes(buffer))
                number += 1
            return await self._imports.start(caller, link_import, size=size, chunks=number)
        raise RequestTimeout(f"the file must arrive within {ARRIVAL_S:g} s")

    async def list_page(self, profile_id: str) -> Response:
        before, limit = page_of_request()
        page = await self._imports.list_imports(
            current_caller(), path_id(profile_id), before, limit
        )
        return json_response(page_response(page, import_response))

    async def read(self, profile_id: str, import_id: str) -> Response:
        refuse_parameters()
        ids = path_id(profile_id), path_id(import_id)
        return json_response(
            import_response(await self._imports.link_import(current_caller(), *ids))
        )

    async def list_rejects(self, profile_id: str, import_id: str) -> Response:
        after, limit = page_of_request()
        ids = path_id(profile_id), path_id(import_id)
        page = await self._imports.list_rejects(current_caller(), *ids, after, limit)
        return json_response(page_response(page, reject_response))

    async def cancel(self, profile_id: str, import_id: str) -> Response:
        refuse_parameters()
        ids = path_id(profile_id), path_id(import_id)
        return json_response(import_response(await self._imports.cancel(current_caller(), *ids)))


async def _piece() -> bytes | None:
    """Return what has arrived of the body, None at its end. Raises RequestTimeout and RequestEntityTooLarge."""
    with trio.move_on_after(SILENCE_S):
        try:
            return await anext(request.body)
        except StopAsyncIteration:
            return None
    raise RequestTimeout(f"nothing of the file has arrived for {SILENCE_S:g} s")


def _require_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise RequestEntityTooLarge(f"a file must have at most {max_bytes:,} bytes")


def _wishes(query: dict[str, list[str]]) -> ImportWishes:
    """Return what the query's parameters wish. Raises InvalidError."""
    errors = [
        FieldError(
            printable_name(name), f"is not a parameter here; there are {', '.join(_PARAMETERS)}"
        )
        for name in query
        if name not in _PARAMETERS
    ]
    errors += [
        FieldError(name, "must be sent only once")
        for name in ("dry_run", "if_exists")
        if len(query.get(name, ())) > 1
    ]
    dry_run, if_exists = (query.get(name, [default])[0] for name, default in _DEFAULTS.items())
    if dry_run not in ("true", "false"):
        errors.append(FieldError("dry_run", "must be true or false"))
    if if_exists not in IF_EXISTS:
        errors.append(FieldError("if_exists", f"must be one of {', '.join(IF_EXISTS)}"))
    columns: dict[str, str] = {}
    for text in query.get("column", ()):
        column, _, name = text.partition("=")
        if not 0 < len(name) <= MAX_NAME_CHARS or column not in COLUMNS or column in columns:
            errors.append(
                FieldError(
                    "column",
                    f"must be one of ours, =, and the file's name for it, of at most {MAX_NAME_CHARS} "
                    "characters",
                )
            )
        columns[column] = name
    if errors:
        raise InvalidError(errors)
    return ImportWishes(
        columns=columns,
        if_exists="reject" if if_exists == "reject" else "update",
        dry_run=dry_run == "true",
    )


def import_response(link_import: LinkImport) -> ImportResponse:
    finished = link_import.finished_at
    return ImportResponse(
        id=str(link_import.id),
        profile_id=str(link_import.profile_id),
        state=link_import.state,
        dry_run=link_import.wishes.dry_run,
        if_exists=link_import.wishes.if_exists,
        size=link_import.size,
        total=link_import.total,
        **link_import.counts._asdict(),
        unread=list(link_import.unread),
        error=link_import.error,
        created_at=utc(link_import.created_at),
        finished_at=None if finished is None else utc(finished),
    )


def reject_response(reject: RowReject) -> RejectResponse:
    return RejectResponse(
        line=reject.line, reason=reject.reason, first_line=reject.first_line or None
    )


_DEFAULTS: Final = {"dry_run": "false", "if_exists": "update"}
_EXAMPLE: Final[dict[str, Any]] = {
    "id": "365072220160000070",
    "profile_id": "365072220160000003",
    "state": "succeeded",
    "dry_run": False,
    "if_exists": "update",
    "size": 20480,
    "total": 4,
    "created": 2,
    "updated": 0,
    "unchanged": 1,
    "rejected": 1,
    "unread": ["Colour"],
    "error": "",
    "created_at": "2026-05-01T09:30:00Z",
    "finished_at": "2026-05-01T09:30:02Z",
}
_QUEUED: Final = _EXAMPLE | {
    "state": "queued",
    "total": None,
    "created": 0,
    "unchanged": 0,
    "rejected": 0,
    "unread": [],
    "finished_at": None,
}
_PATHS: Final = {"import_id": "The id of an import."}
_CREATE: Final = Doc(
    id="importLinks",
    summary="Import links",
    tag="Links",
    description="The body is a file of another service, CSV, JSON, bookmarks or an archive, of any "
    "`Content-Type` and at most `WAYPOST_MAX_IMPORT_BYTES`. A worker imports it, as `Location` shows. "
    "Of two rows for one address the second is rejected, and to import a file again changes nothing. Takes "
    f"the role editor. At most {MAX_OPEN_IMPORTS} imports of a tenant arrive, wait or run at once; then 429.",
    query=(
        Parameter("dry_run", "`true`: say what would be done, and change nothing.", example="true"),
        Parameter(
            "if_exists",
            "`reject`: reject rows that differ from the existing link; else it is changed.",
            example="update",
        ),
        Parameter(
            "column",
            "The file's name for one of our columns; may be sent several times.",
            example="target=Long URL",
        ),
    ),
    responses={
        202: ResponseDoc("The import waits.", ImportResponse, _QUEUED, headers=("Location",))
    },
    errors=(400, 408, 413),
)
_LIST: Final = Doc(
    id="listImports",
    summary="List imports",
    tag="Links",
    description="A profile's imports, newest first. They are kept as long as jobs, a week if no setting says "
    "otherwise.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of imports.",
            ListResponse[ImportResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readImport",
    summary="Read an import",
    tag="Links",
    description="Its state, and what became of the rows that are done.",
    responses={200: ResponseDoc("The import.", ImportResponse, _EXAMPLE)},
    paths=_PATHS,
)
_REJECTS: Final = Doc(
    id="listImportRejects",
    summary="List an import's rejected rows",
    tag="Links",
    description=f"By line. The first {MAX_KEPT_REJECTS:,} of an import are kept.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of rejected rows.",
            ListResponse[RejectResponse],
            {
                "items": [
                    {
                        "line": 4,
                        "reason": "slug 'spring' of ada is that of line 2, too",
                        "first_line": 2,
                    }
                ],
                "next_cursor": None,
            },
        )
    },
    paths=_PATHS,
)
_CANCEL: Final = Doc(
    id="cancelImport",
    summary="Cancel an import",
    tag="Links",
    description="One that waits is cancelled at once, one that runs is stopped within seconds. What it has "
    "written stays. 409 if it has ended already.",
    responses={200: ResponseDoc("The import.", ImportResponse, _QUEUED | {"state": "cancelled"})},
    errors=(409,),
    paths=_PATHS,
)
