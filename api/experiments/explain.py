"""`/v1/experiments/{id}/explain` and `/preview`: reasons of an assignment, and URLs of variants."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import Url, json_response, utc
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError
from engine.experiments import assignment
from engine.experiments.assignment import AssignmentContext, AssignmentReason, hash_key
from engine.experiments.experiment import EdgeExperiment, Experiment
from engine.experiments.ports import ExperimentStore
from engine.links import name
from engine.links.ports import ProfileStore
from engine.links.slugs.link_path import link_path
from engine.visits.client_address import packed_network, parse_address
from engine.visits.edge_assignment import preview_token

MAX_TEXT: Final = 512
PREVIEW: Final = timedelta(days=1)


class ExplainResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment and its reason. `bucket` is the visitor's hash bucket, null if the reason needed none;
    `key` is the visitor's hash key."""

    variant: str | None
    reason: AssignmentReason
    exposed: bool
    bucket: float | None
    key: str
    sentence: str


class PreviewResponse(msgspec.Struct, frozen=True):
    """A URL that shows the variant until it expires. Its visits do not count in the experiment."""

    variant: str
    url: Url
    expires_at: datetime


class ExplainRoutes:
    """Routes of explanations and previews. `now` returns an aware time."""

    def __init__(
        self,
        store: ExperimentStore,
        profiles: ProfileStore,
        visitors_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._profiles = profiles
        self._visitors_url = visitors_url
        self._now = now

    def routes(self) -> list[Route]:
        path = "/v1/experiments/<experiment_id>"
        return [
            Route("GET", f"{path}/explain", self.explain, _EXPLAIN),
            Route("GET", f"{path}/preview", self.preview, _PREVIEW),
        ]

    async def explain(self, experiment_id: str) -> Response:
        query, errors = parameters(*_PARAMETERS)
        for field, text in query.items():
            if len(text) > MAX_TEXT:
                errors.append(FieldError(field, f"must have at most {MAX_TEXT} characters"))
        identity = _identity(query, errors)
        if errors:
            raise InvalidError(errors)
        edge = await self._store.edge_experiment(current_caller(), path_id(experiment_id))
        context = _context(edge, query, identity, round(self._now().timestamp() * 1000))
        result = assignment.assign(edge.experiment, context)
        return json_response(
            ExplainResponse(
                variant=_name(edge.experiment, result.variant),
                reason=result.reason,
                exposed=result.exposed,
                bucket=result.bucket,
                key=context.hash_key,
                sentence=assignment.explain(edge.experiment, context),
            )
        )

    async def preview(self, experiment_id: str) -> Response:
        query, errors = parameters("variant")
        edge = await self._store.edge_experiment(current_caller(), path_id(experiment_id))
        experiment = edge.experiment
        names = [variant.name for variant in experiment.variants]
        variant = query.get("variant", "")
        if variant not in names:
            errors.append(FieldError("variant", f"must be one of {', '.join(names)}"))
        if errors:
            raise InvalidError(errors)
        expires_at = utc(self._now() + PREVIEW).replace(microsecond=0)
        token = preview_token(edge, names.index(variant), round(expires_at.timestamp()))
        stored = await self._store.experiment(current_caller(), experiment.id)
        profile = await self._profiles.profile(current_caller(), stored.profile_id)
        path = name.encode_path(f"@{profile.handle}")
        if experiment.kind == "destination" and experiment.link_id is not None:
            link = await self._profiles.link(current_caller(), experiment.link_id)
            path = link_path(profile.handle, link.slug)
        url = f"{self._visitors_url}{path.decode('ascii')}?wp_variant={token}"
        return json_response(PreviewResponse(variant, url, expires_at))


def _identity(query: dict[str, str], errors: list[FieldError]) -> bytes | None:
    """Return the network and user agent that identify the visitor, or None if the query has their hash key."""
    if ("key" in query) == ("address" in query):
        errors.append(FieldError("key", "must be given without address, or address without key"))
        return None
    if "key" in query:
        return None
    if parse_address(query["address"]) is None:
        errors.append(FieldError("address", "must be an IP address"))
        return None
    agent = query.get("user_agent", "").encode()[:255]
    return packed_network(parse_address(query["address"]) or "") + agent


def _context(
    edge: EdgeExperiment, query: dict[str, str], identity: bytes | None, at_ms: int
) -> AssignmentContext:
    if identity is None:
        key = namespace_key = query["key"]
    else:
        key = hash_key(edge.secret, identity)
        namespace_key = hash_key(edge.namespace_secret, identity) if edge.namespace_secret else ""
    return AssignmentContext(
        hash_key=key,
        at_ms=at_ms,
        namespace_key=namespace_key,
        country=query.get("country", ""),
        device=query.get("device", ""),
        language=query.get("language", ""),
        forced=query.get("variant"),
    )


def _name(experiment: Experiment, number: int | None) -> str | None:
    return None if number is None else experiment.variants[number].name


_PARAMETERS: Final = (
    "key", "address", "user_agent", "country", "device", "language", "variant",
)  # fmt: skip
_TAG: Final = "Experiments"
_EXPLAIN: Final = Doc(
    id="explainExperiment",
    summary="Explain a visitor's variant",
    tag=_TAG,
    description="The visitor is identified by address and user agent, which are neither stored nor logged, or "
    "by their hash key (for a cookie: its keyed hash). Takes the role editor.",
    query=(
        Parameter("key", "The visitor's hash key, as a response of this call names it."),
        Parameter("address", "The visitor's IP address.", example="203.0.113.7"),
        Parameter("user_agent", "The visitor's user agent."),
        Parameter("country", "An ISO 3166-1 code.", example="IT"),
        Parameter("device", "A class of device.", example="phone"),
        Parameter("language", "A primary subtag.", example="it"),
        Parameter("variant", "The variant of a preview."),
    ),
    responses={
        200: ResponseDoc(
            "The variant, and why.",
            ExplainResponse,
            {
                "variant": "video",
                "reason": "assigned",
                "exposed": True,
                "bucket": 0.7311,
                "key": "0d7c1a25c9a1b0f3",
                "sentence": "The visitor is in variant video by hash bucket 0.7311 of phase 1.",
            },
        )
    },
)
_PREVIEW: Final = Doc(
    id="previewExperiment",
    summary="Preview a variant",
    tag=_TAG,
    description="Returns a URL that shows the variant for a day, in any state but archived. Its visits are "
    "counted as clicks, but not in the experiment. Takes the role editor.",
    query=(Parameter("variant", "The variant's name.", example="video"),),
    responses={
        200: ResponseDoc(
            "The URL.",
            PreviewResponse,
            {
                "variant": "video",
                "url": "https://go.example/ada/spring?wp_variant=365072220160000021-1-1777716060-Zk3v8QmW",
                "expires_at": "2026-05-02T10:01:00Z",
            },
        )
    },
)
