"""`/v1/experiments/{id}/results` and `/series`: the results of an experiment so far."""

from typing import Annotated, Any, Final

import msgspec
import trio
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_response
from api.http.excel import EXCEL, NAME, is_for_excel
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from engine.accounts.access import Caller
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.export import csv_lines, file_head
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
    "phase", "variant", "weight", "exposures", "visitors", "multiple_exposures", "outcomes", "converted",
    "rate", "low", "high", "lift", "lift_low", "lift_high", "p_value", "p_value_holm", "chance_best",
    "expected_loss", "decision",
)  # fmt: skip


class SeriesResponse(msgspec.Struct, frozen=True):
    """Points in time, oldest first; `variants` are the names of each point's variants, in order."""

    phase: int
    variants: list[str]
    points: list[SeriesPoint]


class ResultRoutes:
    def __init__(self, store: ExperimentStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        path = "/v1/experiments/<experiment_id>"
        return [
            Route("GET", f"{path}/results", self.results, _RESULTS),
            Route("GET", f"{path}/results.csv", self.csv, _CSV),
            Route("GET", f"{path}/series", self.series, _SERIES),
        ]

    async def results(self, experiment_id: str) -> Response:
        query, errors = parameters("phase")
        return json_response(await self._answer(experiment_id, query, errors))

    async def csv(self, experiment_id: str) -> Response:
        query, errors = parameters("phase", NAME)
        excel = is_for_excel(query.get(NAME), errors)
        result = await self._answer(experiment_id, query, errors)
        cells = [_cells(result.phase, variant) for variant in result.variants]
        head = file_head("csv", CSV_COLUMNS, excel=excel)
        return Response(head + csv_lines(cells), content_type="text/csv; charset=utf-8")

    async def _answer(
        self, experiment_id: str, query: dict[str, str], errors: list[FieldError]
    ) -> Results:
        number = _phase_number(query, errors)
        if errors:
            raise InvalidError(errors)
        return await results_of(self._store, current_caller(), path_id(experiment_id), number)

    async def series(self, experiment_id: str) -> Response:
        query, errors = parameters("phase", "points")
        number = _phase_number(query, errors)
        points = _whole(query, "points", POINTS, range(2, MAX_POINTS + 1), errors)
        if errors:
            raise InvalidError(errors)
        id_ = path_id(experiment_id)
        return json_response(await series_of(self._store, current_caller(), id_, number, points))


async def results_of(
    store: ExperimentStore, caller: Caller, experiment_id: int, number: int | None = None
) -> Results:
    """Return the results of phase `number` (None: the current phase). Raises NotFoundError."""
    stored, counts = await store.counts(caller, experiment_id, number)
    phase = _phase(stored, counts, number)
    # In a thread: SciPy's first import takes a second, and other requests must not wait for it.
    return await trio.to_thread.run_sync(results, stored, counts, phase)


async def series_of(
    store: ExperimentStore, caller: Caller, experiment_id: int, number: int | None, points: int
) -> SeriesResponse:
    """Return the confidence sequence of phase `number` (None: the current phase), of at most `points` points.
    Raises NotFoundError."""
    stored, phase, counts = await store.series(caller, experiment_id, number, points)
    experiment = stored.experiment
    hidden = is_before_horizon(experiment, phase) or experiment.analysis.bandit is not None
    curve = [] if hidden else await trio.to_thread.run_sync(series, experiment, phase, counts)
    names = [variant.name for variant in phase.variants]
    return SeriesResponse(phase.number, names, curve)


def _phase(stored: StoredExperiment, counts: ExperimentCounts, number: int | None) -> PhaseCounts:
    """Return the counts of phase `number` (None: the current phase). Raises NotFoundError."""
    if not counts.phases and number is None:
        return empty_phase(stored)
    if number is None:
        number = stored.experiment.phase
    for phase in counts.phases:
        if phase.number == number:
            return phase
    raise NotFoundError.of("phase")


def _cells(phase: int, result: VariantResult) -> list[Any]:
    """Return the line of a variant, in the order of CSV_COLUMNS."""
    interval, lift = result.sequential, result.absolute
    return [
        phase, result.name, result.weight, result.exposures, result.visitors, result.multiple_exposures,
        result.outcomes, result.converted, result.rate, interval and interval.low,
        interval and interval.high, lift and lift.lift, lift and lift.low, lift and lift.high,
        lift and lift.p_value, result.p_value_holm, result.chance_best, result.expected_loss,
        result.decision and result.decision.value,
    ]  # fmt: skip


def _phase_number(query: dict[str, str], errors: list[FieldError]) -> int | None:
    return _whole(query, "phase", 0, range(1, 65_536), errors) or None


def _whole(
    query: dict[str, str], field: str, default: int, within: range, errors: list[FieldError]
) -> int:
    text = query.get(field)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and int(text) in within:
        return int(text)
    errors.append(FieldError(field, f"must be a whole number from {within[0]} to {within[-1]}"))
    return default


_TAG: Final = "Experiments"
_PHASE: Final = Parameter(
    "phase", "The phase; the current phase if left out.", Annotated[int, msgspec.Meta(ge=1)], 1
)
_NOT_CONTROL: Final = {
    "absolute": None, "relative": None, "p_value_holm": None, "p_value_bh": None, "decision": None,
}  # fmt: skip
RESULTS_EXAMPLE: Final[dict[str, Any]] = {
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
SERIES_EXAMPLE: Final[dict[str, Any]] = {
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
}  # fmt: skip
_RESULTS: Final = Doc(
    id="readExperimentResults",
    summary="Read an experiment's results",
    tag=_TAG,
    description="Each visitor of a day (or of a cookie) counts once. With a fixed horizon, the fields that "
    "compare variants are null until the planned size is reached.",
    query=(_PHASE,),
    responses={200: ResponseDoc("The results.", Results, RESULTS_EXAMPLE)},
)
_CSV: Final = Doc(
    id="readExperimentResultsCsv",
    summary="Read an experiment's results as CSV",
    tag=_TAG,
    description="A line for each variant.",
    query=(_PHASE, EXCEL),
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
    description="The intervals as a look at each time would have shown them, for a plot. Empty before a fixed "
    "horizon is reached, and for a bandit.",
    query=(
        _PHASE,
        Parameter(
            "points",
            f"The largest number of points; {POINTS} if left out.",
            Annotated[int, msgspec.Meta(ge=2, le=MAX_POINTS)],
            100,
        ),
    ),
    responses={
        200: ResponseDoc(
            "The series.",
            SeriesResponse,
            SERIES_EXAMPLE,
        )
    },
)
