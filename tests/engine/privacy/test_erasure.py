"""How long what arrives late is looked for."""

from datetime import UTC, datetime

from engine.privacy.erasure import SWEEP_INTERVALS_S, Erasure


def test_it_ends_after_the_last_pause() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert [Erasure(1, now, now, n, 0).finished for n in range(len(SWEEP_INTERVALS_S) + 2)] == [
        *[False] * (len(SWEEP_INTERVALS_S) + 1),
        True,
    ]
