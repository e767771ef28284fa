"""`POST /v1/profiles/{id}/imports`: links from a file in the request's body, with a result for each bad row.

The file is read as `waypost import` reads it. Its size is bounded as that of every body.
"""

import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
from quart import Response, request

from actors.links.import_run import ImportRun
from api.http.auth import current_caller
from api.http.bodies import json_response, printable_name
from api.http.query import path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from api.links.announce import announce
from engine.accounts.access import Action
from engine.common.errors import FieldError, InvalidError
from engine.limits.tenant_slots import TenantSlots
from engine.links.blocklist import Blocklist
from engine.links.imports.columns import COLUMNS
from engine.links.imports.link_file import LinkFile
from engine.links.imports.plan import IF_EXISTS, IfExists
from engine.links.imports.rows import RowReader
from engine.links.ports import LinkImporter, ProfileStore
from engine.visits.ports import Announcer

MAX_AT_ONCE: Final = 2
MAX_OF_TENANT: Final = 1
MAX_REJECTS: Final = 1_000
BATCH_ROWS: Final = 1_000
LIMIT_S: Final = 300
_PARAMETERS: Final = ("dry_run", "if_exists", "column")


class Reject(msgspec.Struct, frozen=True):
    """A row that was left out: its line, or its number in a document of JSON, and why."""

    line: int
    reason: str


class ImportResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of rows by what became of them. `rejects` has the first rejected ones. `unread` are the
    columns of the file that mean nothing."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    rejected: int
    rejects: list[Reject]
    unread: list[str]


class _Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """Wishes of a request: names of the file's columns by ours, and what becomes of rows."""

    columns: dict[str, str]
    if_exists: IfExists
    dry_run: bool


class LinkImportRoutes:
    """Route of imports."""

    def __init__(
        self,
        store: ProfileStore,
        importer: LinkImporter,
        announcer: Announcer,
        *,
        private_hosts: bool,
        visitors_url: str,
        blocklist: Callable[[], Blocklist],
    ) -> None:
        self._store = store
        self._importer = importer
        self._announcer = announcer
        self._private_hosts = private_hosts
        self._visitors_url = visitors_url
        self._blocklist = blocklist
        self._slots = TenantSlots("imports", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/profiles/<profile_id>/imports", self.create, _IMPORT)]

    async def create(self, profile_id: str) -> Response:
        wishes = _wishes(request.args.to_dict(flat=False))
        caller = current_caller()
        profile = await self._store.profile(caller, path_id(profile_id), Action.EDIT)
        with self._slots.taken(profile.tenant_id):
            body: bytes = await request.get_data(as_text=False)  # type: ignore[assignment]
            if not body.strip():
                raise InvalidError([FieldError("body", "must be a file of links")])
            source = LinkFile(io.BytesIO(body), wishes.columns, profile.handle)
            rejects: list[Reject] = []

            def reject(line: int, reason: str) -> None:
                if len(rejects) < MAX_REJECTS:
                    rejects.append(Reject(line, reason))

            run = ImportRun(
                self._importer,
                partial(announce, self._announcer),
                reject,
                if_exists=wishes.if_exists,
                dry_run=wishes.dry_run,
                batch_rows=BATCH_ROWS,
            )
            reader = RowReader(
                profile.handle,
                private_hosts=self._private_hosts,
                tag_separators=source.tag_separators,
                visitors_url=self._visitors_url,
                blocklist=self._blocklist(),
            )
            # A member may be of another tenant than the profile.
            progress = await run.run(caller._replace(tenant_id=profile.tenant_id), source, reader)
        return json_response(
            ImportResponse(
                dry_run=wishes.dry_run,
                created=progress.created,
                updated=progress.updated,
                unchanged=progress.unchanged,
                rejected=progress.rejected,
                rejects=sorted(rejects, key=lambda each: each.line),
                unread=source.unread,
            )
        )


def _wishes(query: Mapping[str, list[str]]) -> _Wishes:
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
        if not name or column not in COLUMNS or column in columns:
            errors.append(
                FieldError("column", "must be one of ours, =, and the file's name for it")
            )
        columns[column] = name
    if errors:
        raise InvalidError(errors)
    return _Wishes(
        columns=columns,
        if_exists="reject" if if_exists == "reject" else "update",
        dry_run=dry_run == "true",
    )


_DEFAULTS: Final = {"dry_run": "false", "if_exists": "update"}
_IMPORT: Final = Doc(
    id="importLinks",
    summary="Import links",
    tag="Links",
    description="The body is a file of another service, CSV, JSON, bookmarks or an archive, of any "
    "`Content-Type`. Rows are written 1,000 at a time. Of two rows for one address the second is rejected, and "
    f"to import a file again changes nothing. The answer names the first {MAX_REJECTS:,} rejected rows. Takes "
    "the role editor. One import of a tenant runs at a time; another one gets 429.",
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
        200: ResponseDoc(
            "What became of the rows.",
            ImportResponse,
            {
                "dry_run": False,
                "created": 2,
                "updated": 0,
                "unchanged": 1,
                "rejected": 1,
                "rejects": [{"line": 4, "reason": "target must be a valid URL"}],
                "unread": [],
            },
        )
    },
    errors=(400, 408, 413),
)
