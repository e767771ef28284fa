"""The universal scalability law: coefficients that made a curve are found again, with intervals around them."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scaling.scalability_law import Interval, fit_law, law

WORKERS = [1, 2, 4, 8, 16, 32]
THRICE = WORKERS * 3


def rates(contention: float, coherence: float, noise: float = 0.0, seed: int = 0) -> list[float]:
    dice = random.Random(seed)
    return [
        law(n, 50_000.0, contention, coherence) * dice.gauss(1, noise)
        for _ in range(3)
        for n in WORKERS
    ]


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.3), st.floats(0.0005, 0.05))
def test_coefficients_are_found_again(contention: float, coherence: float) -> None:
    fitted = fit_law(THRICE, rates(contention, coherence))
    assert fitted.rate.value == pytest.approx(50_000, rel=0.01)
    assert fitted.contention.value == pytest.approx(contention, abs=0.003)
    assert fitted.coherence.value == pytest.approx(coherence, abs=0.0005)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    fits = [fit_law(THRICE, rates(0.05, 0.001, 0.05, seed)) for seed in range(40)]
    for name, truth in (("rate", 50_000.0), ("contention", 0.05), ("coherence", 0.001)):
        intervals: list[Interval] = [getattr(fit, name) for fit in fits]
        assert all(i.low <= i.value <= i.high for i in intervals)
        assert sum(i.low <= truth <= i.high for i in intervals) >= 34, name


def test_more_workers_than_the_best_number_are_slower() -> None:
    fitted = fit_law(THRICE, rates(0.1, 0.01))
    best = fitted.best_workers.value
    assert best == pytest.approx(math.sqrt(0.9 / 0.01), rel=0.05)
    assert fitted.at(best) > fitted.at(best * 2)
    assert fit_law(THRICE, rates(0.0, 0.0)).best_workers.value == math.inf


def test_two_numbers_of_workers_are_too_few() -> None:
    with pytest.raises(ValueError, match="three numbers"):
        fit_law([1, 2, 2], [1.0, 2.0, 2.1])
