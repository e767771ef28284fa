"""`/v1/experiment-plan`: the number of visitors that an experiment needs, and the days until they have come."""

from functools import partial
from typing import Final

import msgspec
import trio
from quart import Response

from api.http.bodies import json_response
from api.http.query import parameters
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError
from engine.experiments.verdict import power


class PlanSide(msgspec.Struct, frozen=True):
    """Size of an experiment: `visitors` of both variants together, and `days` until they have come (null
    without `visitors_per_day`)."""

    visitors: int
    days: float | None


class PlanResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Plan of an experiment. `fixed`: for one look at the end. `sequential`: for results valid at every
    look, until the interval excludes 0; half of such experiments end much sooner. `detectable_lift`: the
    smallest lift that the `visitors` of the query can detect."""

    fixed: PlanSide | None
    sequential: PlanSide | None
    detectable_lift: float | None


class PlanRoutes:
    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/experiment-plan", self.plan, _PLAN)]

    async def plan(self) -> Response:
        query, errors = parameters(*_DEFAULTS)
        numbers = {
            field: _number(query, field, default, errors) for field, default in _DEFAULTS.items()
        }
        if "rate" not in query:
            errors.append(FieldError("rate", "is required"))
        if ("lift" in query) == ("visitors" in query):
            errors.append(
                FieldError("lift", "must be given without visitors, or visitors without lift")
            )
        if errors:
            raise InvalidError(errors)
        try:
            return json_response(await trio.to_thread.run_sync(_plan, numbers))
        except ValueError as error:
            raise InvalidError([FieldError("rate", str(error))]) from None
        except ArithmeticError:
            reason = "must not lead to an infinite size; give less extreme numbers"
            raise InvalidError([FieldError("rate", reason)]) from None


def _plan(numbers: dict[str, float]) -> PlanResponse:
    rate, lift = numbers["rate"], numbers["lift"]
    design = numbers["power"], numbers["alpha"], numbers["share"]
    if numbers["visitors"]:
        detectable_lift = power.detectable_lift(rate, int(numbers["visitors"]), *design)
        return PlanResponse(fixed=None, sequential=None, detectable_lift=detectable_lift)
    with_days = partial(_with_days, numbers)
    return PlanResponse(
        fixed=with_days(power.fixed_visitors(rate, lift, *design)),
        sequential=with_days(
            power.sequential_visitors(
                rate, lift, *design, tuning_visitors=numbers["tuning_visitors"]
            )
        ),
        detectable_lift=None,
    )


def _with_days(numbers: dict[str, float], visitors: int) -> PlanSide:
    if not numbers["visitors_per_day"]:
        return PlanSide(visitors, None)
    duration = power.duration(
        visitors, numbers["visitors_per_day"], numbers["coverage"], numbers["share_of_both"]
    )
    return PlanSide(visitors, duration.days)


def _number(query: dict[str, str], field: str, default: float, errors: list[FieldError]) -> float:
    try:
        value = float(query.get(field, default))
    except ValueError:
        value = float("nan")
    if abs(value) <= 1e15:
        return value
    errors.append(FieldError(field, "must be a number"))
    return default


_DEFAULTS: Final = {
    "rate": 0.0, "lift": 0.0, "visitors": 0.0, "power": 0.8, "alpha": 0.05, "share": 0.5,
    "tuning_visitors": 5000.0, "visitors_per_day": 0.0, "coverage": 1.0, "share_of_both": 1.0,
}  # fmt: skip
_TAG: Final = "Experiments"
_PLAN: Final = Doc(
    id="planExperiment",
    summary="Plan an experiment's size",
    tag=_TAG,
    description="With `lift`, the number of visitors that detect it, and the days until they have come; with "
    "`visitors`, the lift that they detect.",
    query=tuple(
        Parameter(field, text, float, example)
        for field, text, example in (
            ("rate", "The control's rate.", 0.02),
            ("lift", "The relative lift to detect.", 0.2),
            ("visitors", "Instead of `lift`: the visitors of both variants.", None),
            ("power", "The probability to detect the lift; 0.8 if left out.", None),
            ("alpha", "The rate of false alarms; 0.05 if left out.", None),
            ("share", "The treatment's share of both variants' visitors; 0.5 if left out.", None),
            ("tuning_visitors", "As in `analysis`; 5,000 if left out.", None),
            ("visitors_per_day", "Visitors of the link or page per day.", 4000),
            ("coverage", "Share of traffic that takes part; 1 if left out.", None),
            (
                "share_of_both",
                "Share of the experiment's visitors that get control or treatment; 1 if left out.",
                None,
            ),
        )
    ),
    responses={
        200: ResponseDoc(
            "The size.",
            PlanResponse,
            {
                "fixed": {"visitors": 42314, "days": 10.6},
                "sequential": {"visitors": 79320, "days": 19.8},
                "detectable_lift": None,
            },
        )
    },
)
