"""`GET /v1/profiles/{id}/links`: a profile's links, searched, filtered and sorted."""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import ListResponse, json_response
from api.http.query import DEFAULT_LIMIT, PAGE, page_of, parameters, parsed_id, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from api.links import included_clicks
from api.links.included_clicks import IncludedClicks
from api.links.link_responses import EXAMPLE, LinkResponse, LinkResponses
from engine.common.errors import FieldError, InvalidError
from engine.links import link_query
from engine.links.link_query import LinkQuery, sort_value
from engine.links.ports import ProfileStore
from engine.links.target import TARGET_KINDS

MAX_CURSOR_CHARS: Final = 1_200
MAX_FILTER_CHARS: Final = 2_048
_CURSOR: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_CURSOR_CHARS}}}")
_CHOICES: Final = {
    "kind": TARGET_KINDS,
    "state": link_query.STATES,
    "health": link_query.HEALTH_FILTERS,
    "hidden": ("true", "false"),
    "sort": tuple(sign + sort for sort in link_query.SORTS for sign in ("", "-")),
}
_TEXTS: Final = ("tag", "folder", "target", "external_id")
_NAMES: Final = ("cursor", "limit", "q", *_TEXTS, *_CHOICES, *included_clicks.NAMES)
_BY_CLICKS: Final = ("clicks", "last_click")


class LinkListRoutes:
    """Route of the list of a profile's links."""

    def __init__(self, store: ProfileStore, visitors_url: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._responses = LinkResponses(visitors_url)

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/links", self.list_page, _LIST)]

    async def list_page(self, profile_id: str) -> Response:
        query, after, limit, included = _question(self._now())
        profile = await self._store.profile(current_caller(), path_id(profile_id))
        page = await self._store.list_links(current_caller(), profile.id, after, limit, query)
        cursor = None
        if page.next_after is not None:
            cursor = _encoded(page.next_after, sort_value(page.items[-1], query.sort))
        items = [
            included.add_to(self._responses.response(profile.handle, link), link)
            for link in page.items
        ]
        return json_response(ListResponse(items, cursor))


def _question(now: datetime) -> tuple[LinkQuery, int, int, IncludedClicks]:
    """Return (the question, the id of the last link of the page before, the page's size, the clicks to show).
    Raises InvalidError that names every bad parameter."""
    given, errors = parameters(*_NAMES)
    cursor = given.pop("cursor", "")
    _, limit = page_of(given, errors)
    after, value = 0, ""
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            errors.append(FieldError(name, f"must be one of {', '.join(choices)}"))
    for name in ("q", *_TEXTS):
        longest = link_query.MAX_SEARCH_CHARS if name == "q" else MAX_FILTER_CHARS
        if name in given and not 1 <= len(given[name]) <= longest:
            errors.append(FieldError(name, f"must have 1 to {longest:,} characters"))
        if "\0" in given.get(name, ""):
            errors.append(FieldError(name, "must not contain control characters"))
    sort = given.get("sort", "created")
    if cursor:
        decoded = _decoded(cursor, sort.removeprefix("-"))
        if decoded is None:
            errors.append(
                FieldError("cursor", "must be a next_cursor of this list, with the same sort")
            )
        else:
            after, value = decoded
    by_clicks = sort.removeprefix("-") in _BY_CLICKS
    included = included_clicks.included_clicks(given, errors, now, needed=by_clicks)
    if errors:
        raise InvalidError(errors)
    query = LinkQuery(
        text=given.get("q", ""),
        tag=given.get("tag", ""),
        folder=given.get("folder", ""),
        target=given.get("target", ""),
        external_id=given.get("external_id", ""),
        kind=given.get("kind", ""),
        state=given.get("state", ""),
        health=given.get("health", ""),
        hidden={"true": True, "false": False}.get(given.get("hidden", "")),
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        after_value=value,
        period=included.period,
    )
    return query, after, limit, included


def _encoded(after: int, value: str) -> str:
    text = f"a{after} {value}" if value else f"a{after}"
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decoded(cursor: str, sort: str) -> tuple[int, str] | None:
    """Return (id, value of the sort) of a cursor, or None if it is not one of this list."""
    if _CURSOR.fullmatch(cursor) is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    id_text, _, value = text.partition(" ")
    after = parsed_id(id_text[1:]) if id_text.startswith("a") else None
    if after is None or _encoded(after, value) != cursor or "\0" in value:
        return None
    return (after, value) if link_query.is_sort_value(sort, value) else None


def _choice(name: str) -> object:
    return Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(_CHOICES[name])})]


_LIST: Final = Doc(
    id="listLinks",
    summary="List a profile's links",
    tag="Links",
    description="Oldest first, unless `sort` says otherwise. A link must pass all filters.",
    query=(
        Parameter(
            "cursor",
            "The `next_cursor` of the page before.",
            Annotated[str, msgspec.Meta(pattern=f"^[A-Za-z0-9_-]{{1,{MAX_CURSOR_CHARS}}}$")],
        ),
        PAGE[1],
        Parameter("q", "A text in the slug, title, target, notes or external id; case is ignored.",
                  Annotated[str, msgspec.Meta(max_length=link_query.MAX_SEARCH_CHARS)], "spring"),
        Parameter("tag", "A tag of the link; case is ignored.", str, "campaign"),
        Parameter("folder", "The link's folder.", str, "print"),
        Parameter("target", "The link's whole target.", str, "https://example.com/spring"),
        Parameter("external_id", "The link's id in another system.", str, "sku-17"),
        Parameter("kind", "What the target is.", _choice("kind"), "url"),
        Parameter("state", "`active`, `paused`, `scheduled` (before `active_from`), `over` (after "
                  "`active_until`) or `quarantined`.", _choice("state"), "active"),
        Parameter("health", "The state of the target at its last check.", _choice("health"), "broken"),
        Parameter("hidden", "Whether the link is hidden from the page.", _choice("hidden"), "false"),
        Parameter("sort", "The order; with `-` the other way round. `clicks` and `last_click`: of the period.",
                  _choice("sort"), "-created"),
        *included_clicks.PARAMETERS,
    ),
    responses={
        200: ResponseDoc(
            f"A page of links, {DEFAULT_LIMIT} unless `limit` says otherwise; fewer if they are large.",
            ListResponse[LinkResponse],
            {"items": [EXAMPLE], "next_cursor": None},
        )
    },
)  # fmt: skip
