"""Costs of folds: what a fold costs by its contents is found again, growth is a slope."""

import random

import pytest

from bench.scaling.click_records import BatchShape, FoldContent
from bench.scaling.fold_rounds import Round
from bench.scaling.fold_worker import FoldSample
from bench.scaling.service_costs import amounts, fit, growth

PARTS = (500e-6, 4e-6, 13e-6, 2e-6, 3e-6, 5e-6, 60e-6, 30e-6, 50e-6)


def some_contents(count: int) -> list[FoldContent]:
    dice = random.Random(5)
    contents = []
    for _ in range(count):
        clicks = dice.choice([100, 1_000, 10_000])
        deltas, links = dice.randint(1, clicks), dice.randint(1, clicks)
        contents.append(
            FoldContent(clicks, deltas, links, dice.randint(1, 4 * clicks), dice.randint(0, links),
                        dice.randint(0, clicks), dice.randint(0, clicks), 200 * clicks)
        )  # fmt: skip
    return contents


def cost(content: FoldContent) -> float:
    return sum(part * amount for part, amount in zip(PARTS, amounts(content), strict=True))


def test_parts_are_found_again() -> None:
    fitted = fit([(content, cost(content)) for content in some_contents(60)])
    assert fitted.parts == pytest.approx(PARTS, rel=1e-6)
    assert fitted.ratios == pytest.approx([1.0] * 60)


def test_noise_is_kept_as_a_distribution() -> None:
    dice = random.Random(6)
    samples = [(content, cost(content) * dice.uniform(0.8, 1.2)) for content in some_contents(300)]
    fitted = fit(samples)
    assert fitted.ratios == tuple(sorted(fitted.ratios))
    assert fitted.ratios[0] < 0.9 < 1.1 < fitted.ratios[-1]
    for content in some_contents(20):
        assert fitted.of(content) == pytest.approx(cost(content), rel=0.1)


def test_nothing_makes_a_fold_cheaper() -> None:
    contents = some_contents(40)
    fitted = fit([(content, 1e-3 + 1e-3 / content.clicks) for content in contents])
    assert min(fitted.parts) >= 0


def test_no_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="no fold"):
        fit([])


@pytest.mark.parametrize(("slope", "expected"), [(0.1, 0.1), (0.0, 0.0), (-0.2, 0.0)])
def test_growth_is_the_slope_by_other_workers(slope: float, expected: float) -> None:
    def measured(workers: int) -> Round:
        content = FoldContent(1_000, 1, 1, 1, 0, 0, 0, 200_000)
        seconds = 0.01 * (1 + slope * (workers - 1))
        sample = FoldSample(content, 1, 0, 0, seconds, 0, seconds, 0)
        return Round(BatchShape(1_000), workers, [sample] * workers, 1, 0, 0, 0, 0, 0, 0)

    rounds = [measured(workers) for workers in (1, 2, 4)]
    assert growth(rounds, lambda sample: sample.worker_s) == pytest.approx(expected)
    assert growth(rounds[:1], lambda sample: sample.worker_s) == 0.0
