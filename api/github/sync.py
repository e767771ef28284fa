"""`/v1/links/{id}/github-sync`: GitHub's facts of a link's repository, and a request for new ones."""

from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Response

from api.github.bodies import ReleaseResponse, SyncResponse
from api.http.auth import current_caller
from api.http.bodies import json_response, utc
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from api.jobs.jobs import JOB_EXAMPLE, JobResponse, job_response
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.github.ports import LinkSyncStore
from engine.github.repository import LinkSync, RepositoryFacts, parse_repository_url
from engine.links.ports import ProfileStore


class SyncRequestedResponse(JobResponse, frozen=True, kw_only=True):
    """The job that synchronises the link, and the state of the link's synchronisation."""

    github: SyncResponse


class GithubSyncRoutes:
    """Routes of the synchronisation. `github_host` is the host of repositories' pages."""

    def __init__(self, profiles: ProfileStore, store: LinkSyncStore, github_host: str) -> None:
        self._profiles = profiles
        self._store = store
        self._host = github_host

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v1/links/<link_id>/github-sync", self.read, _READ),
            Route("POST", "/v1/links/<link_id>/github-sync", self.request, _REQUEST),
        ]

    async def read(self, link_id: str) -> Response:
        refuse_parameters()
        sync = await self._store.github_sync(current_caller(), path_id(link_id))
        if sync is None:
            raise NotFoundError("this link is not synchronised with GitHub")
        return json_response(sync_response(sync))

    async def request(self, link_id: str) -> Response:
        refuse_parameters()
        link = await self._profiles.link(current_caller(), path_id(link_id))
        if parse_repository_url(link.target, self._host) is None:
            reason = f"must be a repository, such as https://{self._host}/owner/name"
            raise InvalidError([FieldError("target", reason)])
        sync, job = await self._store.request_github_sync(current_caller(), link.id)
        response = SyncRequestedResponse(
            github=sync_response(sync), **msgspec.structs.asdict(job_response(job))
        )
        return json_response(response, 202, {"Location": f"/v1/jobs/{job.id}"})


def sync_response(sync: LinkSync) -> SyncResponse:
    """Return the state of a link's synchronisation, as the API shows it."""
    return SyncResponse(
        state=sync.state,
        reason=sync.reason,
        synced_at=_utc(sync.synced_at),
        next_at=_utc(sync.next_at),
        **_fields(sync.facts),
    )


def _fields(facts: RepositoryFacts | None) -> dict[str, Any]:
    if facts is None:
        return {}
    fields = msgspec.structs.asdict(facts)
    del fields["full_name"]
    if facts.last_release is not None:
        tag, published = facts.last_release.tag, facts.last_release.published_at
        fields["last_release"] = ReleaseResponse(tag=tag, published_at=_utc(published))
    return fields


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else utc(time)


EXAMPLE: Final = {
    "state": "synced",
    "reason": "",
    "synced_at": "2026-05-01T09:31:02Z",
    "next_at": "2026-05-01T14:07:11Z",
    "stars": 6500,
    "forks": 380,
    "language": "Python",
    "description": "Redirects and counts",
    "topics": ["analytics", "trio"],
    "last_release": {"tag": "v1.4.0", "published_at": "2026-02-27T19:35:32Z"},
    "licence": "MIT",
    "avatar_url": "https://avatars.githubusercontent.com/u/7?v=4",
    "archived": False,
    "renamed_to": None,
}
_READ: Final = Doc(
    id="readGithubSync",
    summary="Read GitHub's facts of a link's repository",
    tag="Links",
    description="404 also for a link that is not synchronised: it is not of kind `github`, and no call has "
    "requested a synchronisation.",
    responses={200: ResponseDoc("The state of its synchronisation.", SyncResponse, EXAMPLE)},
)
_REQUEST: Final = Doc(
    id="askGithubSync",
    summary="Synchronise a link with GitHub",
    tag="Links",
    description="For a link of kind `github` or `url` whose target is a repository; otherwise 422. At most "
    "once per minute and link (429), and not while a synchronisation is queued or running (409). If GitHub's "
    "rate limit is reached, the job waits until it resets.",
    responses={
        202: ResponseDoc(
            "A job synchronises the link.",
            SyncRequestedResponse,
            JOB_EXAMPLE | {"github": EXAMPLE | {"state": "queued"}},
            ("Location",),
        )
    },
    errors=(409,),
)
