"""`/v1/experiments/{id}/explain` and `/preview`: why a visitor gets what they get, and what others do."""

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
from engine.visits.client_address import packed_network, parse_address
from engine.visits.edge_assignment import preview_token

MAX_TEXT: Final = 512
PREVIEW: Final = timedelta(days=1)


class ExplainResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`bucket` is the position that was hashed, null where it did not come to that."""

    variant: str | None
    reason: AssignmentReason
    exposed: bool
    bucket: float | None
    key: str
    sentence: str


class PreviewResponse(msgspec.Struct, frozen=True):
    """Whoever has the URL sees the variant until it expires, and does not count."""

    variant: str
    url: Url
    expires_at: datetime


class ExplainRoutes:
    """`now` is the clock: aware."""

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
        one = "/v1/experiments/<experiment_id>"
        return [
            Route("GET", f"{one}/explain", self.explain, _EXPLAIN),
            Route("GET", f"{one}/preview", self.preview, _PREVIEW),
        ]

    async def explain(self, experiment_id: str) -> Response:
        given, errors = parameters(*_EXPLAINED)
        for field, text in given.items():
            if len(text) > MAX_TEXT:
                errors.append(FieldError(field, f"must have at most {MAX_TEXT} characters"))
        who = _who(given, errors)
        if errors:
            raise InvalidError(errors)
        edge = await self._store.edge_experiment(current_caller(), path_id(experiment_id))
        context = _context(edge, given, who, round(self._now().timestamp() * 1000))
        found = assignment.assign(edge.experiment, context)
        return json_response(
            ExplainResponse(
                variant=_name(edge.experiment, found.variant),
                reason=found.reason,
                exposed=found.exposed,
                bucket=found.bucket,
                key=context.hash_key,
                sentence=assignment.explain(edge.experiment, context),
            )
        )

    async def preview(self, experiment_id: str) -> Response:
        given, errors = parameters("variant")
        edge = await self._store.edge_experiment(current_caller(), path_id(experiment_id))
        experiment = edge.experiment
        names = [variant.name for variant in experiment.variants]
        wanted = given.get("variant", "")
        if wanted not in names:
            errors.append(FieldError("variant", f"must be one of {', '.join(names)}"))
        if errors:
            raise InvalidError(errors)
        expires_at = utc(self._now() + PREVIEW).replace(microsecond=0)
        token = preview_token(edge, names.index(wanted), round(expires_at.timestamp()))
        stored = await self._store.experiment(current_caller(), experiment.id)
        profile = await self._profiles.profile(current_caller(), stored.profile_id)
        keys = [f"@{profile.handle}"]
        if experiment.kind == "destination" and experiment.link_id is not None:
            keys = [
                profile.handle,
                (await self._profiles.link(current_caller(), experiment.link_id)).slug,
            ]
        path = name.encode_path(*keys).decode("ascii")
        url = f"{self._visitors_url}{path}?wp_variant={token}"
        return json_response(PreviewResponse(wanted, url, expires_at))


def _who(given: dict[str, str], errors: list[FieldError]) -> bytes | None:
    """What tells the visitor; None when their key is given itself."""
    if ("key" in given) == ("address" in given):
        errors.append(FieldError("key", "or address must say who it is, and one of them only"))
        return None
    if "key" in given:
        return None
    if parse_address(given["address"]) is None:
        errors.append(FieldError("address", "is not an IP address"))
        return None
    agent = given.get("user_agent", "").encode()[:255]
    return packed_network(parse_address(given["address"]) or "") + agent


def _context(
    edge: EdgeExperiment, given: dict[str, str], who: bytes | None, at_ms: int
) -> AssignmentContext:
    if who is None:
        key = group = given["key"]
    else:
        key = hash_key(edge.secret, who)
        group = hash_key(edge.namespace_secret, who) if edge.namespace_secret else ""
    return AssignmentContext(
        hash_key=key,
        at_ms=at_ms,
        namespace_key=group,
        country=given.get("country", ""),
        device=given.get("device", ""),
        language=given.get("language", ""),
        forced=given.get("variant"),
    )


def _name(experiment: Experiment, arm: int | None) -> str | None:
    return None if arm is None else experiment.variants[arm].name


_EXPLAINED: Final = (
    "key", "address", "user_agent", "country", "device", "language", "variant",
)  # fmt: skip
_TAG: Final = "Experiments"
_EXPLAIN: Final = Doc(
    id="explainExperiment",
    summary="Explain what a visitor gets",
    tag=_TAG,
    description="By their address and user agent, which are neither stored nor logged, or by their key itself "
    "(as of a cookie: its keyed hash). Takes the role editor.",
    query=(
        Parameter("key", "The visitor's key, as an answer of this call names it."),
        Parameter("address", "The visitor's IP address.", example="203.0.113.7"),
        Parameter("user_agent", "The visitor's user agent."),
        Parameter("country", "An ISO 3166-1 code.", example="IT"),
        Parameter("device", "A class of device.", example="phone"),
        Parameter("language", "A primary subtag.", example="it"),
        Parameter("variant", "A variant that a preview asks for."),
    ),
    responses={
        200: ResponseDoc(
            "What they get, and why.",
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
    description="A URL that shows it for a day, in any state but archived. Visits by it are counted as clicks, "
    "not in the experiment. Takes the role editor.",
    query=(Parameter("variant", "The variant's name.", example="video"),),
    responses={
        200: ResponseDoc(
            "Where to look.",
            PreviewResponse,
            {
                "variant": "video",
                "url": "https://go.example/ada/spring?wp_variant=365072220160000021-1-1777716060-…",
                "expires_at": "2026-05-02T10:01:00Z",
            },
        )
    },
)
