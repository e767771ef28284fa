"""An engine under measurement: when all of its clicks are committed."""

from collections.abc import Iterator

import pytest

from bench.load import engine_process
from bench.load.engine_process import EngineProcess


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    engine = EngineProcess()
    yield engine
    engine.close()


def test_a_busy_edge_that_misses_a_reading_is_waited_for(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = {"waypost_redirects_total": 7.0, "waypost_journal_pending_clicks": 0.0}
    readings = iter([{}, {}, calm, {}, calm, calm | {"waypost_redirects_total": 8.0}, calm, calm])
    monkeypatch.setattr(engine, "metrics", lambda: next(readings))
    monkeypatch.setattr(engine_process, "POLL_S", 0.0)
    engine.wait_committed()
    assert list(readings) == []
