"""Routes of items that members keep for a profile's dashboard: the same five for each kind."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    ListResponse,
    draft_of,
    empty_response,
    json_object,
    json_response,
    replayable_response,
)
from api.http.etag import etag, guarded_write, read_response
from api.http.idempotency import idempotency_of_request, response_of
from api.http.query import PAGE, page_of_request, page_response, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from engine.common.errors import FieldError
from engine.common.idempotency import StoredResponse
from engine.stats.dashboards.ports import DashboardItemStore

_TAG = "Statistics"


class ItemRoutesKind(NamedTuple):
    """Kind of items, as its routes differ from others'. `path` is the last part of their path, `id_name` the
    variable of an item's path, and `name` the item's in operation ids: createAnnotation."""

    path: str
    id_name: str
    name: str
    noun: str
    about: str
    draft: type[msgspec.Struct]
    validate: Callable[[Any], tuple[Any, list[FieldError]]]
    response: Callable[[Any], msgspec.Struct]
    response_type: type[msgspec.Struct]
    draft_example: dict[str, Any]
    example: dict[str, Any]


class DashboardItemRoutes:
    """Routes of one kind of items. `check(profile_id, body)` raises InvalidError for what a look-up tells."""

    def __init__(
        self,
        store: DashboardItemStore[Any, Any],
        kind: ItemRoutesKind,
        check: Callable[[int, dict[str, Any]], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._kind = kind
        self._check = check

    def routes(self) -> list[Route]:
        docs = _docs(self._kind)
        items = f"/v1/profiles/<profile_id>/{self._kind.path}"
        one = f"{items}/<{self._kind.id_name}>"
        return [
            Route("POST", items, self.create, docs["create"]),
            Route("GET", items, self.list_page, docs["list"]),
            Route("GET", one, _by_id(self.read), docs["read"]),
            Route("PATCH", one, _by_id(self.update), docs["update"]),
            Route("DELETE", one, _by_id(self.delete), docs["delete"]),
        ]

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = draft_of(self._kind.draft, await self._body(id_), self._kind.validate, {})
        once = await idempotency_of_request(self._created)
        return response_of(
            self._created(await self._store.create(current_caller(), id_, draft, once))
        )

    async def _body(self, profile_id: int) -> dict[str, Any]:
        body = await json_object()
        if self._check is not None:
            await self._check(profile_id, body)
        return body

    def _created(self, item: Any) -> StoredResponse:
        path = f"/v1/profiles/{item.profile_id}/{self._kind.path}/{item.id}"
        headers = {"Location": path, "ETag": etag(item.version)}
        return replayable_response(self._kind.response(item), 201, headers)

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_items(current_caller(), path_id(profile_id), after, limit)
        return json_response(page_response(items, self._kind.response))

    async def read(self, profile_id: str, item_id: str) -> Response:
        refuse_parameters()
        item = await self._store.item(current_caller(), path_id(profile_id), path_id(item_id))
        return read_response(self._kind.response(item), item.version)

    async def update(self, profile_id: str, item_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        profile, id_ = path_id(profile_id), path_id(item_id)
        body = await self._body(profile)

        async def read() -> Any:
            return await self._store.item(current_caller(), profile, id_)

        def merged(stored: Any) -> msgspec.Struct:
            base = {name: getattr(stored, name) for name in self._kind.draft.__struct_fields__}
            return draft_of(self._kind.draft, body, self._kind.validate, base)

        async def write(if_version: int | None) -> Any:
            return await self._store.update(current_caller(), profile, id_, merged, if_version)

        item = await guarded_write(read, write)
        return json_response(self._kind.response(item), headers={"ETag": etag(item.version)})

    async def delete(self, profile_id: str, item_id: str) -> Response:
        refuse_parameters()
        profile, id_ = path_id(profile_id), path_id(item_id)

        async def read() -> Any:
            return await self._store.item(current_caller(), profile, id_)

        async def delete(if_version: int | None) -> None:
            await self._store.delete(current_caller(), profile, id_, if_version)

        await guarded_write(read, delete)
        return empty_response(204)


def _by_id(
    handler: Callable[[str, str], Awaitable[Response]],
) -> Callable[..., Awaitable[Response]]:
    """Return the handler for a path whose second variable has the name of a kind."""

    async def handle(profile_id: str, **item_id: str) -> Response:
        return await handler(profile_id, *item_id.values())

    return handle


def _docs(kind: ItemRoutesKind) -> dict[str, Doc]:
    noun, name = kind.noun, kind.name
    one = f"an {noun}" if noun[0] == "a" else f"a {noun}"
    item = ResponseDoc(f"The {noun}.", kind.response_type, kind.example)
    page = ListResponse[kind.response_type]  # type: ignore[name-defined]
    items = {"items": [kind.example], "next_cursor": None}
    create = Doc(
        id=f"create{name}", summary=f"Create {one}", tag=_TAG,
        description=f"{kind.about} Takes the role editor.", body=kind.draft,
        body_example=kind.draft_example, errors=(409,), idempotent=True,
        responses={201: item._replace(headers=("Location", "ETag"))},
    )  # fmt: skip
    list_ = Doc(
        id=f"list{name}s", summary=f"List a profile's {noun}s", tag=_TAG, query=PAGE,
        description="In the order of their creation.",
        responses={200: ResponseDoc(f"A page of {noun}s.", page, items)},
    )  # fmt: skip
    read = Doc(
        id=f"read{name}", summary=f"Read {one}", tag=_TAG, description=kind.about, tagged=True,
        responses={200: item},
    )  # fmt: skip
    update = Doc(
        id=f"update{name}", summary=f"Change {one}", tag=_TAG, guarded=True,
        description="Fields that are left out stay as they are. Takes the role editor.",
        body=changes_of(kind.draft), body_example=kind.draft_example,
        responses={200: item._replace(headers=("ETag",))},
    )  # fmt: skip
    delete = Doc(
        id=f"delete{name}", summary=f"Delete {one}", tag=_TAG, guarded=True,
        description="Takes the role editor.",
        responses={204: ResponseDoc(f"The {noun} is deleted.")},
    )  # fmt: skip
    return {"create": create, "list": list_, "read": read, "update": update, "delete": delete}
