"""Tests of api/processes/demo/history.py."""

from datetime import UTC, datetime, timedelta

from api.processes.demo.history import DAYS, visits
from engine.clicks.click import ClickKind
from engine.clicks.journal_format import encode_record

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def test_visits_fit_a_journal_and_end_now() -> None:
    clicks = list(visits(1, 2, [5, 6, 7], NOW))
    times = [click.at_us for click in clicks]
    assert min(times) >= (NOW - timedelta(days=DAYS + 1)).timestamp() * 1e6
    assert max(times) < NOW.timestamp() * 1e6
    assert {click.link_id for click in clicks} == {0, 5, 6, 7}
    assert all((click.link_id == 0) == (click.kind == ClickKind.VIEW) for click in clicks)
    assert all(encode_record(click) for click in clicks)
