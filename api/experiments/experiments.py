"""`/v1/profiles/{id}/experiments` and `/v1/experiments/{id}`: experiments and their states."""

from functools import partial
from typing import Annotated, Final

import msgspec
from quart import Response

from api.experiments import bodies
from api.experiments.bodies import (
    EXAMPLE,
    EXAMPLE_VARIANTS,
    ExperimentBody,
    ExperimentResponse,
    TargetRules,
    experiment_response,
)
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
from api.links.announce import announce
from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.idempotency import StoredResponse
from engine.experiments.experiment import ExperimentState, StoredExperiment
from engine.experiments.ports import ExperimentStore
from engine.links.profile import ProfileChange
from engine.visits.ports import Announcer


class DecisionBody(msgspec.Struct, frozen=True):
    """The decision of an experiment: the name of the variant that every visitor gets from now on."""

    winner: Annotated[str, StandIn("")]


class ExperimentRoutes:
    """Routes of experiments. `rules` are those of variants' targets."""

    def __init__(self, store: ExperimentStore, announcer: Announcer, rules: TargetRules) -> None:
        self._store = store
        self._announcer = announcer
        self._draft = partial(bodies.draft, rules=rules)

    def routes(self) -> list[Route]:
        path = "/v1/experiments/<experiment_id>"
        return [
            Route("POST", "/v1/profiles/<profile_id>/experiments", self.create, _CREATE),
            Route("GET", "/v1/profiles/<profile_id>/experiments", self.list_page, _LIST),
            Route("GET", path, self.read, _READ),
            Route("PATCH", path, self.update, _UPDATE),
            Route("DELETE", path, self.delete, _DELETE),
            Route("POST", f"{path}/start", self.start, _START),
            Route("POST", f"{path}/pause", self.pause, _PAUSE),
            Route("POST", f"{path}/decide", self.decide, _DECIDE),
            Route("POST", f"{path}/archive", self.archive, _ARCHIVE),
        ]

    async def create(self, profile_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(profile_id)
        draft = self._draft(await json_object(), None)

        def created(result: tuple[StoredExperiment, ProfileChange]) -> StoredResponse:
            stored, _ = result
            headers = {"Location": f"/v1/experiments/{stored.id}", "ETag": etag(stored.version)}
            return replayable_response(experiment_response(stored), 201, headers)

        idempotent_request = await idempotency_of_request(created)
        stored, change = await self._store.create_experiment(
            current_caller(), id_, draft, idempotent_request
        )
        await announce(self._announcer, [change])
        return response_of(created((stored, change)))

    async def list_page(self, profile_id: str) -> Response:
        after, limit = page_of_request()
        items = await self._store.list_experiments(
            current_caller(), path_id(profile_id), after, limit
        )
        return json_response(page_response(items, experiment_response))

    async def read(self, experiment_id: str) -> Response:
        refuse_parameters()
        stored = await self._store.experiment(current_caller(), path_id(experiment_id))
        return read_response(experiment_response(stored), stored.version)

    async def update(self, experiment_id: str) -> Response:
        """Change the fields that the body names, keep the others."""
        refuse_parameters()
        id_ = path_id(experiment_id)
        body = await json_object()

        async def write(if_version: int | None) -> tuple[StoredExperiment, ProfileChange]:
            merged = partial(self._draft, body)
            return await self._store.update_experiment(current_caller(), id_, merged, if_version)

        return await self._changed(*await guarded_write(partial(self._read, id_), write))

    async def delete(self, experiment_id: str) -> Response:
        refuse_parameters()
        id_ = path_id(experiment_id)

        async def delete(if_version: int | None) -> ProfileChange:
            return await self._store.delete_experiment(current_caller(), id_, if_version)

        change = await guarded_write(partial(self._read, id_), delete)
        await announce(self._announcer, [change])
        return empty_response(204)

    async def start(self, experiment_id: str) -> Response:
        return await self._move(experiment_id, "running")

    async def pause(self, experiment_id: str) -> Response:
        return await self._move(experiment_id, "paused")

    async def archive(self, experiment_id: str) -> Response:
        return await self._move(experiment_id, "archived")

    async def decide(self, experiment_id: str) -> Response:
        decision = draft_of(DecisionBody, await json_object(), _unchecked, {})
        return await self._move(experiment_id, "decided", decision.winner)

    async def _move(
        self, experiment_id: str, state: ExperimentState, winner: str | None = None
    ) -> Response:
        refuse_parameters()
        id_ = path_id(experiment_id)

        async def write(if_version: int | None) -> tuple[StoredExperiment, ProfileChange]:
            return await self._store.move_experiment(
                current_caller(), id_, state, winner, if_version
            )

        return await self._changed(*await guarded_write(partial(self._read, id_), write))

    async def _read(self, id_: int) -> StoredExperiment:
        return await self._store.experiment(current_caller(), id_)

    async def _changed(self, stored: StoredExperiment, change: ProfileChange) -> Response:
        await announce(self._announcer, [change])
        return json_response(experiment_response(stored), headers={"ETag": etag(stored.version)})


def _unchecked(decision: DecisionBody) -> tuple[DecisionBody, list[FieldError]]:
    # The store, which reads the experiment, finds out whether it has a variant of this name.
    return decision, []


_TAG: Final = "Experiments"
_RUNNING: Final = EXAMPLE | {"state": "running", "started_at": "2026-05-01T10:00:00Z", "version": 2}
_CREATE: Final = Doc(
    id="createExperiment",
    summary="Create an experiment",
    tag=_TAG,
    description="The experiment is a draft, which does not affect visitors. The first variant is the control. "
    "Takes the role editor.",
    body=ExperimentBody,
    body_example={
        "name": "Spring video",
        "kind": "destination",
        "link_id": "365072220160000002",
        "variants": EXAMPLE_VARIANTS,
    },
    responses={
        201: ResponseDoc("The experiment.", ExperimentResponse, EXAMPLE, ("Location", "ETag"))
    },
    errors=(409,),
    idempotent=True,
)
_LIST: Final = Doc(
    id="listExperiments",
    summary="List a profile's experiments",
    tag=_TAG,
    description="Oldest first.",
    query=PAGE,
    responses={
        200: ResponseDoc(
            "A page of experiments.",
            ListResponse[ExperimentResponse],
            {"items": [EXAMPLE], "next_cursor": None},
        )
    },
)
_READ: Final = Doc(
    id="readExperiment",
    summary="Read an experiment",
    tag=_TAG,
    description="The definition and state of the experiment; `results` has what it found.",
    responses={200: ResponseDoc("The experiment.", ExperimentResponse, EXAMPLE)},
    tagged=True,
)
_UPDATE: Final = Doc(
    id="updateExperiment",
    summary="Change an experiment",
    tag=_TAG,
    description="Fields that are left out stay as they are. After the start, coverage may change, which moves "
    "no visitor from one variant to another; changed variants or weights begin a phase, in which all visitors "
    "are assigned anew; kind, link and analysis cannot change. Takes the role editor.",
    body=changes_of(ExperimentBody, "ExperimentChanges"),
    body_example={"coverage": 0.5},
    responses={
        200: ResponseDoc(
            "The changed experiment.",
            ExperimentResponse,
            EXAMPLE | {"coverage": 0.5, "version": 2},
            ("ETag",),
        )
    },
    errors=(409,),
    guarded=True,
)
_DELETE: Final = Doc(
    id="deleteExperiment",
    summary="Delete an experiment",
    tag=_TAG,
    description="Deletes its counts too. Pause or decide a running experiment first (409). Takes the role "
    "editor.",
    responses={204: ResponseDoc("The experiment is deleted.")},
    errors=(409,),
    guarded=True,
)


def _transition(id_: str, summary: str, description: str, **changes: object) -> Doc:
    example = _RUNNING | changes
    return Doc(
        id=id_,
        summary=summary,
        tag=_TAG,
        description=f"{description} Takes the role editor.",
        responses={
            200: ResponseDoc("The changed experiment.", ExperimentResponse, example, ("ETag",))
        },
        errors=(409,),
        guarded=True,
    )


_START: Final = _transition(
    "startExperiment",
    "Start an experiment",
    "Starts a draft or resumes a paused experiment. 422 while a variant of a destination lacks a target; 409 "
    "while another experiment on the same link or page runs, unless both have parts of one namespace.",
)
_PAUSE: Final = _transition(
    "pauseExperiment",
    "Pause an experiment",
    "Visitors get the link or page as without the experiment.",
    state="paused",
    version=3,
)
_ARCHIVE: Final = _transition(
    "archiveExperiment",
    "Archive an experiment",
    "Visitors get the link or page as without the experiment, even if it was decided: to keep the winner, "
    "change the link first.",
    state="archived",
    ended_at="2026-05-09T08:00:00Z",
    version=3,
)
_DECIDE: Final = Doc(
    id="decideExperiment",
    summary="Decide an experiment",
    tag=_TAG,
    description="From now on every visitor gets the variant of this name. Takes the role editor.",
    body=DecisionBody,
    body_example={"winner": "video"},
    responses={
        200: ResponseDoc(
            "The decided experiment.",
            ExperimentResponse,
            _RUNNING
            | {
                "state": "decided",
                "winner": "video",
                "ended_at": "2026-05-09T08:00:00Z",
                "version": 3,
            },
            ("ETag",),
        )
    },
    errors=(409,),
    guarded=True,
)
