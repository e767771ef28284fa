"""An experiment: variants of a link's destination or of the page, and the rules of assignment.

**Changes while it runs.** Coverage may change: ranges keep their starts, so raising it moves no included
visitor, and lowering it excludes some but moves none from one variant to another. Weights and variants may
change too, but visitors may then see another variant, so that begins a new *phase*: it has a seed of its
own, every visitor is assigned anew, and exposures are counted by phase.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from engine.common.errors import ConflictError, FieldError, InvalidError
from engine.common.text_rules import text_errors
from engine.experiments import analysis as analyses
from engine.experiments.analysis import Analysis
from engine.experiments.bucketing import BucketRanges, hash_state, normalised, ranges
from engine.experiments.bucketing import bucket as bucket
from engine.experiments.bucketing import choose as choose
from engine.links import target
from engine.pages.blocks import LINK_STYLES

ExperimentKind = Literal["destination", "page"]
ExperimentState = Literal["draft", "running", "paused", "decided", "archived"]
Goal = Literal["link", "page"]
EXPERIMENT_KINDS: Final[tuple[str, ...]] = get_args(ExperimentKind)
GOALS: Final[tuple[str, ...]] = get_args(Goal)
DEVICES: Final = ("desktop", "phone", "tablet", "tv", "console", "other")
TRANSITIONS: Final[Mapping[ExperimentState, tuple[ExperimentState, ...]]] = {
    "draft": ("running", "archived"),
    "running": ("paused", "decided"),
    "paused": ("running", "decided", "archived"),
    "decided": ("archived",),
    "archived": (),
}

MIN_VARIANTS: Final = 2
MAX_VARIANTS: Final = 10
MAX_NAME_CHARS: Final = 64
_ASSET_ID: Final = re.compile("[A-Za-z0-9_-]{8,64}")
MAX_POSITION: Final = 10_000
MAX_TARGETED: Final = 300
ATTRIBUTION_HOURS: Final = range(1, 30 * 24 + 1)
DEFAULT_ATTRIBUTION_HOURS: Final = 7 * 24
MAX_EXPERIMENTS: Final = 100  # of one profile, archived ones not counted


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A variant. `target` is for a destination; the other fields are for a page, None for no change: `picture`
    is the id of an asset, `style` a link's (engine/pages/blocks.py).
    """

    name: str
    weight: float
    target: str = ""
    title: str | None = None
    picture: str | None = None
    position: int | None = None
    style: str | None = None


class Targeting(msgspec.Struct, frozen=True, kw_only=True):
    """The visitors that an experiment is for; an empty list means all.

    `countries` are ISO 3166-1 codes in capitals, `languages` BCP 47 primary subtags in small letters.
    """

    countries: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """The part `[low, high)` of a mutually exclusive group: one visitor is in one part at most."""

    id: str
    low: float
    high: float


class ExperimentDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment to be created or changed to; validate_draft() checks and normalises it.

    `starts_at_ms` and `ends_at_ms` are Unix times in milliseconds, the end excluded. `goal` says what
    converts a visitor of the page: a click on the experiment's link (any link, if the subject is a block),
    or on any. `attribution_hours` is how long after its click a conversion counts for a destination.
    """

    name: str
    kind: ExperimentKind
    variants: tuple[Variant, ...]
    link_id: int | None = None
    block_id: str | None = None
    coverage: float = 1.0
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None
    targeting: Targeting = Targeting()
    namespace: Namespace | None = None
    cookie: bool = False
    goal: Goal = "link"
    attribution_hours: int = DEFAULT_ATTRIBUTION_HOURS
    analysis: Analysis = Analysis()


class Experiment(ExperimentDraft, frozen=True, kw_only=True, dict=True):
    """An experiment with its state. `seed` is drawn once; `phase` counts from 1; `winner` is an index once
    decided."""

    id: int
    seed: str
    state: ExperimentState = "draft"
    phase: int = 1
    winner: int | None = None

    @property
    def phase_seed(self) -> str:
        """Return the seed of this phase, with which hash keys are hashed."""
        return f"{self.seed}:{self.phase}"

    @cached_property
    def prepared(self) -> "PreparedExperiment":
        """Return the experiment made ready for assignment, computed once."""
        namespace = self.namespace
        return PreparedExperiment(
            hash_state(self.phase_seed),
            ranges(self.weights, self.coverage),
            None
            if namespace is None
            else (hash_state(f"__{namespace.id}"), namespace.low, namespace.high),
            frozenset(self.targeting.countries),
            frozenset(self.targeting.devices),
            frozenset(self.targeting.languages),
        )

    @property
    def weights(self) -> list[float]:
        return [variant.weight for variant in self.variants]


class StoredExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment of a profile. `mismatch_at` is the time of the first sample-ratio mismatch."""

    experiment: Experiment
    profile_id: int
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    mismatch_at: datetime | None = None

    @property
    def id(self) -> int:
        return self.experiment.id


class EdgeExperiment(msgspec.Struct, frozen=True):
    """An experiment as edges need it: with the secrets that make hash keys, its own and its namespace's
    (empty without a namespace)."""

    experiment: Experiment
    secret: bytes
    namespace_secret: bytes = b""


class PreparedExperiment(NamedTuple):
    """An experiment made ready for assignment. `namespace` is (hash state, low, high)."""

    seed_state: int
    ranges: BucketRanges
    namespace: tuple[int, float, float] | None
    countries: frozenset[str]
    devices: frozenset[str]
    languages: frozenset[str]


def validate_draft(
    draft: ExperimentDraft, *, private_hosts: bool = True, visitors_url: str = ""
) -> tuple[ExperimentDraft | None, list[FieldError]]:
    """Return the normalised draft and no errors, or None and every error.

    Weights become shares of their sum. Targets of a destination may be missing:
    with_state() requires them at the start. None may lead back to `visitors_url`, if it is known.
    """
    errors = _name_errors(draft.name, "name")
    if draft.kind not in EXPERIMENT_KINDS:
        errors.append(FieldError("kind", f"must be one of {', '.join(EXPERIMENT_KINDS)}"))
    errors += _subject_errors(draft) + _schedule_errors(draft)
    if not 0 <= draft.coverage <= 1:
        errors.append(FieldError("coverage", "must be a number from 0 to 1"))
    errors += _targeting_errors(draft.targeting)
    if draft.namespace is not None:
        errors += _namespace_errors(draft.namespace)
    errors += _goal_errors(draft) + analyses.errors(draft.analysis, len(draft.variants))
    variants, variant_errors = _validate_variants(draft, private_hosts)
    errors += variant_errors
    errors += [
        FieldError(f"variants.{number}.target", target.LOOP_REASON)
        for number, variant in enumerate(variants)
        if target.leads_back(variant.target, visitors_url)
    ]
    if errors:
        return None, errors
    return msgspec.structs.replace(draft, variants=variants), []


def _validate_variants(
    draft: ExperimentDraft, private_hosts: bool
) -> tuple[tuple[Variant, ...], list[FieldError]]:
    variants = draft.variants
    if not MIN_VARIANTS <= len(variants) <= MAX_VARIANTS:
        reason = f"must be {MIN_VARIANTS} to {MAX_VARIANTS}"
        return variants, [FieldError("variants", reason)]
    errors: list[FieldError] = []
    valid = []
    for number, variant in enumerate(variants):
        normalised_variant, variant_errors = _validate_variant(
            variant, draft.kind, f"variants.{number}", private_hosts
        )
        valid.append(normalised_variant)
        errors += variant_errors
    names = [variant.name for variant in variants]
    for number, name in enumerate(names):
        if name in names[:number]:
            errors.append(
                FieldError(f"variants.{number}.name", "must not be the name of another variant")
            )
    if not any(variant.weight for variant in variants):
        errors.append(FieldError("variants", "must not all have a weight of 0"))
    if errors:
        return variants, errors
    weights = normalised([variant.weight for variant in valid])
    return tuple(
        msgspec.structs.replace(variant, weight=weight)
        for variant, weight in zip(valid, weights, strict=True)
    ), []


def _validate_variant(
    variant: Variant, kind: ExperimentKind, field: str, private_hosts: bool
) -> tuple[Variant, list[FieldError]]:
    errors = _name_errors(variant.name, f"{field}.name")
    if not (variant.weight >= 0 and math.isfinite(variant.weight)):
        errors.append(FieldError(f"{field}.weight", "must be a number of 0 or more"))
    url = variant.target
    if kind == "page":
        errors += _page_errors(variant, field)
    elif (variant.title, variant.picture, variant.position, variant.style) != (None,) * 4:
        errors.append(
            FieldError(field, "must have only a target in an experiment on a destination")
        )
    elif url:
        try:
            url = target.check(url, private_hosts=private_hosts, max_chars=target.MAX_URL_CHARS)
        except target.TargetError as error:
            errors.append(FieldError(f"{field}.target", str(error)))
    return msgspec.structs.replace(variant, target=url), errors


def _page_errors(variant: Variant, field: str) -> list[FieldError]:
    errors = []
    if variant.target:
        errors.append(FieldError(f"{field}.target", "must be empty in an experiment on the page"))
    if variant.title is not None:
        errors += text_errors(variant.title, f"{field}.title", MAX_NAME_CHARS * 4)
    if variant.position is not None and not 0 <= variant.position <= MAX_POSITION:
        errors.append(FieldError(f"{field}.position", f"must be from 0 to {MAX_POSITION}"))
    if variant.picture is not None and _ASSET_ID.fullmatch(variant.picture) is None:
        errors.append(FieldError(f"{field}.picture", "must be the id of an asset of the profile"))
    if variant.style is not None and variant.style not in LINK_STYLES:
        errors.append(FieldError(f"{field}.style", f"must be one of {', '.join(LINK_STYLES)}"))
    return errors


def _subject_errors(draft: ExperimentDraft) -> list[FieldError]:
    if draft.kind == "destination":
        if draft.link_id is None or draft.block_id is not None:
            return [FieldError("link_id", "must be the link whose target the experiment varies")]
    elif (draft.link_id is None) == (draft.block_id is None):
        return [FieldError("link_id", "must be given, or block_id, but not both")]
    return []


def _goal_errors(draft: ExperimentDraft) -> list[FieldError]:
    errors = []
    if draft.goal not in GOALS:
        errors.append(FieldError("goal", f"must be one of {', '.join(GOALS)}"))
    if draft.attribution_hours not in ATTRIBUTION_HOURS:
        reason = f"must be from {ATTRIBUTION_HOURS[0]} to {ATTRIBUTION_HOURS[-1]}"
        errors.append(FieldError("attribution_hours", reason))
    return errors


def _schedule_errors(draft: ExperimentDraft) -> list[FieldError]:
    start, end = draft.starts_at_ms, draft.ends_at_ms
    if start is not None and end is not None and end <= start:
        return [FieldError("ends_at_ms", "must be after the start")]
    return []


def _targeting_errors(targeting: Targeting) -> list[FieldError]:
    errors = []
    for field, values in (
        ("countries", targeting.countries),
        ("devices", targeting.devices),
        ("languages", targeting.languages),
    ):
        if len(values) > MAX_TARGETED:
            errors.append(FieldError(f"targeting.{field}", f"must be at most {MAX_TARGETED}"))
    if not all(_is_code(code, (2,)) and code.isupper() for code in targeting.countries):
        errors.append(FieldError("targeting.countries", "must be codes of two capitals such as IT"))
    if not all(device in DEVICES for device in targeting.devices):
        errors.append(FieldError("targeting.devices", f"must be among {', '.join(DEVICES)}"))
    if not all(_is_code(code, (2, 3)) and code.islower() for code in targeting.languages):
        errors.append(
            FieldError("targeting.languages", "must be codes of two or three letters such as it")
        )
    return errors


def _is_code(text: str, lengths: tuple[int, ...]) -> bool:
    return len(text) in lengths and text.isascii() and text.isalpha()


def _namespace_errors(namespace: Namespace) -> list[FieldError]:
    errors = _name_errors(namespace.id, "namespace.id")
    if not 0 <= namespace.low < namespace.high <= 1:
        errors.append(FieldError("namespace", "must have a range within 0 to 1, low below high"))
    return errors


def _name_errors(text: str, field: str) -> list[FieldError]:
    if not text:
        return [FieldError(field, "must not be empty")]
    return text_errors(text, field, MAX_NAME_CHARS)


def overlap_errors(
    draft: ExperimentDraft, others: Iterable[Experiment], own_id: int | None = None
) -> list[FieldError]:
    """Return an error if the draft's part of its namespace overlaps with that of an experiment that has not
    ended.

    Such experiments would not exclude each other.
    """
    part = draft.namespace
    if part is None:
        return []
    for other in others:
        taken = other.namespace
        if other.id == own_id or taken is None or taken.id != part.id:
            continue
        ended = other.state in ("decided", "archived")
        if not ended and part.low < taken.high and taken.low < part.high:
            reason = (
                f"must not overlap with {taken.low:g} to {taken.high:g} of experiment {other.name}"
            )
            return [FieldError("namespace", reason)]
    return []


def with_state(experiment: Experiment, state: ExperimentState) -> Experiment:
    """Return the experiment in another state; to decide it, use with_winner().

    Raises ConflictError for a transition that its state does not have, InvalidError for a start without
    targets.
    """
    _require_transition(experiment, state)
    if state == "running" and experiment.kind == "destination":
        missing = [
            FieldError(f"variants.{number}.target", "must be set before the start")
            for number, variant in enumerate(experiment.variants)
            if not variant.target
        ]
        if missing:
            raise InvalidError(missing)
    return msgspec.structs.replace(experiment, state=state)


def with_winner(experiment: Experiment, winner: str) -> Experiment:
    """Return the experiment decided for the variant named `winner`. Raises ConflictError, InvalidError."""
    _require_transition(experiment, "decided")
    names = [variant.name for variant in experiment.variants]
    if winner not in names:
        raise InvalidError([FieldError("winner", f"must be one of {', '.join(names)}")])
    return msgspec.structs.replace(experiment, state="decided", winner=names.index(winner))


def _require_transition(experiment: Experiment, state: ExperimentState) -> None:
    if state not in TRANSITIONS[experiment.state]:
        allowed = " or ".join(TRANSITIONS[experiment.state]) or "nothing else"
        reason = f"must not become {state}: {experiment.state} may become {allowed}"
        raise ConflictError("state", reason)


class Revision(NamedTuple):
    """A changed experiment. `new_phase`: every visitor is assigned anew, and counts so far are of the phase
    before."""

    experiment: Experiment
    new_phase: bool


def revise(experiment: Experiment, draft: ExperimentDraft) -> Revision:
    """Return the experiment changed by a valid draft.

    Raises ConflictError if it is decided or archived, or for another kind, subject or analysis after the
    start, and InvalidError for a missing target after the start.
    """
    if experiment.state in ("decided", "archived"):
        raise ConflictError("state", f"must not be {experiment.state} to change the experiment")
    begun = experiment.state != "draft"
    subject = (experiment.kind, experiment.link_id, experiment.block_id)
    if begun and subject != (draft.kind, draft.link_id, draft.block_id):
        raise ConflictError(
            "kind", "cannot be changed after the start, nor can link_id or block_id"
        )
    if begun and draft.analysis != experiment.analysis:
        raise ConflictError("analysis", "cannot be changed after the start")
    if begun and draft.kind == "destination" and not all(v.target for v in draft.variants):
        raise InvalidError([FieldError("variants", "must all have a target after the start")])
    new_phase = begun and draft.variants != experiment.variants
    changes = {field: getattr(draft, field) for field in ExperimentDraft.__struct_fields__}
    return Revision(
        msgspec.structs.replace(experiment, **changes, phase=experiment.phase + new_phase),
        new_phase,
    )
