"""Binomial proportions."""

import pytest

from engine.experiments.verdict.proportion import Proportion, check

BAD = [Proportion(5, 6), Proportion(5, -1), Proportion(-1, -1)]


@pytest.mark.parametrize("bad", BAD)
def test_impossible_counts_are_refused(bad: Proportion) -> None:
    with pytest.raises(ValueError, match="conversions of"):
        check(bad)
