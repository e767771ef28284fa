"""Plan of `bench all`: which benchmarks run, with which options, in which order."""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.suite.result import BenchResult

_LIMIT_FACTOR: Final = 4
_LIMIT_LEAST_S: Final = 900.0
_QUICK_S: Final = 30


class Step(NamedTuple):
    """Benchmark with its options. `seconds` is about what it takes on two quiet cores."""

    benchmark: str
    options: tuple[str, ...] = ()
    seconds: int = 60

    @property
    def title(self) -> str:
        return " ".join((self.benchmark, *self.options))

    @property
    def command(self) -> list[str]:
        return ["python", "-m", "bench", self.benchmark, *self.options]

    @property
    def limit_s(self) -> float:
        """Time after which the step is stopped, as it hangs."""
        return max(_LIMIT_LEAST_S, _LIMIT_FACTOR * self.seconds)

    def child_command(self, results_file: str) -> list[str]:
        """Return the command of the process that runs it and appends its result to a file."""
        return [sys.executable, *self.command[1:], "--results", results_file]


class Turn(NamedTuple):
    """Step at its place in the plan: the first, second, ... time that it runs."""

    step: Step
    number: int


FULL: Final = (
    Step("redirects", ("--rounds", "5"), 650),
    Step(
        "redirects",
        (
            "--traffic",
            "same,campaign,page-clicks,experiment,proxy",
            "--modes",
            "keep-alive",
            "--rounds",
            "5",
            "--seconds",
            "3",
        ),
        350,
    ),
    Step("page", ("--rounds", "5"), 150),
    *(
        Step("pipeline", ("--traffic", traffic, "--seconds", "20"), 100)
        for traffic in ("hot", "flat", "zipf", "made-up", "single")
    ),
    Step("cold", (), 120),
    Step("stalls", (), 120),
    Step("stalls", (), 150),
    Step("chaos", ("--kills", "60"), 150),
    Step("outage", ("--minutes", "2"), 240),
    Step("life", ("--seconds", "20"), 180),
    Step("edges", (), 150),
    Step("jobs", ("--jobs", "20000", "--effects", "2000"), 120),
    Step("stats", ("--clicks", "10000000", "--raw", "1000000", "--tries", "30"), 400),
    Step("dashboards", (), 180),
    Step("webhooks", ("--events", "5000"), 180),
    Step("experiments", (), 200),
    Step("rules", (), 20),
    Step("agents", (), 10),
    Step("peeking", ("--tests", "1000", "--allocations", "10000"), 240),
    Step("scale", (), 600),
)


def quick(steps: Sequence[Step]) -> list[Step]:
    """Return each benchmark of the steps once, with its short settings."""
    names = dict.fromkeys(step.benchmark for step in steps)
    return [Step(name, ("--quick",), _QUICK_S) for name in names]


def turns(steps: Sequence[Step], repeats: int) -> list[Turn]:
    """Return the steps `repeats` times, one whole pass after the other.

    So a machine that changes with time, by heat or neighbours, does so in the runs of each step alike.
    """
    return [Turn(step, number) for number in range(1, repeats + 1) for step in steps]


def missing(plan: Sequence[Turn], results: Sequence[BenchResult], *, retry: bool) -> list[Turn]:
    """Return the turns without a result; with `retry` those of failed results, too."""
    finished: dict[str, int] = {}
    for result in results:
        if result.exit_code == 0 or not retry:
            title = " ".join(result.command[3:])
            finished[title] = finished.get(title, 0) + 1
    return [turn for turn in plan if turn.number > finished.get(turn.step.title, 0)]
