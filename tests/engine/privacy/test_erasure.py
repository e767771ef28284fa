"""The end of an erasure's sweeps."""

from datetime import UTC, datetime

from engine.privacy.erasure import SWEEP_INTERVALS_S, Erasure


def test_an_erasure_is_finished_with_the_sweep_after_the_last_interval() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert [Erasure(1, now, now, n, 0).finished for n in range(len(SWEEP_INTERVALS_S) + 2)] == [
        *[False] * (len(SWEEP_INTERVALS_S) + 1),
        True,
    ]
