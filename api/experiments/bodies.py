"""JSON bodies of experiments, with ids as strings and times as RFC 3339."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from api.http.bodies import Id, Version, draft_of, utc
from api.http.query import parsed_id
from engine.common.drafts import StandIn
from engine.common.errors import FieldError, InvalidError
from engine.experiments.analysis import Analysis
from engine.experiments.experiment import (
    ATTRIBUTION_HOURS,
    DEFAULT_ATTRIBUTION_HOURS,
    MAX_VARIANTS,
    MIN_VARIANTS,
    Experiment,
    ExperimentDraft,
    ExperimentKind,
    ExperimentState,
    Goal,
    Namespace,
    StoredExperiment,
    Targeting,
    Variant,
    validate_draft,
)
from engine.links.targets.target_policy import RefusedTargets
from engine.pages.blocks import BlockId

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

Weight = Annotated[
    float, msgspec.Meta(ge=0, description="0 or more; if their sum is not about 1, all are equal")
]


class VariantBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant; the first is the control. In an experiment of the kind destination it has a `target`, which
    may be missing until the start; in one of the kind page, a `title`, `picture` (id of an asset), `position`
    or `style` of the link or block (null: as without the experiment)."""

    name: str
    weight: Weight
    target: str = ""
    title: str | None = None
    picture: str | None = None
    position: int | None = None
    style: str | None = None


class TargetingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The visitors that take part; an empty list means all."""

    countries: list[str] = []
    devices: list[str] = []
    languages: list[str] = []


class NamespaceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The experiment's part [low, high) of a namespace: a visitor is in at most one of its experiments."""

    id: str
    low: float
    high: float


class ExperimentBody(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment to create."""

    name: Annotated[str, StandIn("")]
    kind: Annotated[ExperimentKind, msgspec.Meta(description="the thing that varies"), StandIn("")]
    variants: Annotated[
        list[VariantBody],
        msgspec.Meta(description=f"{MIN_VARIANTS} to {MAX_VARIANTS}"),
        StandIn(()),
    ]
    link_id: Id | None = None
    block_id: BlockId | None = None
    coverage: Annotated[float, msgspec.Meta(ge=0, le=1, description="share of traffic")] = 1.0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    targeting: TargetingBody = TargetingBody()
    namespace: NamespaceBody | None = None
    cookie: Annotated[
        bool, msgspec.Meta(description="recognise visitors by a first-party cookie")
    ] = False
    goal: Annotated[
        Goal,
        msgspec.Meta(description="for the kind page: a click on the tested link, or on any link"),
    ] = "link"
    attribution_hours: Annotated[
        int, msgspec.Meta(ge=ATTRIBUTION_HOURS[0], le=ATTRIBUTION_HOURS[-1])
    ] = DEFAULT_ATTRIBUTION_HOURS
    analysis: Analysis = Analysis()


class ExperimentResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment as the API shows it. `winner` is the name of a variant once the experiment is decided."""

    id: Id
    profile_id: Id
    name: str
    kind: ExperimentKind
    state: ExperimentState
    variants: list[VariantBody]
    link_id: Id | None
    block_id: str | None
    coverage: float
    starts_at: datetime | None
    ends_at: datetime | None
    targeting: TargetingBody
    namespace: NamespaceBody | None
    cookie: bool
    goal: Goal
    attribution_hours: int
    analysis: Analysis
    phase: Annotated[int, msgspec.Meta(ge=1)]
    winner: str | None
    started_at: datetime | None
    ended_at: datetime | None
    mismatch_at: datetime | None
    version: Version
    created_at: datetime
    updated_at: datetime


class TargetRules(NamedTuple):
    """Rules of links' targets, which those of variants keep to, too."""

    private_hosts: bool
    visitors_url: str
    policy: Callable[[], RefusedTargets]


def draft(
    body: Mapping[str, Any], stored: StoredExperiment | None, rules: TargetRules
) -> ExperimentDraft:
    """Return the validated draft of a body. Fields that the body leaves out come from `stored`.

    Raises InvalidError.
    """
    base: Mapping[str, Any] = {}
    if stored is not None:
        response = experiment_response(stored)
        base = {field: getattr(response, field) for field in ExperimentBody.__struct_fields__}
    parsed = draft_of(ExperimentBody, body, partial(_validate, rules=rules), base)
    normalised, _ = _checked(parsed, rules)
    assert normalised is not None  # draft_of() has validated it
    known = frozenset(v.target for v in stored.experiment.variants) if stored else frozenset()
    errors = [
        FieldError(f"variants.{number}.target", reason)
        for number, variant in enumerate(normalised.variants)
        if variant.target not in known
        and (reason := rules.policy().reason(variant.target)) is not None
    ]
    if errors:
        raise InvalidError(errors)
    return normalised


def _checked(
    body: ExperimentBody, rules: TargetRules
) -> tuple[ExperimentDraft | None, list[FieldError]]:
    return validate_draft(
        _draft(body), private_hosts=rules.private_hosts, visitors_url=rules.visitors_url
    )


def _validate(
    body: ExperimentBody, *, rules: TargetRules
) -> tuple[ExperimentBody | None, list[FieldError]]:
    errors = _id_errors(body)
    errors += [
        FieldError(f"{name}_at", "must have a time zone, as in 2026-12-31T00:00:00Z")
        for name in ("starts", "ends")
        if (at := getattr(body, f"{name}_at")) is not None and at.tzinfo is None
    ]
    if errors:
        return None, errors
    normalised, errors = _checked(body, rules)
    errors = [error._replace(field=_FIELDS.get(error.field, error.field)) for error in errors]
    return (None if normalised is None else body), errors


_FIELDS: Final = {"starts_at_ms": "starts_at", "ends_at_ms": "ends_at"}


def _id_errors(body: ExperimentBody) -> list[FieldError]:
    if body.link_id is None or parsed_id(body.link_id) is not None:
        return []
    return [FieldError("link_id", "must be an id")]


def _draft(body: ExperimentBody) -> ExperimentDraft:
    group = body.namespace
    return ExperimentDraft(
        name=body.name,
        kind=body.kind,
        variants=tuple(Variant(**fields_of(variant)) for variant in body.variants),
        link_id=_number(body.link_id),
        block_id=body.block_id,
        coverage=body.coverage,
        starts_at_ms=_ms(body.starts_at),
        ends_at_ms=_ms(body.ends_at),
        targeting=Targeting(**{n: tuple(v) for n, v in fields_of(body.targeting).items()}),
        namespace=None if group is None else Namespace(id=group.id, low=group.low, high=group.high),
        cookie=body.cookie,
        goal=body.goal,
        attribution_hours=body.attribution_hours,
        analysis=body.analysis,
    )


def experiment_response(stored: StoredExperiment) -> ExperimentResponse:
    experiment = stored.experiment
    group = experiment.namespace
    return ExperimentResponse(
        id=str(experiment.id),
        profile_id=str(stored.profile_id),
        name=experiment.name,
        kind=experiment.kind,
        state=experiment.state,
        variants=[variant_response(variant) for variant in experiment.variants],
        link_id=_text(experiment.link_id),
        block_id=experiment.block_id,
        coverage=experiment.coverage,
        starts_at=_time(experiment.starts_at_ms),
        ends_at=_time(experiment.ends_at_ms),
        targeting=TargetingBody(
            **{name: list(values) for name, values in fields_of(experiment.targeting).items()}
        ),
        namespace=None
        if group is None
        else NamespaceBody(id=group.id, low=group.low, high=group.high),
        cookie=experiment.cookie,
        goal=experiment.goal,
        attribution_hours=experiment.attribution_hours,
        analysis=experiment.analysis,
        phase=experiment.phase,
        winner=winner_of(experiment),
        started_at=stored.started_at and utc(stored.started_at),
        ended_at=stored.ended_at and utc(stored.ended_at),
        mismatch_at=stored.mismatch_at and utc(stored.mismatch_at),
        version=stored.version,
        created_at=utc(stored.created_at),
        updated_at=utc(stored.updated_at),
    )


def variant_response(variant: Variant) -> VariantBody:
    return VariantBody(**fields_of(variant))


def winner_of(experiment: Experiment) -> str | None:
    return None if experiment.winner is None else experiment.variants[experiment.winner].name


def fields_of(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _number(text: str | None) -> int | None:
    return None if text is None else parsed_id(text)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else round((at - _EPOCH) / _MILLISECOND)


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else _EPOCH + ms * _MILLISECOND


EXAMPLE_VARIANTS: Final = [
    {"name": "control", "weight": 0.5, "target": "https://example.com/spring"},
    {"name": "video", "weight": 0.5, "target": "https://example.com/spring-video"},
]
_NOTHING: Final = {"title": None, "picture": None, "position": None, "style": None}
EXAMPLE: Final[dict[str, Any]] = {
    "id": "365072220160000021",
    "profile_id": "365072220160000001",
    "name": "Spring video",
    "kind": "destination",
    "state": "draft",
    "variants": [variant | _NOTHING for variant in EXAMPLE_VARIANTS],
    "link_id": "365072220160000002",
    "block_id": None,
    "coverage": 1.0,
    "starts_at": None,
    "ends_at": None,
    "targeting": {"countries": [], "devices": [], "languages": []},
    "namespace": None,
    "cookie": False,
    "goal": "link",
    "attribution_hours": 168,
    "analysis": {
        "alpha": 0.05,
        "margin": 0.0,
        "min_visitors": 0,
        "tuning_visitors": 5000,
        "on_decision": "none",
        "horizon": None,
        "bandit": None,
    },
    "phase": 1,
    "winner": None,
    "started_at": None,
    "ended_at": None,
    "mismatch_at": None,
    "version": 1,
    "created_at": "2026-05-01T09:31:00Z",
    "updated_at": "2026-05-01T09:31:00Z",
}
