"""How an experiment is analysed: set before its start, and fixed from then on.

A rule that could change after a look at the counts would allow stopping whenever the results please.
"""

import math
from typing import Annotated, Final, Literal, get_args

import msgspec

from engine.common.errors import FieldError
from engine.experiments.verdict.confidence_sequence import DEFAULT_TUNING_VISITORS
from engine.experiments.verdict.decision import DecisionRule
from engine.experiments.verdict.fixed_horizon import Test

EndAction = Literal["none", "stop", "promote"]
MAX_PLANNED_VISITORS: Final = 10**9
MIN_FLOOR: Final = 0.001
BANDIT_INTERVAL_MINUTES: Final = range(5, 7 * 24 * 60 + 1)


class FixedHorizon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A single look, at a size planned beforehand; no comparison is shown before."""

    visitors: Annotated[int, msgspec.Meta(description="of each variant")]
    test: Annotated[
        Test, msgspec.Meta(description="`fisher` where few conversions are expected")
    ] = "z"


class BanditPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights that follow the counts (Thompson sampling); each variant keeps at least `floor` of the
    traffic."""

    floor: float = 0.05
    every_minutes: int = 60


class Analysis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of the analysis.

    `margin` is the absolute difference of rates below which variants are as good as equal (0: never).
    Nothing is decided before control and treatment together have `min_visitors`. The confidence sequence is
    tightest at `tuning_visitors`. Once the rule decides, `on_decision` does nothing, pauses the experiment
    (`stop`), or decides it for the better variant (`promote`).
    """

    alpha: float = 0.05
    margin: float = 0.0
    min_visitors: int = 0
    tuning_visitors: int = DEFAULT_TUNING_VISITORS
    on_decision: EndAction = "none"
    horizon: FixedHorizon | None = None
    bandit: BanditPolicy | None = None

    @property
    def rule(self) -> DecisionRule:
        return DecisionRule(self.alpha, self.margin, self.min_visitors)


def errors(analysis: Analysis, variants: int) -> list[FieldError]:
    """Return the errors of an analysis for an experiment with this number of variants."""
    field_errors = []
    if not 0 < analysis.alpha <= 0.5:
        field_errors.append(FieldError("analysis.alpha", "must be above 0 and at most 0.5"))
    if not 0 <= analysis.margin < 1:
        field_errors.append(FieldError("analysis.margin", "must be from 0 to below 1"))
    if not 0 <= analysis.min_visitors <= MAX_PLANNED_VISITORS:
        field_errors.append(FieldError("analysis.min_visitors", "must be from 0 to 1,000,000,000"))
    if not 10 <= analysis.tuning_visitors <= MAX_PLANNED_VISITORS:
        field_errors.append(
            FieldError("analysis.tuning_visitors", "must be from 10 to 1,000,000,000")
        )
    if analysis.on_decision not in get_args(EndAction):
        field_errors.append(
            FieldError("analysis.on_decision", f"must be one of {', '.join(get_args(EndAction))}")
        )
    horizon, bandit = analysis.horizon, analysis.bandit
    if horizon is not None and not 1 <= horizon.visitors <= MAX_PLANNED_VISITORS:
        field_errors.append(
            FieldError("analysis.horizon.visitors", "must be from 1 to 1,000,000,000")
        )
    if horizon is not None and (analysis.on_decision != "none" or bandit is not None):
        reason = "must not be combined with on_decision or bandit: members look once, and decide"
        field_errors.append(FieldError("analysis.horizon", reason))
    if bandit is not None:
        field_errors += _bandit_errors(bandit, analysis.on_decision, variants)
    return field_errors


def _bandit_errors(bandit: BanditPolicy, on_decision: EndAction, variants: int) -> list[FieldError]:
    field_errors = []
    if on_decision != "none":
        reason = "must be used with on_decision none: no false alarm rate holds where weights follow counts"
        field_errors.append(FieldError("analysis.bandit", reason))
    highest = 1 / max(variants, 1)
    if not (MIN_FLOOR <= bandit.floor <= highest and math.isfinite(bandit.floor)):
        reason = f"must be from {MIN_FLOOR:g} to {highest:.4g}, an equal share"
        field_errors.append(FieldError("analysis.bandit.floor", reason))
    if bandit.every_minutes not in BANDIT_INTERVAL_MINUTES:
        reason = f"must be from {BANDIT_INTERVAL_MINUTES[0]} to {BANDIT_INTERVAL_MINUTES[-1]}"
        field_errors.append(FieldError("analysis.bandit.every_minutes", reason))
    return field_errors
