"""The comparison of results: false alarms are bounded, and a change is found."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.suite.comparison import (
    ALPHA,
    MIN_VALUES,
    Difference,
    Least,
    compare,
    direction,
    holm,
    samples,
    welch,
)
from bench.suite.result import Figure
from tests.bench.suite.results import figure

Noise = Callable[[random.Random], float]
NO_LEAST = Least(0.0, 0.0)
COMPARED = 30
NOISE: dict[str, Noise] = {
    "normal, 2 %": lambda dice: dice.gauss(100, 2),
    "skewed, 5 %": lambda dice: 100 * dice.lognormvariate(0, 0.05),
    "one round in six stalls": lambda dice: dice.gauss(100, 1) + (20 if dice.random() < 1 / 6 else 0),
    "two speeds": lambda dice: dice.gauss(100, 1) * (1.04 if dice.random() < 0.5 else 1.0),
}  # fmt: skip


def occurrence(noise: Noise, dice: random.Random, rounds: int, factor: float = 1.0) -> list[Figure]:
    runs = [factor * noise(dice) for _ in range(rounds)]
    return [figure("cpu_us", sorted(runs)[rounds // 2], runs)]


def comparison(
    noise: Noise, dice: random.Random, rounds: int, factor: float, least: Least = NO_LEAST
) -> list[Difference]:
    """Compare figures of equal programs, but for the first one, which is `factor` times as large after."""
    pairs = [
        (
            "redirects",
            occurrence(noise, dice, rounds),
            occurrence(noise, dice, rounds, factor if number == 0 else 1.0),
        )
        for number in range(COMPARED)
    ]
    return compare(pairs, least)


@pytest.mark.parametrize(
    ("noise", "least"),
    [*((noise, Least()) for noise in NOISE), ("normal, 2 %", NO_LEAST), ("skewed, 5 %", NO_LEAST)],
)
@pytest.mark.parametrize("rounds", [MIN_VALUES, 8])
def test_equal_programs_seldom_differ(noise: str, least: Least, rounds: int) -> None:
    dice, tries = random.Random(rounds), 60
    alarms = sum(
        any(
            row.verdict in ("worse", "better")
            for row in comparison(NOISE[noise], dice, rounds, 1.0, least)
        )
        for _ in range(tries)
    )
    # Three standard errors above the level.
    assert alarms <= tries * ALPHA + 3 * (tries * ALPHA * (1 - ALPHA)) ** 0.5


@pytest.mark.parametrize(("factor", "verdict"), [(1.1, "worse"), (0.9, "better")])
@pytest.mark.parametrize(("rounds", "least_found"), [(MIN_VALUES, 0.8), (7, 0.95)])
def test_a_tenth_is_found_among_thirty_figures(
    factor: float, verdict: str, rounds: int, least_found: float
) -> None:
    dice, tries = random.Random(7), 40
    detected = sum(
        comparison(NOISE["normal, 2 %"], dice, rounds, factor, Least())[0].verdict == verdict
        for _ in range(tries)
    )
    assert detected >= least_found * tries


def test_a_change_that_nobody_would_mind_does_not_count() -> None:
    pair = (
        "x",
        [figure("a", 100, (99.9, 100, 100, 100, 100.1))],
        [figure("a", 101, (100.9, 101, 101, 101, 101.1))],
    )
    (row,) = compare([pair], Least())
    assert row.p_value is not None
    assert (row.p_value < ALPHA, row.verdict) == (True, "within noise")
    assert compare([pair], Least(0.005, 0.005))[0].verdict == "worse"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([figure("a", 100.0)], [figure("a", 900.0)]),
        ([figure("a", 100.0, (100,) * 4)], [figure("a", 900.0, (900,) * 9)]),
        ([figure("a", 100.0), figure("a", 101.0)], [figure("a", 900.0) for _ in range(9)]),
    ],
)
def test_with_too_few_values_nobody_can_tell(before: list[Figure], after: list[Figure]) -> None:
    (row,) = compare([("x", before, after)], Least())
    assert (row.verdict, row.change, row.p_value) == ("cannot tell", None, None)


def test_repeated_runs_are_the_sample_where_each_side_has_enough() -> None:
    runs = [figure("a", 10.0 + number, (1.0, 2.0, 3.0)) for number in range(MIN_VALUES)]
    assert samples(runs, runs)[0].values == (10.0, 11.0, 12.0, 13.0, 14.0)
    before, after = samples(runs[:1], runs)
    assert (before.values, before.of_runs) == ((1.0, 2.0, 3.0), False)
    assert len(after.values) == 3 * MIN_VALUES


def test_numbers_without_spread_differ_when_they_are_not_equal() -> None:
    equal = [figure("wal", 206.0, (206.0,) * 5)]
    other = [figure("wal", 310.0, (310.0,) * 5)]
    zero = [figure("wal", 0.0, (0.0,) * 5)]
    assert [compare([("x", *pair)], Least())[0].verdict for pair in ((equal, equal), (equal, other))] == [
        "within noise", "worse",
    ]  # fmt: skip
    (row,) = compare([("x", zero, other)], Least())
    assert (row.change, row.verdict) == (float("inf"), "worse")
    assert compare([("x", zero, zero)], Least())[0].verdict == "within noise"


def test_the_test_is_that_of_the_books() -> None:
    # scipy.stats.ttest_ind(a, b, equal_var=False) says so.
    test = welch([27.5, 21.0, 19.0, 23.6, 17.0], [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8])
    assert test.p_value == pytest.approx(0.338809, abs=1e-6)
    assert (test.low, test.high) == pytest.approx((-2.897710, 7.086281), abs=1e-6)


def test_holm_rejects_in_steps() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.02, 0.02]) == [True, True]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=40))
def test_holm_is_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    for p_value, significant in zip(p_values, holm(p_values), strict=True):
        if significant:
            assert p_value <= ALPHA
        if p_value <= ALPHA / len(p_values):
            assert significant


@settings(max_examples=50)
@given(
    st.lists(st.floats(1, 1000), min_size=3, max_size=8),
    st.lists(st.floats(1, 1000), min_size=3, max_size=8),
)
def test_the_interval_has_zero_when_the_p_value_is_large(a: list[float], b: list[float]) -> None:
    test = welch(a, b)
    assert 0.0 <= test.p_value <= 1.0
    if test.p_value > ALPHA * 1.01:
        assert test.low <= 0.0 <= test.high
    mirrored = welch(b, a)
    assert mirrored.p_value == pytest.approx(test.p_value, abs=1e-9)


def test_the_direction_is_that_of_the_figure() -> None:
    assert direction("lower", 0.1) == direction("higher", -0.1) == "worse"
    assert direction("lower", -0.1) == direction("higher", 0.1) == "better"
    assert direction("neither", 0.1) == "changed"
