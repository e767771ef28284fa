"""Lifts of a treatment over its control."""

import pytest

from engine.experiments.verdict import lift
from engine.experiments.verdict.proportion import Proportion


def test_lifts_by_hand() -> None:
    control, treatment = Proportion(100, 20), Proportion(400, 100)
    absolute = lift.absolute(control, treatment)
    assert absolute == pytest.approx((0.05, 0.2 * 0.8 / 100 + 0.25 * 0.75 / 400))
    relative = lift.relative(control, treatment)
    variance = 0.25 * 0.75 / 400 / 0.2**2 + 0.2 * 0.8 / 100 * 0.25**2 / 0.2**4
    assert relative == pytest.approx((0.25, variance))
    pooled = 120 / 500
    assert lift.pooled_variance(control, treatment) == pytest.approx(
        pooled * (1 - pooled) * (1 / 100 + 1 / 400)
    )


def test_there_is_no_relative_lift_over_nothing() -> None:
    assert lift.relative(Proportion(10, 0), Proportion(10, 3)) is None
    assert lift.relative(Proportion(0, 0), Proportion(10, 3)) is None
    assert lift.pooled_variance(Proportion(0, 0), Proportion(10, 3)) == 0
