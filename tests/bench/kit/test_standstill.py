"""The longest time without a change."""

from bench.kit.standstill import Longest


def test_only_a_change_ends_a_standstill() -> None:
    times = iter((0.0, 1.0, 2.0, 5.0, 9.0, 10.0))
    longest = Longest(lambda: next(times))
    for value in (1, 2, None, 2, 3):
        longest.note(value)
    assert longest.seconds == 8.0
