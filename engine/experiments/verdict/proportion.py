"""A binomial proportion: the counts of one variant."""

from typing import NamedTuple


class Proportion(NamedTuple):
    """The `visitors` exposed, of whom `conversions` converted at least once."""

    visitors: int
    conversions: int

    @property
    def rate(self) -> float:
        """Return conversions per visitor, 0 while there is no visitor."""
        return self.conversions / self.visitors if self.visitors else 0.0

    @property
    def variance(self) -> float:
        """Return the variance of the rate, p (1 - p) / n; 0 while there is no visitor."""
        return self.rate * (1 - self.rate) / self.visitors if self.visitors else 0.0


def check(*proportions: Proportion) -> None:
    """Raise ValueError for impossible counts."""
    for proportion in proportions:
        if not 0 <= proportion.conversions <= proportion.visitors:
            raise ValueError(
                f"{proportion.conversions} conversions of {proportion.visitors} visitors"
            )


def check_probability(value: float, name: str) -> None:
    """Raise ValueError unless 0 < value < 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1")
