"""`POST /v1/profiles/{id}/links/bulk`: many changes of a profile's links, with a result for each.

All operations are one transaction and make one version of the profile. An operation that fails, because it is
invalid or conflicts with stored data, changes nothing and stops no other operation.
"""

from typing import Annotated, Any, Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import (
    Id,
    Version,
    json_object,
    printable_name,
    replayable_response,
)
from api.http.idempotency import idempotency_of_request, response_of
from api.http.problems import Problem, problem_of
from api.http.query import parsed_id, path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route, changes_of
from api.links.announce import announce
from api.links.link_drafts import LinkDrafts
from api.links.link_responses import EXAMPLE, LinkResponse, LinkResponses
from engine.common.errors import FieldError, InvalidError, LostUpdateError, WaypostError
from engine.common.idempotency import StoredResponse
from engine.links.link import Link, LinkDraft
from engine.links.ports import LinkChange, LinkChangeResult, ProfileStore
from engine.links.profile import ProfileChange
from engine.visits.ports import Announcer

MAX_OPERATIONS: Final = 100
MAX_PASSWORDS: Final = 10
_OPERATIONS: Final = ("create", "update", "delete")
_STATUS: Final = {"create": 201, "update": 200, "delete": 204}


class BulkResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of the operation at `index`: the status that it would have as a request of its own, with the
    link, or with the problem if the status is 400 or more."""

    index: int
    status: int
    link: LinkResponse | None = None
    problem: Problem | None = None


class BulkResponse(msgspec.Struct, frozen=True):
    """The results of all operations, in their order; `version` is the profile's."""

    results: list[BulkResult]
    version: Version


class BulkRoutes:
    """Route of bulk changes."""

    def __init__(
        self,
        store: ProfileStore,
        announcer: Announcer,
        visitors_url: str,
        drafts: LinkDrafts,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._responses = LinkResponses(visitors_url, drafts.policy)
        self._drafts = drafts

    def routes(self) -> list[Route]:
        return [Route("POST", "/v1/profiles/<profile_id>/links/bulk", self.change, _DOC)]

    async def change(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        operations = _operations(await json_object())
        profile = await self._store.profile(current_caller(), id_)
        parsed = [await self._parse(operation) for operation in operations]
        changes = [change for change in parsed if isinstance(change, LinkChange)]

        def respond(result: tuple[list[LinkChangeResult], ProfileChange]) -> StoredResponse:
            outcomes = iter(result[0])
            results = [
                self._result(index, change.op, profile.handle, next(outcomes))
                if isinstance(change, LinkChange)
                else _failed(index, change)
                for index, change in enumerate(parsed)
            ]
            return replayable_response(BulkResponse(results, result[1].version), 200, {})

        idempotent_request = await idempotency_of_request(respond)
        outcomes, profile_change = await self._store.change_links(
            current_caller(), id_, changes, idempotent_request
        )
        await announce(self._announcer, [profile_change])
        return response_of(respond((outcomes, profile_change)))

    async def _parse(self, operation: Any) -> LinkChange | InvalidError:
        """Return the change that an operation asks for, or the error that names its bad fields."""
        op = operation.get("op") if isinstance(operation, dict) else None
        if op not in _OPERATIONS:
            reason = f"must be one of {', '.join(_OPERATIONS)}, in an object"
            return InvalidError([FieldError("op", reason)])
        fields = {name: value for name, value in operation.items() if name != "op"}
        link_id, if_version = 0, None
        errors: list[FieldError] = []
        if op != "create":
            link_id, if_version, errors = _link_ref(
                fields.pop("id", None), fields.pop("if_version", None)
            )
        if op == "delete":
            errors += [
                FieldError(printable_name(name), "is not a field of a delete") for name in fields
            ]
        if errors:
            return InvalidError(errors)
        try:
            hashed = await self._drafts.with_hash(fields)
        except InvalidError as error:
            return error

        def draft(stored: Link | None) -> LinkDraft:
            return self._drafts.draft(hashed, stored)

        return LinkChange(op, draft, link_id, if_version)

    def _result(self, index: int, op: str, handle: str, outcome: LinkChangeResult) -> BulkResult:
        if outcome.error is not None:
            return _failed(index, outcome.error)
        if outcome.link is None:
            return BulkResult(index=index, status=204)
        link = self._responses.response_with_warnings(handle, outcome.link)
        return BulkResult(index=index, status=_STATUS[op], link=link)


def _operations(body: dict[str, Any]) -> list[Any]:
    """Return the list of operations, each of any form. Raises InvalidError for any other body."""
    operations = body.get("operations")
    errors = [
        FieldError(printable_name(name), "is not a field here; the only field is operations")
        for name in body
        if name != "operations"
    ]
    if not isinstance(operations, list) or not 1 <= len(operations) <= MAX_OPERATIONS:
        reason = f"must be a list of 1 to {MAX_OPERATIONS} operations"
        errors.append(FieldError("operations", reason))
    elif sum(isinstance(each, dict) and "password" in each for each in operations) > MAX_PASSWORDS:
        # Each takes a core for a tenth of a second.
        errors.append(FieldError("operations", f"must have at most {MAX_PASSWORDS} passwords"))
    if errors:
        raise InvalidError(errors)
    assert isinstance(operations, list)
    return operations


def _link_ref(id_: Any, if_version: Any) -> tuple[int, int | None, list[FieldError]]:
    """Return (link id, required version or None, errors) of an update or delete.

    The link id is 0, which no link has, for a text that cannot be an id.
    """
    errors = []
    if not isinstance(id_, str):
        errors.append(FieldError("id", "must be the id of a link, as a string"))
    if if_version is not None and (type(if_version) is not int or if_version < 1):
        errors.append(FieldError("if_version", "must be a whole number from 1"))
    return (parsed_id(id_) or 0) if isinstance(id_, str) else 0, if_version, errors


def _failed(index: int, error: WaypostError) -> BulkResult:
    problem = problem_of(error)
    if problem is None:
        raise error
    return BulkResult(index=index, status=problem.status, problem=problem)


class CreateOperation(
    LinkDraft, frozen=True, tag_field="op", tag="create", forbid_unknown_fields=True
):
    """Create a link, as `POST /v1/profiles/{id}/links` does."""


class LinkRef(msgspec.Struct, kw_only=True):
    """A link by its id, and the version that the link must have."""

    id: Id
    if_version: Version | msgspec.UnsetType = msgspec.UNSET


class DeleteOperation(LinkRef, tag_field="op", tag="delete", forbid_unknown_fields=True):
    """Delete a link of this profile."""


UpdateOperation = changes_of(LinkDraft, "UpdateOperation", base=LinkRef, tag="update")
_Operation: Any = CreateOperation | UpdateOperation | DeleteOperation


class BulkRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body as the reference shows it; each operation is validated on its own."""

    operations: Annotated[list[_Operation], msgspec.Meta(min_length=1, max_length=MAX_OPERATIONS)]


_DOC: Final = Doc(
    id="changeLinks",
    summary="Change many links",
    tag="Links",
    description=(
        f"Up to {MAX_OPERATIONS} creates, updates and deletes of one profile's links in one "
        "transaction, with a result for each. An operation that fails changes nothing and stops no "
        "other: its result has the status and the problem of a single request. "
        "Takes the role editor."
    ),
    body=BulkRequest,
    body_example={
        "operations": [
            {"op": "create", "slug": "spring", "target": "https://example.com/spring"},
            {"op": "update", "id": "365072220160000003", "if_version": 1, "title": "Summer"},
            {"op": "delete", "id": "365072220160000004"},
        ]
    },
    responses={
        200: ResponseDoc(
            "A result for each operation, in their order.",
            BulkResponse,
            {
                "results": [
                    {"index": 0, "status": 201, "link": EXAMPLE},
                    {
                        "index": 1,
                        "status": 412,
                        "problem": {
                            "type": "urn:waypost:problem:precondition-failed",
                            "title": "Precondition Failed",
                            "status": 412,
                            "detail": str(LostUpdateError(2)),
                        },
                    },
                    {"index": 2, "status": 204},
                ],
                "version": 7,
            },
        )
    },
    idempotent=True,
)
