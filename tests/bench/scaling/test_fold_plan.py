"""The plan of folds: nothing that is predicted was fitted, and rates are of workers that wait for no core."""

import pytest

from bench.scaling.click_records import BatchShape, FoldContent
from bench.scaling.fold_plan import (
    EVEN_SHAPES,
    GROWTH_TRAFFIC,
    HELD_OUT,
    HeldOutPoint,
    rate_with_cores,
    round_rows,
)
from bench.scaling.fold_rounds import Round
from bench.scaling.fold_worker import FoldSample


def measured(workers: int, *, took_s: float, no_core_s: float, traffic: str = "zipf") -> Round:
    content = FoldContent(1_000, 10, 100, 300, 0, 0, 0, 200_000)
    sample = FoldSample(content, 1, 0.001, 0.001, 0.010, 0.004, took_s, no_core_s)
    return Round(
        BatchShape(1_000, traffic=traffic), workers, [sample] * workers, 1.0, 0.005 * workers, 0.001,
        220_000 * workers, 0.0, 0.0, 0.5,
    )  # fmt: skip


def test_what_is_held_out_was_not_fitted() -> None:
    assert GROWTH_TRAFFIC not in HELD_OUT
    assert not any(shape.traffic for shape in EVEN_SHAPES)


def test_waiting_for_a_core_is_not_in_a_rate_and_other_waits_are() -> None:
    # 1,000 clicks in 15 ms of CPU, however long no core was free.
    assert rate_with_cores(measured(1, took_s=0.014, no_core_s=0)) == pytest.approx(1_000 / 0.015)
    assert rate_with_cores(measured(1, took_s=0.514, no_core_s=0.5)) == pytest.approx(1_000 / 0.015)
    assert rate_with_cores(measured(1, took_s=0.034, no_core_s=0)) == pytest.approx(1_000 / 0.035)
    # Both may have waited at once, which no fold gains by.
    assert rate_with_cores(measured(1, took_s=0.6, no_core_s=0.7)) == pytest.approx(1_000 / 0.015)
    assert rate_with_cores(measured(4, took_s=0.014, no_core_s=0)) == pytest.approx(4_000 / 0.015)


def test_a_prediction_holds_within_fifteen_per_cent() -> None:
    assert [HeldOutPoint("zipf", 2, "µs", p, 100.0).holds for p in (85.1, 100, 114.9)] == [True] * 3
    assert not any(HeldOutPoint("zipf", 2, "µs", p, 100.0).holds for p in (84.9, 115.1))


def test_rounds_of_one_kind_are_one_row() -> None:
    rows = round_rows({"zipf": [measured(2, took_s=0.014, no_core_s=0)] * 3, "flat": []})
    (row,) = rows
    assert (row["traffic"], row["workers"], row["deltas_per_fold"]) == ("zipf", 2, 10)
    assert (row["worker_us"], row["backend_us"], row["wal_bytes"]) == (11, 4, 220)
    assert row["rows_per_click"] == 1.01
