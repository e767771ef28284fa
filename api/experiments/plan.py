"""`/v1/experiment-plan`: how many visitors an experiment needs, and how long they take to come."""

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
    """`visitors` of both arms together; `days` until they have come, null without traffic."""

    visitors: int
    days: float | None


class PlanResponse(msgspec.Struct, frozen=True, kw_only=True):
    """`fixed`: one look at the end. `watched`: an interval that may be looked at all the time, by when it
    has excluded 0; half of such experiments end much sooner. `detectable_lift`: what `visitors` show."""

    fixed: PlanSide | None
    sequential: PlanSide | None
    detectable_lift: float | None


class PlanRoutes:
    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/experiment-plan", self.plan, _PLAN)]

    async def plan(self) -> Response:
        given, errors = parameters(*_PLANNED)
        numbers = {
            field: _number(given, field, default, errors) for field, default in _PLANNED.items()
        }
        if "rate" not in given:
            errors.append(FieldError("rate", "is required"))
        if ("lift" in given) == ("visitors" in given):
            errors.append(FieldError("lift", "or visitors must be given, and one of them only"))
        if errors:
            raise InvalidError(errors)
        try:
            return json_response(await trio.to_thread.run_sync(_plan, numbers))
        except ValueError as error:
            raise InvalidError([FieldError("rate", str(error))]) from None
        except ArithmeticError:
            reason = "makes with the others a number that is too large"
            raise InvalidError([FieldError("rate", reason)]) from None


def _plan(numbers: dict[str, float]) -> PlanResponse:
    rate, lift = numbers["rate"], numbers["lift"]
    asked = numbers["power"], numbers["alpha"], numbers["share"]
    if numbers["visitors"]:
        found = power.detectable_lift(rate, int(numbers["visitors"]), *asked)
        return PlanResponse(fixed=None, sequential=None, detectable_lift=found)
    days = partial(_side, numbers)
    return PlanResponse(
        fixed=days(power.fixed_visitors(rate, lift, *asked)),
        sequential=days(
            power.sequential_visitors(
                rate, lift, *asked, tuning_visitors=numbers["tuning_visitors"]
            )
        ),
        detectable_lift=None,
    )


def _side(numbers: dict[str, float], visitors: int) -> PlanSide:
    if not numbers["visitors_per_day"]:
        return PlanSide(visitors, None)
    found = power.duration(
        visitors, numbers["visitors_per_day"], numbers["coverage"], numbers["share_of_both"]
    )
    return PlanSide(visitors, found.days)


def _number(given: dict[str, str], field: str, default: float, errors: list[FieldError]) -> float:
    try:
        value = float(given.get(field, default))
    except ValueError:
        value = float("nan")
    if abs(value) <= 1e15:
        return value
    errors.append(FieldError(field, "must be a number"))
    return default


_PLANNED: Final = {
    "rate": 0.0, "lift": 0.0, "visitors": 0.0, "power": 0.8, "alpha": 0.05, "share": 0.5,
    "tuning_visitors": 5000.0, "visitors_per_day": 0.0, "coverage": 1.0, "share_of_both": 1.0,
}  # fmt: skip
_TAG: Final = "Experiments"
_PLAN: Final = Doc(
    id="planExperiment",
    summary="Plan an experiment's size",
    tag=_TAG,
    description="How many visitors find a lift, and how long they take to come; or what lift a number of "
    "visitors finds.",
    query=tuple(
        Parameter(field, text, float, example)
        for field, text, example in (
            ("rate", "The control's rate.", 0.02),
            ("lift", "The relative lift to be found.", 0.2),
            ("visitors", "Instead of the lift: visitors of both arms.", None),
            ("power", "The chance to find it; 0.8 if left out.", None),
            ("alpha", "The rate of false alarms; 0.05 if left out.", None),
            ("share", "The treatment's part of the two; 0.5 if left out.", None),
            ("tuning_visitors", "As in `analysis`; 5,000 if left out.", None),
            ("visitors_per_day", "Of the link or page, for the days.", 4000),
            ("coverage", "Share of traffic that takes part; 1 if left out.", None),
            (
                "share_of_both",
                "Share of those that control and treatment have; 1 if left out.",
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
