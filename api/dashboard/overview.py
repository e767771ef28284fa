"""`/v1/profiles/{id}/overview`: things that need a profile's team, and its experiment, in one answer.

Without it a dashboard's first screen would ask seven times, when it is opened and every two minutes.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from quart import Response

from api.experiments.bodies import EXAMPLE as EXPERIMENT_EXAMPLE
from api.experiments.bodies import ExperimentResponse, experiment_response
from api.experiments.results import (
    RESULTS_EXAMPLE,
    SERIES_EXAMPLE,
    SeriesResponse,
    results_of,
    series_of,
)
from api.http.auth import current_caller
from api.http.bodies import Id, json_response, utc
from api.http.query import path_id, refuse_parameters
from api.http.routes import Doc, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.accounts.ports import InvitationStore
from engine.common.errors import ForbiddenError
from engine.experiments.experiment import StoredExperiment
from engine.experiments.ports import ExperimentStore
from engine.experiments.results import Results
from engine.jobs.job import JobFilter
from engine.jobs.ports import JobStore
from engine.links.health import LinkHealth
from engine.links.link_query import LinkQuery
from engine.links.ports import ProfileStore
from engine.webhooks.ports import WebhookStore

MAX_EACH: Final = 20
MAX_READ: Final = 100  # webhooks, experiments and invitations that are looked through
SERIES_POINTS: Final = 60
# States of experiments that have results, that of most interest first.
_STATES: Final = ("running", "paused", "decided")


class BrokenLink(msgspec.Struct, frozen=True):
    id: Id
    slug: str
    title: str
    health: LinkHealth


class FailingWebhook(msgspec.Struct, frozen=True):
    """A webhook that was disabled, with the reason, or that rests: nothing was taken since `failing_since`."""

    id: Id
    url: str
    disabled_reason: str | None
    failing_since: datetime | None


class DecidedExperiment(msgspec.Struct, frozen=True):
    id: Id
    name: str
    ended_at: datetime


class OpenInvitation(msgspec.Struct, frozen=True):
    id: Id
    email: str
    expires_at: datetime


class DeadJob(msgspec.Struct, frozen=True):
    id: Id
    kind: str
    failures: Annotated[int, msgspec.Meta(ge=0)]


class ExperimentOverview(msgspec.Struct, frozen=True):
    """An experiment with the results of its current phase, and their series."""

    experiment: ExperimentResponse
    results: Results
    series: SeriesResponse


class OverviewResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Things that need somebody, at most 20 of each; empty where the caller's role or key does not show them.

    `experiment` is the one that runs, or else is paused, or was decided; of several the last one started.
    """

    broken_links: list[BrokenLink]
    failing_webhooks: list[FailingWebhook]
    invitations: list[OpenInvitation]
    dead_jobs: list[DeadJob]
    decided_experiments: list[DecidedExperiment]
    experiment: ExperimentOverview | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewDeps:
    profiles: ProfileStore
    webhooks: WebhookStore
    invitations: InvitationStore
    jobs: JobStore
    experiments: ExperimentStore


class OverviewRoutes:
    def __init__(self, deps: OverviewDeps) -> None:
        self._deps = deps

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/profiles/<profile_id>/overview", self.read, _OVERVIEW)]

    async def read(self, profile_id: str) -> Response:
        refuse_parameters()
        caller, id_ = current_caller(), path_id(profile_id)
        await self._deps.profiles.profile(caller, id_)
        store = self._deps.experiments
        experiments = await store.list_experiments(caller, id_, 0, MAX_READ)
        return json_response(
            OverviewResponse(
                broken_links=await self._broken_links(caller, id_),
                failing_webhooks=await _if_shown(self._failing_webhooks(caller, id_)),
                invitations=await _if_shown(self._invitations(caller, id_)),
                dead_jobs=await _if_shown(self._dead_jobs(caller, id_)),
                decided_experiments=_decided(experiments.items),
                experiment=await self._experiment(caller, experiments.items),
            )
        )

    async def _broken_links(self, caller: Caller, profile_id: int) -> list[BrokenLink]:
        query = LinkQuery(health="broken")
        page = await self._deps.profiles.list_links(caller, profile_id, 0, MAX_EACH, query)
        return [BrokenLink(str(each.id), each.slug, each.title, each.health) for each in page.items]

    async def _failing_webhooks(self, caller: Caller, profile_id: int) -> list[FailingWebhook]:
        page = await self._deps.webhooks.list_webhooks(caller, profile_id, 0, MAX_READ)
        failing = [
            FailingWebhook(
                str(webhook.id),
                webhook.url,
                webhook.disabled_reason,
                None if webhook.failing_since is None else utc(webhook.failing_since),
            )
            for webhook in page.items
            if webhook.disabled_reason or (webhook.enabled and webhook.circuit_state != "closed")
        ]
        return failing[:MAX_EACH]

    async def _invitations(self, caller: Caller, profile_id: int) -> list[OpenInvitation]:
        page = await self._deps.invitations.list_invitations(caller, profile_id, 0, MAX_READ)
        invitations = sorted(page.items, key=lambda invitation: invitation.expires_at)
        return [
            OpenInvitation(str(each.id), each.email, utc(each.expires_at))
            for each in invitations[:MAX_EACH]
        ]

    async def _dead_jobs(self, caller: Caller, profile_id: int) -> list[DeadJob]:
        conditions = JobFilter("dead", None, profile_id)
        page = await self._deps.jobs.list_jobs(caller, conditions, 0, MAX_EACH)
        return [DeadJob(str(job.id), job.kind, job.failures) for job in page.items]

    async def _experiment(
        self, caller: Caller, experiments: list[StoredExperiment]
    ) -> ExperimentOverview | None:
        store = self._deps.experiments
        stored = _of_most_interest(experiments)
        if stored is None:
            return None
        return ExperimentOverview(
            experiment_response(stored),
            await results_of(store, caller, stored.id),
            await series_of(store, caller, stored.id, None, SERIES_POINTS),
        )


async def _if_shown(reading: Awaitable[list[Any]]) -> list[Any]:
    try:
        return await reading
    except ForbiddenError:
        return []


def _decided(experiments: list[StoredExperiment]) -> list[DecidedExperiment]:
    """Return the experiments that were decided and are not archived, the last one first."""
    decided = [
        DecidedExperiment(str(each.id), each.experiment.name, utc(each.ended_at))
        for each in experiments
        if each.experiment.state == "decided" and each.ended_at is not None
    ]
    return sorted(decided, key=lambda each: each.ended_at, reverse=True)[:MAX_EACH]


def _of_most_interest(experiments: list[StoredExperiment]) -> StoredExperiment | None:
    """Return the experiment of the first of _STATES that was started last, or None."""
    for state in _STATES:
        started = [
            (each.started_at, each.id, each)
            for each in experiments
            if each.experiment.state == state and each.started_at is not None
        ]
        if started:
            return max(started)[2]
    return None


_EXAMPLE: Final = {
    "broken_links": [
        {
            "id": "365072220160000002", "slug": "spring", "title": "Spring",
            "health": {"state": "broken", "status": 404, "reason": "answers 404",
                       "checked_at": "2026-05-01T09:30:00Z", "since": "2026-04-29T04:10:00Z"},
        }
    ],
    "failing_webhooks": [
        {"id": "365072220160000040", "url": "https://example.com/hook",
         "disabled_reason": "no delivery succeeded for 5 days",
         "failing_since": "2026-04-26T09:30:00Z"}
    ],
    "invitations": [
        {"id": "365072220160000050", "email": "bob@example.com",
         "expires_at": "2026-05-08T09:30:00Z"}
    ],
    "dead_jobs": [{"id": "365072220160000060", "kind": "github.sync", "failures": 10}],
    "decided_experiments": [
        {"id": "365072220160000070", "name": "Shop", "ended_at": "2026-04-30T09:30:00Z"}
    ],
    "experiment": {"experiment": EXPERIMENT_EXAMPLE, "results": RESULTS_EXAMPLE,
                   "series": SERIES_EXAMPLE},
}  # fmt: skip
_OVERVIEW: Final = Doc(
    id="readOverview",
    summary="Read what needs a profile's team",
    tag="Profiles",
    description="Broken links, webhooks that fail or were disabled, open invitations, jobs that gave up, "
    "decided experiments; and the experiment of most interest with its results.",
    responses={200: ResponseDoc("What needs somebody.", OverviewResponse, _EXAMPLE)},
)
