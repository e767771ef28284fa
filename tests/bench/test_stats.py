"""The benchmark of statistics: what it judges, and a run on a small year."""

from typing import Any

import pytest

from bench import stats
from bench.stats import StatsOptions, judged, percentile


def found(p50: float, p95: float, poll: float) -> dict[str, Any]:
    question = {"name": "a question", "rows": 1, "p50_ms": p50, "p95_ms": p95}
    return {"write_s": 1.0, "questions": [question], "poll_cpu_ms": poll}


def test_what_is_too_slow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "about", dict)
    good = judged(StatsOptions(100, 2), {1: found(5, 9, 1), 100: found(9, 49, 1.9)})
    assert good["failures"] == []
    assert (good["ratio_max"], good["p95_ms_max"], good["poll_cpu_ms"]) == (1.8, 49, 1.9)
    bad = judged(StatsOptions(100, 2), {1: found(5, 9, 1), 100: found(10, 50, 2)})
    assert len(bad["failures"]) == 3


def test_percentiles() -> None:
    assert [percentile([1.0, 2.0, 3.0, 4.0], part) for part in (0.5, 0.95)] == [3.0, 4.0]


@pytest.mark.large
def test_a_small_year_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "about", dict)
    result = stats.run(StatsOptions(clicks=2_000_000, tries=2))
    small, large = result["sizes"].values()
    assert len(small["questions"]) == len(large["questions"]) > 15
    assert all(one["rows"] and one["p50_ms"] > 0 for one in large["questions"])
    by_day = next(one for one in large["questions"] if one["name"] == "a year by day")
    assert by_day["rows"] >= 364
