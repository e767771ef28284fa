"""Milestones are passed once, however the counts arrive."""

from hypothesis import given
from hypothesis import strategies as st

from engine.webhooks.milestone import milestones_between


def test_ten_a_hundred_a_thousand() -> None:
    assert milestones_between(0, 9) == []
    assert milestones_between(9, 10) == [10]
    assert milestones_between(10, 99) == []
    assert milestones_between(5, 1000) == [10, 100, 1000]
    assert milestones_between(100, 5) == []


@given(st.lists(st.integers(0, 5000), max_size=20))
def test_each_once_in_whatever_steps(steps: list[int]) -> None:
    told: list[int] = []
    total = 0
    for step in steps:
        told += milestones_between(total, total + step)
        total += step
    assert told == milestones_between(0, total)
