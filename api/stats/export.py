"""`GET /v1/profiles/{id}/stats/export` and `…/clicks/export`: rows of a stats query, and raw clicks, as files.

Clicks are streamed while they are read. A failure after the first line breaks the connection, so a file
that arrives without an error is complete. At most MAX_AT_ONCE exports of clicks run at a time, and
MAX_OF_TENANT of one tenant.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlencode

from quart import Response, request

from api.http.auth import current_caller
from api.http.bodies import utc
from api.http.excel import EXCEL, NAME, is_for_excel
from api.http.query import path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from api.stats.answers import metrics_of
from api.stats.parameters import PERIOD, QUERY
from api.stats.stats import first_day
from engine.common import export
from engine.common.errors import FieldError, InvalidError
from engine.common.export import CONTENT_TYPES, FORMATS, ExportFormat
from engine.limits.tenant_slots import TenantSlots
from engine.links.ports import ProfileStore
from engine.stats import period
from engine.stats.parameters import group_cursor
from engine.stats.parameters.group_cursor import GroupCursor
from engine.stats.ports import CLICK_COLUMNS, ClickExport, StatsReader
from engine.stats.query import StatsQuery
from engine.stats.query_parser import HOUR_OF_WEEK, parse_query, printable_name
from engine.stats.result import LinkName, Stats

MAX_AT_ONCE: Final = 2  # each holds a connection to the database
MAX_OF_TENANT: Final = 1
LIMIT_S: Final = 3_600


class StatsExportRoutes:
    """Routes of exports. `now` is the clock: aware."""

    def __init__(
        self, store: ProfileStore, reader: StatsReader, clicks: ClickExport, now: Callable[[], datetime]
    ) -> None:  # fmt: skip
        self._store = store
        self._reader = reader
        self._clicks = clicks
        self._now = now
        self._slots = TenantSlots("exports", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/profiles/<profile_id>/stats/export", self.stats, _STATS),
            Route("GET", "/v1/profiles/<profile_id>/clicks/export", self.clicks, _CLICKS),
        ]

    async def stats(self, profile_id: str) -> Response:
        id_ = path_id(profile_id)
        profile = await self._store.profile(current_caller(), id_)
        first = await first_day(self._reader, list(request.args.items(multi=True)), [profile])
        format_, query = self._parse(first, with_query=True)
        if query.comparison is not None:
            raise InvalidError(
                [FieldError("compare", "must not be given for a file; ask for each period")]
            )
        stats = await self._reader.stats(profile.tenant_id, id_, query)
        names, rows = _table(query, stats)
        head = export.file_head(format_, names, excel=_for_excel())
        body = head + export.file_rows(format_, names, rows)
        response = Response(body, content_type=CONTENT_TYPES[format_])
        if stats.next is not None:
            response.headers["Link"] = f'<{_next_path(stats.next)}>; rel="next"'
        return _file(response, f"stats-{id_}.{format_}")

    async def clicks(self, profile_id: str) -> Response:
        id_ = path_id(profile_id)
        format_, query = self._parse(None, with_query=False)
        profile = await self._store.profile(current_caller(), id_)
        self._slots.admit(profile.tenant_id)  # so that a refusal is a problem response
        head = export.file_head(format_, CLICK_COLUMNS, excel=_for_excel())
        lines = self._lines(profile.tenant_id, id_, format_, query, head)
        response = Response(lines, content_type=CONTENT_TYPES[format_])
        response.timeout = LIMIT_S
        return _file(response, f"clicks-{id_}.{format_}")

    async def _lines(
        self, tenant_id: int, profile_id: int, format_: ExportFormat, query: StatsQuery, head: bytes
    ) -> AsyncIterator[bytes]:
        with self._slots.taken(tenant_id):
            tz = period.zone(query.tz)
            clicks = self._clicks.clicks(tenant_id, profile_id, query.start, query.end)
            yield head
            async with aclosing(clicks) as chunks:
                async for rows in chunks:
                    local = ((row[0].astimezone(tz), *row[1:]) for row in rows)
                    yield export.file_rows(format_, CLICK_COLUMNS, local)

    def _parse(self, first: date | None, *, with_query: bool) -> tuple[ExportFormat, StatsQuery]:
        pairs = list(request.args.items(multi=True))
        formats = [value for name, value in pairs if name == "format"]
        errors = []
        if len(formats) != 1 or formats[0] not in FORMATS:
            errors.append(FieldError("format", f"must be one of {', '.join(FORMATS)}"))
        excels = [value for name, value in pairs if name == NAME]
        is_for_excel(",".join(excels) if excels else None, errors, formats[0] if formats else None)
        rest = [pair for pair in pairs if pair[0] not in ("format", NAME)]
        if not with_query:
            errors += [
                FieldError(
                    printable_name(name),
                    "is not a parameter here; there are format, excel, from, to, tz",
                )
                for name, _ in rest
                if name not in ("from", "to", "tz")
            ]
            # A group other than time, so that the period may be as long as clicks are kept.
            rest = [pair for pair in rest if pair[0] in ("from", "to", "tz")] + [
                ("group", "country")
            ]
        try:
            query = parse_query(rest, utc(self._now()), first)
        except InvalidError as error:
            raise InvalidError(errors + error.errors) from None
        if errors:
            raise InvalidError(errors)
        return formats[0], query  # type: ignore[return-value]  # one of the literals


def _for_excel() -> bool:
    """Return whether the request, whose parameters are valid, asks for a file for Excel."""
    return request.args.get(NAME) == "1"


def _next_path(cursor: GroupCursor) -> str:
    """Return the address of the file with the groups behind this one's, relative to the server."""
    pairs = [pair for pair in request.args.items(multi=True) if pair[0] != "cursor"]
    return f"{request.path}?{urlencode([*pairs, ('cursor', group_cursor.encode(cursor))])}"


def _table(query: StatsQuery, stats: Stats) -> tuple[list[str], list[Sequence[Any]]]:
    groups = [dimension.name.lower() for dimension in query.groups]
    link = groups.index("link") if "link" in groups else None
    names = [
        *(["time"] if query.by_time else []),
        *([HOUR_OF_WEEK] if query.by_hour_of_week else []),
        *groups,
        *([] if link is None else LinkName._fields),
        *query.metrics,
    ]
    rows = [
        (
            *([] if row.time is None else [row.time]),
            *(value or None for value in row.values),
            *([] if link is None else stats.links.get(row.values[link], _NO_NAMES)),
            *(_cell(value) for value in metrics_of(query, row).values()),
        )
        for row in stats.rows
    ]
    return names, list(rows)


def _cell(value: Any) -> Any:
    """Return a metric as a cell; revenue as `12.30 EUR; 5 JPY`."""
    if not isinstance(value, dict):
        return value
    return "; ".join(f"{amount} {currency}" for currency, amount in value.items()) or None


def _file(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="waypost-{name}"'
    return response


_NO_NAMES: Final = (None,) * len(LinkName._fields)
_FORMAT: Final = Parameter("format", "`csv`, for spreadsheets, or `ndjson`.", example="csv")
_STATS: Final = Doc(
    id="exportStats",
    summary="Export the rows of a stats query",
    tag="Statistics",
    description="The rows that `stats` answers to the same query. In CSV, a text that a spreadsheet would "
    "take for a formula is preceded by an apostrophe. If there are further groups, the header `Link` has "
    "the address of the file with them.",
    query=(_FORMAT, EXCEL, *(parameter for parameter in QUERY if parameter.name != "compare")),
    responses={
        200: ResponseDoc(
            "The rows.",
            str,
            "country,clicks,bots\r\nDE,42,5\r\n",
            content_type="text/csv",
        )
    },
)
_CLICKS: Final = Doc(
    id="exportClicks",
    summary="Export raw clicks",
    tag="Statistics",
    description="All clicks and views in the period, bots included, as far as raw clicks are kept, day by "
    "day and in no order within a day. Nothing in it tells visitors apart. At most two exports run at once; "
    "further requests get 503.",
    query=(_FORMAT, EXCEL, *PERIOD),
    responses={
        200: ResponseDoc(
            "The clicks.",
            str,
            ",".join(CLICK_COLUMNS) + "\r\n",
            content_type="text/csv",
        )
    },
)
