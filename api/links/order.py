"""`PUT /v1/profiles/{id}/links/order`: the order of links on the profile's page."""

from typing import Annotated, Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, Version, json_object, json_response, printable_name
from api.http.query import parsed_id, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from api.links.announce import announce
from engine.common.errors import FieldError, InvalidError
from engine.links.ports import ProfileStore
from engine.visits.ports import Announcer

MAX_ORDERED: Final = 1_000


class LinkOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Ids of links in their order."""

    ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MAX_ORDERED)]


class LinkOrderResponse(msgspec.Struct, frozen=True):
    """The version of the profile that has the order."""

    version: Version


class LinkOrderRoutes:
    """Route of the order of links."""

    def __init__(self, store: ProfileStore, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer

    def routes(self) -> list[Route]:
        return [Route("PUT", "/v1/profiles/<profile_id>/links/order", self.put, _DOC)]

    async def put(self, profile_id: str) -> Response:
        refuse_parameters()
        ids = _ids(await json_object())
        change = await self._store.order_links(current_caller(), path_id(profile_id), ids)
        await announce(self._announcer, [change])
        return json_response(LinkOrderResponse(change.version))


def _ids(body: dict[str, Any]) -> list[int]:
    errors = [
        FieldError(printable_name(name), "is not a field here; the only field is ids")
        for name in body
        if name != "ids"
    ]
    texts = body.get("ids")
    ids = (
        [parsed_id(text) if isinstance(text, str) else None for text in texts]
        if isinstance(texts, list)
        else []
    )
    if not 1 <= len(ids) <= MAX_ORDERED or None in ids or len(set(ids)) != len(ids):
        errors.append(FieldError("ids", f"must be a list of 1 to {MAX_ORDERED} ids, each once"))
    if errors:
        raise InvalidError(errors)
    return [id_ for id_ in ids if id_ is not None]


_DOC: Final = Doc(
    id="orderLinks",
    summary="Order a profile's links",
    tag="Links",
    description="The links stand in this order on the page, before all that are not named. "
    "An id that is none of the profile's is a 404, and nothing changes. Takes the role editor.",
    body=LinkOrder,
    body_example={"ids": ["365072220160000003", "365072220160000002"]},
    responses={200: ResponseDoc("The profile's new version.", LinkOrderResponse, {"version": 8})},
)
