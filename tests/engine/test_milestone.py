"""Milestones are passed once, however the counts arrive."""

from hypothesis import given
from hypothesis import strategies as st

from engine.milestone import passed


def test_ten_a_hundred_a_thousand() -> None:
    assert passed(0, 9) == []
    assert passed(9, 10) == [10]
    assert passed(10, 99) == []
    assert passed(5, 1000) == [10, 100, 1000]
    assert passed(100, 5) == []


@given(st.lists(st.integers(0, 5000), max_size=20))
def test_each_once_in_whatever_steps(steps: list[int]) -> None:
    told: list[int] = []
    total = 0
    for step in steps:
        told += passed(total, total + step)
        total += step
    assert told == passed(0, total)
