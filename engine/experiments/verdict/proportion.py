"""The counts of one arm of an experiment."""

from typing import NamedTuple


class Proportion(NamedTuple):
    """`visitors` exposed, of whom `conversions` have converted at least once."""

    visitors: int
    conversions: int

    @property
    def rate(self) -> float:
        """Conversions per visitor, 0 while there is no visitor."""
        return self.conversions / self.visitors if self.visitors else 0.0

    @property
    def variance(self) -> float:
        """Of the rate: p (1 - p) / n; 0 while there is no visitor."""
        return self.rate * (1 - self.rate) / self.visitors if self.visitors else 0.0


def check(*arms: Proportion) -> None:
    """Raises ValueError for counts that cannot be."""
    for arm in arms:
        if not 0 <= arm.conversions <= arm.visitors:
            raise ValueError(f"{arm.conversions} conversions of {arm.visitors} visitors")


def check_probability(value: float, name: str) -> None:
    """Raises ValueError for what is not between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1")
