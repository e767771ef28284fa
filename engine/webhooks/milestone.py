"""Milestones: totals of clicks that make an event."""

from typing import Final

FIRST: Final = 10


def milestones_between(before: int, after: int) -> list[int]:
    """Return the milestones in (before, after], smallest first: 10, 100, 1,000 and so on."""
    milestones = []
    milestone = FIRST
    while milestone <= after:
        if milestone > before:
            milestones.append(milestone)
        milestone *= 10
    return milestones
