"""`/v1/jobs`: a tenant's background jobs, and their results."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Final, Literal, cast

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Id, ListResponse, json_response, utc
from api.http.query import (
    PAGE,
    page_of,
    page_response,
    parameters,
    parsed_id,
    path_id,
    refuse_parameters,
)
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.common.errors import FieldError, InvalidError
from engine.jobs.job import JOB_STATES, KIND, Job, JobFilter, JobState
from engine.jobs.ports import JobStore


class ProgressResponse(msgspec.Struct, frozen=True):
    """Progress of a job: `done` of `total` units."""

    done: int
    total: int


class JobResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `attempt` counts its attempts, `failures` those that failed."""

    id: Id
    profile_id: Id | None
    kind: str
    queue: str
    state: Literal["queued", "running", "succeeded", "dead", "cancelled"]
    priority: int
    attempt: int
    failures: int
    max_attempts: int
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    progress: ProgressResponse | None
    last_error: str


class JobRoutes:
    def __init__(self, store: JobStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/jobs", self.list_page, _LIST),
            Route("GET", "/v1/jobs/<job_id>", self.read, _READ),
            Route("POST", "/v1/jobs/<job_id>/retry", self.retry, _RETRY),
            Route("POST", "/v1/jobs/<job_id>/cancel", self.cancel, _CANCEL),
        ]

    async def list_page(self) -> Response:
        query, errors = parameters("cursor", "limit", "state", "kind", "profile")
        before, limit = page_of(query, errors)
        filter_ = _filter(query, errors)
        items = await self._store.list_jobs(current_caller(), filter_, before, limit)
        return json_response(page_response(items, job_response))

    async def read(self, job_id: str) -> Response:
        return await self._respond(self._store.job, job_id)

    async def retry(self, job_id: str) -> Response:
        return await self._respond(self._store.retry, job_id)

    async def cancel(self, job_id: str) -> Response:
        return await self._respond(self._store.cancel, job_id)

    async def _respond(
        self, action: Callable[[Caller, int], Awaitable[Job]], job_id: str
    ) -> Response:
        refuse_parameters()
        return json_response(job_response(await action(current_caller(), path_id(job_id))))


def _filter(query: dict[str, str], errors: list[FieldError]) -> JobFilter:
    """Return the filter of the query. Raises InvalidError with `errors` and every bad parameter."""
    state, kind = query.get("state"), query.get("kind")
    if state is not None and state not in JOB_STATES:
        errors.append(FieldError("state", f"must be one of {', '.join(JOB_STATES)}"))
    if kind is not None and KIND.fullmatch(kind) is None:
        errors.append(FieldError("kind", "must be a kind of job, such as links.check"))
    profile_id = None
    if "profile" in query:
        profile_id = parsed_id(query["profile"])
        if profile_id is None:
            errors.append(FieldError("profile", "must be an id"))
    if errors:
        raise InvalidError(errors)
    return JobFilter(cast("JobState | None", state), kind, profile_id)


def job_response(job: Job) -> JobResponse:
    """Return a job as the API shows it: without its payload, which is internal."""
    return JobResponse(
        id=str(job.id),
        profile_id=None if job.profile_id is None else str(job.profile_id),
        kind=job.kind,
        queue=job.queue,
        state=job.state,
        priority=job.priority,
        attempt=job.attempt,
        failures=job.failures,
        max_attempts=job.max_attempts,
        run_at=utc(job.run_at),
        created_at=utc(job.created_at),
        started_at=None if job.started_at is None else utc(job.started_at),
        finished_at=None if job.finished_at is None else utc(job.finished_at),
        cancel_requested=job.cancel_requested,
        progress=None if job.progress is None else ProgressResponse(*job.progress),
        last_error=job.last_error,
    )


JOB_EXAMPLE: Final = {
    "id": "365072220160000060",
    "profile_id": "365072220160000003",
    "kind": "github.sync",
    "queue": "github",
    "state": "queued",
    "priority": 0,
    "attempt": 1,
    "failures": 1,
    "max_attempts": 10,
    "run_at": "2026-05-01T09:30:04Z",
    "created_at": "2026-05-01T09:30:00Z",
    "started_at": "2026-05-01T09:30:00Z",
    "finished_at": None,
    "cancel_requested": False,
    "progress": None,
    "last_error": "took longer than 60 s",
}
_PATHS: Final = {"job_id": "The id of a job."}
_LIST: Final = Doc(
    id="listJobs",
    summary="List jobs",
    tag="Jobs",
    description="Jobs of the caller's tenant, or of one profile that the caller is a member of, newest first. "
    "Finished jobs are deleted after some days. The engine's own jobs are not listed.",
    query=(
        *PAGE,
        Parameter("state", "Only jobs in this state.", JobState, "dead"),
        Parameter(
            "kind",
            "Only jobs of this kind.",
            Annotated[str, msgspec.Meta(pattern=f"^{KIND.pattern}$")],
            "github.sync",
        ),
        Parameter("profile", "Only jobs of this profile.", Id),
    ),
    responses={
        200: ResponseDoc(
            "A page of jobs.",
            ListResponse[JobResponse],
            {"items": [JOB_EXAMPLE], "next_cursor": None},
        )
    },
    errors=(404,),
)
_READ: Final = Doc(
    id="readJob",
    summary="Read a job",
    tag="Jobs",
    description="A job of the caller's tenant, or of a profile that the caller is a member of.",
    responses={200: ResponseDoc("The job.", JobResponse, JOB_EXAMPLE)},
    paths=_PATHS,
)
_RETRY: Final = Doc(
    id="retryJob",
    summary="Retry a job",
    tag="Jobs",
    description="A dead or cancelled job starts afresh; a job that waits after a failure runs now. Other jobs: "
    "409.",
    responses={200: ResponseDoc("The job.", JobResponse, JOB_EXAMPLE)},
    errors=(409,),
    paths=_PATHS,
)
_CANCEL: Final = Doc(
    id="cancelJob",
    summary="Cancel a job",
    tag="Jobs",
    description="A queued job is cancelled at once; a running job is stopped within seconds, unless it ends "
    "before. 409 if it has ended already.",
    responses={200: ResponseDoc("The job.", JobResponse, JOB_EXAMPLE | {"state": "cancelled"})},
    errors=(409,),
    paths=_PATHS,
)
