"""Milestones: totals of clicks that are worth telling of."""

from typing import Final

FIRST: Final = 10


def milestones_between(before: int, after: int) -> list[int]:
    """The milestones in (before, after], smallest first: 10, 100, 1,000 and so on."""
    found = []
    milestone = FIRST
    while milestone <= after:
        if milestone > before:
            found.append(milestone)
        milestone *= 10
    return found
