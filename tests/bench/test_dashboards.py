"""The benchmark of open overviews: its targets, and a run with few of them."""

import re
from importlib import resources
from typing import Any

import pytest

from bench import dashboards
from bench.dashboards import DashboardsOptions, evaluate
from bench.kit.overviews import NEEDS_S, STATS_S


def figures(**changes: Any) -> dict[str, Any]:
    answers = {"live 200": 1, "overview 304": 9, "stats 200": 1, "stats 304": 90}
    shared = {"console_cores": 0.4, "streams": 500, "refusals": {}}
    return shared | {"answers": answers} | changes


def test_what_takes_half_a_core_or_has_news_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "machine_here", dict)
    plan = DashboardsOptions(500, 60)
    assert evaluate(plan, figures())["failures"] == []
    for changes in (
        {"console_cores": 0.5},
        {"streams": 499},
        {"answers": {"stats 304": 90, "stats 429": 1}},
        {"answers": {"stats 304": 80, "stats 200": 20}},
    ):
        assert len(evaluate(plan, figures(**changes))["failures"]) == 1


def test_the_overviews_poll_as_the_dashboard_does() -> None:
    module = resources.files("api.dashboard").joinpath("js/screens/overview.js").read_text()
    times = dict(re.findall(r"(\w*EVERY_MS) = ([\d_]+)", module))
    assert int(times["EVERY_MS"]) == STATS_S * 1000
    assert int(times["NEEDS_EVERY_MS"]) == NEEDS_S * 1000


@pytest.mark.large
def test_few_overviews_are_answered_304(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "machine_here", dict)
    result = dashboards.run(DashboardsOptions(overviews=12, seconds=12))
    assert result["failures"] == []
    assert result["streams"] == 12
