"""`/v1/profiles/{id}/page/subscribers`: addresses that visitors left in the forms of a page."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, empty_response, json_response, utc
from api.http.excel import EXCEL, NAME, is_for_excel
from api.http.query import (
    PAGE,
    page_of_request,
    page_response,
    parameters,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Action, Caller
from engine.common import export
from engine.common.errors import InvalidError
from engine.limits.tenant_slots import TenantSlots
from engine.links.ports import ProfileStore
from engine.links.profile import Profile
from engine.pages.subscriber import SUBSCRIBER_COLUMNS, Subscriber, SubscriberStore

MAX_AT_ONCE: Final = 4
MAX_OF_TENANT: Final = 1
_ROWS: Final = 1_000


class SubscriberResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's address. `block` is the form's block in the page."""

    id: Id
    block: str
    email: str
    subscribed_at: datetime


class SubscriberRoutes:
    """Routes of addresses of a page's forms."""

    def __init__(self, store: SubscriberStore, profiles: ProfileStore) -> None:
        self._store = store
        self._profiles = profiles
        self._slots = TenantSlots("exports of addresses", total=MAX_AT_ONCE, each=MAX_OF_TENANT)

    def routes(self) -> list[Route]:
        path = "/v1/profiles/<profile_id>/page/subscribers"
        return [
            Route("GET", path, self.list_page, _LIST),
            Route("GET", f"{path}-export", self.export, _EXPORT),
            Route("DELETE", f"{path}/<subscriber_id>", self.delete, _DELETE),
        ]

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        key = current_caller(), path_id(profile_id)
        page = await self._store.list_subscribers(*key, after, limit)
        return json_response(page_response(page, _response))

    async def export(self, profile_id: str) -> Response:
        query, errors = parameters(NAME)
        excel = is_for_excel(query.get(NAME), errors)
        if errors:
            raise InvalidError(errors)
        caller, id_ = current_caller(), path_id(profile_id)
        profile = await self._profiles.profile(caller, id_, Action.MANAGE_SUBSCRIBERS)
        self._slots.admit(profile.tenant_id)  # so that a refusal is a problem response
        response = Response(
            self._lines(caller, profile, excel), content_type=export.CONTENT_TYPES["csv"]
        )
        response.headers["Content-Disposition"] = f'attachment; filename="subscribers-{id_}.csv"'
        return response

    async def _lines(self, caller: Caller, profile: Profile, excel: bool) -> AsyncIterator[bytes]:
        with self._slots.taken(profile.tenant_id):
            yield export.file_head("csv", SUBSCRIBER_COLUMNS, excel=excel)
            after: int | None = 0
            while after is not None:
                page = await self._store.list_subscribers(caller, profile.id, after, _ROWS)
                rows = [(each.email, each.block, each.subscribed_at) for each in page.items]
                yield export.file_rows("csv", SUBSCRIBER_COLUMNS, rows)
                after = page.next_after

    async def delete(self, profile_id: str, subscriber_id: str) -> Response:
        refuse_parameters()
        key = path_id(profile_id), path_id(subscriber_id)
        await self._store.delete_subscriber(current_caller(), *key)
        return empty_response(204)


def _response(subscriber: Subscriber) -> SubscriberResponse:
    return SubscriberResponse(
        id=str(subscriber.id),
        block=subscriber.block,
        email=subscriber.email,
        subscribed_at=utc(subscriber.subscribed_at),
    )


_TAG: Final = "Pages"
_EXAMPLE: Final = {
    "id": "365072220160000051",
    "block": "b7",
    "email": "visitor@example.com",
    "subscribed_at": "2026-05-01T09:31:00Z",
}
_LIST: Final = Doc(
    id="listSubscribers",
    summary="List the addresses that visitors left",
    tag=_TAG,
    description="Oldest first. Takes the role admin and the scope admin.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of addresses.",
            ListResponse[SubscriberResponse],
            {"items": [_EXAMPLE], "next_cursor": None},
        )
    },
)
_EXPORT: Final = Doc(
    id="exportSubscribers",
    summary="Export the addresses that visitors left",
    tag=_TAG,
    description="As CSV, oldest first; a text that a spreadsheet would take for a formula is preceded by an "
    "apostrophe. One export of a tenant runs at a time; another one gets 429.",
    query=(EXCEL,),
    responses={
        200: ResponseDoc(
            "The addresses.",
            str,
            ",".join(SUBSCRIBER_COLUMNS) + "\r\n",
            content_type="text/csv",
        )
    },
)
_DELETE: Final = Doc(
    id="deleteSubscriber",
    summary="Delete an address that a visitor left",
    tag=_TAG,
    description="The activity says that one was deleted, and not which. Takes the role admin.",
    responses={204: ResponseDoc("The address is deleted.")},
    paths={"subscriber_id": "id of an address"},
)
