"""The benchmark of stats: its targets, and a run on a small year."""

from typing import Any

import pytest

from bench import stats
from bench.stats import StatsOptions, evaluate, percentile


def size_result(p50: float, p95: float, poll: float) -> dict[str, Any]:
    question = {"name": "a question", "rows": 1, "p50_ms": p50, "p95_ms": p95}
    page = {"name": "a dashboard's page", "rows": 9, "p50_ms": p50, "p95_ms": 1.6 * p95}
    return {"write_s": 1.0, "questions": [question], "page": page, "poll_cpu_ms": poll}


def test_a_question_or_poll_that_is_too_slow_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "machine_here", dict)
    passing = evaluate(
        StatsOptions(100, 2), {1: size_result(5, 9, 0.5), 100: size_result(9, 49, 0.59)}
    )
    assert passing["failures"] == []
    assert (passing["ratio_max"], passing["p95_ms_max"], passing["poll_cpu_ms"]) == (1.8, 49, 0.59)
    failing = evaluate(
        StatsOptions(100, 2), {1: size_result(5, 9, 0.5), 100: size_result(10, 50, 0.6)}
    )
    assert len(failing["failures"]) == 4


def test_percentiles() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], part) for part in (0.5, 0.95)] == [3.0, 4.0]


@pytest.mark.large
def test_questions_about_a_small_year_have_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "machine_here", dict)
    result = stats.run(StatsOptions(clicks=2_000_000, tries=2, dashboards=2))
    small, large = result["sizes"].values()
    assert len(small["questions"]) == len(large["questions"]) > 15
    assert all(row["rows"] and row["p50_ms"] > 0 for row in large["questions"])
    assert large["page"]["rows"] > 168
    assert large["dashboards"]["rows"] == 2 * large["page"]["rows"]
    by_day = next(row for row in large["questions"] if row["name"] == "a year by day")
    assert by_day["rows"] >= 364
