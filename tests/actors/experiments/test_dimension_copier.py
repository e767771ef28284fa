"""The copier of conversions' dimensions: it goes on while there is work, and after errors."""

import pytest
import trio

from actors.experiments.dimension_copier import POLL_S, DimensionCopier
from engine.common.errors import UnavailableError


class DueConversions:
    """Results of copy_due(), one for each call, and when they were given."""

    def __init__(self, *results: tuple[int, int] | None) -> None:
        self._results = list(results)
        self.times: list[float] = []

    async def copy_due(self) -> tuple[int, int]:
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        result = self._results.pop(0) if self._results else (0, 0)
        if result is None:
            raise UnavailableError("Postgres is away")
        return result


async def test_it_goes_on_at_once_while_there_is_work_and_waits_after_errors(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    due = DueConversions((1000, 0), (3, 0), (0, 2), None, None, (0, 0))
    copier = DimensionCopier(due)
    started = trio.current_time()
    with trio.move_on_after(5 * POLL_S):
        await copier.run()
    times = [time - started for time in due.times]
    assert times[:3] == pytest.approx([0, 0, 0])
    assert times[3:6] == pytest.approx([POLL_S, 2 * POLL_S, 4 * POLL_S])
    assert copier.last_error == ""
    counts = {sample.labels: sample.value for sample in copier.samples()}
    assert sorted(counts.values()) == [2, 1003]
    assert [record.event for record in caplog.records] == ["conversion_clicks_missing"]  # type: ignore[attr-defined]
