"""`/v1/experiments/{id}/results` and `/series`: what an experiment has found so far."""

from typing import Annotated, Any, Final

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_response
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.export import csv_lines
from engine.experiments.counts import ExperimentCounts, PhaseCounts
from engine.experiments.experiment import StoredExperiment
from engine.experiments.ports import ExperimentStore
from engine.experiments.results import (
    Results,
    SeriesPoint,
    VariantResult,
    empty_phase,
    is_before_horizon,
    results,
    series,
)

POINTS: Final = 200
MAX_POINTS: Final = 500
CSV_COLUMNS: Final = (
    "phase", "variant", "weight", "exposures", "visitors", "multiple_exposures", "outcomes", "converted", "rate",
    "low", "high", "lift", "lift_low", "lift_high", "p_value", "p_value_holm", "chance_best",
    "expected_loss", "decision",
)  # fmt: skip


class SeriesResponse(msgspec.Struct, frozen=True):
    """Oldest first; `variants` names those of each point in their order."""

    phase: int
    variants: list[str]
    points: list[SeriesPoint]


class ResultRoutes:
    def __init__(self, store: ExperimentStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        one = "/v1/experiments/<experiment_id>"
        return [
            Route("GET", f"{one}/results", self.results, _RESULTS),
            Route("GET", f"{one}/results.csv", self.csv, _CSV),
            Route("GET", f"{one}/series", self.series, _SERIES),
        ]

    async def results(self, experiment_id: str) -> Response:
        return json_response(await self._results(experiment_id))

    async def csv(self, experiment_id: str) -> Response:
        found = await self._results(experiment_id)
        cells = [_cells(found.phase, variant) for variant in found.variants]
        return Response(csv_lines([CSV_COLUMNS, *cells]), content_type="text/csv; charset=utf-8")

    async def _results(self, experiment_id: str) -> Results:
        given, errors = parameters("phase")
        number = _phase(given, errors)
        if errors:
            raise InvalidError(errors)
        stored, tally = await self._store.counts(current_caller(), path_id(experiment_id), number)
        phase = _asked(stored, tally, number)
        # SciPy's first import takes a second, in which others are to be answered.
        return await trio.to_thread.run_sync(results, stored, tally, phase)

    async def series(self, experiment_id: str) -> Response:
        given, errors = parameters("phase", "points")
        number = _phase(given, errors)
        points = _whole(given, "points", POINTS, range(2, MAX_POINTS + 1), errors)
        if errors:
            raise InvalidError(errors)
        stored, phase, found = await self._store.series(
            current_caller(), path_id(experiment_id), number, points
        )
        experiment = stored.experiment
        hidden = is_before_horizon(experiment, phase) or experiment.analysis.bandit is not None
        shown = [] if hidden else await trio.to_thread.run_sync(series, experiment, phase, found)
        names = [variant.name for variant in phase.variants]
        return json_response(SeriesResponse(phase.number, names, shown))


def _asked(stored: StoredExperiment, tally: ExperimentCounts, number: int | None) -> PhaseCounts:
    if not tally.phases and number is None:
        return empty_phase(stored)
    wanted = stored.experiment.phase if number is None else number
    for phase in tally.phases:
        if phase.number == wanted:
            return phase
    raise NotFoundError.of("phase")


def _cells(phase: int, found: VariantResult) -> list[Any]:
    interval, lift = found.sequential, found.absolute
    return [
        phase, found.name, found.weight, found.exposures, found.visitors, found.multiple_exposures,
        found.outcomes, found.converted, found.rate, interval and interval.low,
        interval and interval.high, lift and lift.lift, lift and lift.low, lift and lift.high,
        lift and lift.p_value, found.p_value_holm, found.chance_best, found.expected_loss,
        found.decision and found.decision.value,
    ]  # fmt: skip


def _phase(given: dict[str, str], errors: list[FieldError]) -> int | None:
    return _whole(given, "phase", 0, range(1, 65_536), errors) or None


def _whole(
    given: dict[str, str], field: str, default: int, within: range, errors: list[FieldError]
) -> int:
    text = given.get(field)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in within:
        return int(text)
    errors.append(FieldError(field, f"must be a whole number from {within[0]} to {within[-1]}"))
    return default


_TAG: Final = "Experiments"
_PHASE: Final = Parameter(
    "phase", "The phase; the current one if left out.", Annotated[int, msgspec.Meta(ge=1)], 1
)
_NOT_CONTROL: Final = {
    "absolute": None, "relative": None, "p_value_holm": None, "p_value_bh": None, "decision": None,
}  # fmt: skip
_RESULT: Final[dict[str, Any]] = {
    "experiment_id": "365072220160000021",
    "state": "running",
    "phase": 1,
    "variants": [
        {
            "name": "control", "weight": 0.5, "share": 0.5, "exposures": 6214, "visitors": 5012,
            "multiple_exposures": 0, "outcomes": 171, "converted": 150, "rate": 0.0299,
            "interval": {"low": 0.0255, "high": 0.035}, "sequential": {"low": 0.0229, "high": 0.0385},
            "chance_best": 0.02, "expected_loss": 0.0069, "values": [], **_NOT_CONTROL,
        },
        {
            "name": "video", "weight": 0.5, "share": 0.5, "exposures": 6190, "visitors": 4989,
            "multiple_exposures": 0, "outcomes": 214, "converted": 184, "rate": 0.0369,
            "interval": {"low": 0.032, "high": 0.0425}, "sequential": {"low": 0.0292, "high": 0.0463},
            "absolute": {"lift": 0.007, "low": -0.0033, "high": 0.0172, "p_value": 0.31},
            "relative": {"lift": 0.232, "low": -0.142, "high": 0.606, "p_value": 0.39},
            "p_value_holm": 0.31, "p_value_bh": 0.31, "chance_best": 0.98, "expected_loss": 0.0,
            "decision": "undecided",
            "values": [{"currency": "EUR", "conversions": 12, "sum": "480.0000"}],
        },
    ],
    "allocation": {"p_value": 1.0, "mismatch": False, "unexpected_visitors": 0},
    "horizon": None,
    "phases": [
        {
            "phase": 1,
            "started_at": "2026-05-01T10:00:00Z",
            "reason": "start",
            "variants": [
                {"name": "control", "weight": 0.5, "exposures": 6214, "visitors": 5012, "converted": 150},
                {"name": "video", "weight": 0.5, "exposures": 6190, "visitors": 4989, "converted": 184},
            ],
        }
    ],
    "warnings": [],
    "inference": "Intervals and p-values hold at every look, however often you look.",
}  # fmt: skip
_RESULTS: Final = Doc(
    id="readExperimentResults",
    summary="Read an experiment's results",
    tag=_TAG,
    description="Visitors are people of a day (or of a cookie), each counted once. Of a fixed horizon, what "
    "compares variants is null until the planned size.",
    query=(_PHASE,),
    responses={200: ResponseDoc("The results.", Results, _RESULT)},
)
_CSV: Final = Doc(
    id="readExperimentResultsCsv",
    summary="Read an experiment's results as CSV",
    tag=_TAG,
    description="One line for each variant.",
    query=(_PHASE,),
    responses={
        200: ResponseDoc(
            "The results.", str, ",".join(CSV_COLUMNS) + "\r\n", content_type="text/csv"
        )
    },
)
_SERIES: Final = Doc(
    id="readExperimentSeries",
    summary="Read the confidence sequence over time",
    tag=_TAG,
    description="What a look at each time would have said, for a plot. Empty while a fixed horizon is locked, "
    "and for a bandit.",
    query=(
        _PHASE,
        Parameter(
            "points",
            f"How many points at most; {POINTS} if left out.",
            Annotated[int, msgspec.Meta(ge=2, le=MAX_POINTS)],
            100,
        ),
    ),
    responses={
        200: ResponseDoc(
            "The series.",
            SeriesResponse,
            {
                "phase": 1,
                "variants": ["control", "video"],
                "points": [
                    {
                        "at": "2026-05-01T10:15:00Z",
                        "variants": [
                            {"visitors": 52, "converted": 2, "rate": 0.0385, "lift": None, "low": None,
                             "high": None, "p_value": None},
                            {"visitors": 48, "converted": 1, "rate": 0.0208, "lift": -0.0176,
                             "low": -0.9, "high": 0.87, "p_value": 1.0},
                        ],
                        "allocation_p_value": 1.0,
                    }
                ],
            },
        )
    },
)  # fmt: skip
