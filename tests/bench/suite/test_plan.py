"""The plan of the suite: every benchmark is in it, and what is missing of it."""

from bench.__main__ import BENCHMARKS
from bench.suite.plan import FULL, Step, missing, quick, turns
from bench.suite.result import BenchResult
from tests.bench.suite.results import bench_result


def finished(step: Step, exit_code: int = 0) -> BenchResult:
    return bench_result(step.benchmark, command=step.command, exit_code=exit_code)


def test_every_benchmark_is_in_the_plan() -> None:
    assert {step.benchmark for step in FULL} == {benchmark.name for benchmark in BENCHMARKS}
    assert [step.benchmark for step in quick(FULL)] == list(
        dict.fromkeys(step.benchmark for step in FULL)
    )


def test_a_step_is_missing_until_it_has_as_many_results_as_passes() -> None:
    first, second = Step("rules"), Step("rules", ("--rounds", "9"))
    plan = turns([first, second], 2)
    assert [turn.step for turn in plan] == [first, second, first, second]
    results = [finished(first), finished(second), finished(first)]
    assert missing(plan, [], retry=False) == plan
    assert missing(plan, results, retry=False) == [plan[3]]
    assert missing(plan, [finished(Step("page"))], retry=False) == plan


def test_what_has_failed_is_missing_only_when_it_is_retried() -> None:
    plan = turns([Step("rules")], 1)
    results = [finished(Step("rules"), exit_code=1)]
    assert missing(plan, results, retry=False) == []
    assert missing(plan, results, retry=True) == plan
