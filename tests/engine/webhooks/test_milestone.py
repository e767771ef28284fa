"""Milestones: each is reached once, whatever the steps of the counts."""

from hypothesis import example, given
from hypothesis import strategies as st

from engine.webhooks.milestone import milestones_between


def test_milestones_are_powers_of_ten_from_ten() -> None:
    assert milestones_between(0, 9) == []
    assert milestones_between(9, 10) == [10]
    assert milestones_between(10, 99) == []
    assert milestones_between(5, 1000) == [10, 100, 1000]
    assert milestones_between(100, 5) == []


@given(st.lists(st.integers(0, 5000), max_size=20))
@example([10, 0, 1, 89, 900, 1])
def test_each_milestone_is_reached_once_in_any_steps(steps: list[int]) -> None:
    reached: list[int] = []
    total = 0
    for step in steps:
        reached += milestones_between(total, total + step)
        total += step
    assert reached == milestones_between(0, total)
