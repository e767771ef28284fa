"""Watches experiments that run: the handler of the periodic job `experiments.automate`.

Each is looked at once a run, in the order of their ids and a few at a time; what one calls for is done before
the next is looked at. One that cannot be judged is logged, and stops no other.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import trio

from engine.experiments.automation import RunningExperiment, next_action
from engine.experiments.ports import RunningExperiments
from engine.jobs.handler import Handler, JobContext
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.operations.metrics import Metric, Sample

logger = logging.getLogger("waypost.experiments")

AT_ONCE: Final = 20

ACTIONS: Final = Metric(
    "waypost_experiment_actions_total",
    "Automatic actions on experiments: mismatch (an SRM alarm), end, weights",
    ("action",),
)
FAILURES: Final = Metric(
    "waypost_experiment_failures_total",
    "Evaluations of running experiments that failed; the log says why",
)


def _now() -> datetime:
    return datetime.now(UTC)


class ExperimentAutomation:
    """`steps` counts what was done, by what."""

    def __init__(self, store: RunningExperiments, now: Callable[[], datetime] = _now) -> None:
        self._store = store
        self._now = now
        self.steps = dict.fromkeys(("mismatch", "end", "weights"), 0)
        self.failed = 0

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "experiments.automate",
                Every(MINUTE),
                "end experiments by their rules, raise SRM alarms, update bandit weights",
                Handler(run=self.run, time_limit_s=300),
            )
        ]

    async def run(self, _: JobContext | None = None) -> None:
        after = 0
        while some := await self._store.running(after, AT_ONCE):
            for watched in some:
                await self._look(watched)
            after = some[-1].stored.id

    async def _look(self, watched: RunningExperiment) -> None:
        try:
            # SciPy's first import takes a second, in which this process has other work.
            found = await trio.to_thread.run_sync(next_action, watched, self._now())
        except Exception:
            self.failed += 1
            logger.exception(
                "experiment %d cannot be judged", watched.stored.id, extra={"event": "watch_failed"}
            )
            return
        if found is None:
            return
        if not await self._store.apply(watched, found):
            return  # somebody has changed it: the next run looks again
        self.steps[found.action] += 1
        logger.info(
            "experiment %d: %s (%s)", watched.stored.id, found.action, found.verdict,
            extra={"event": "experiment_step"},
        )  # fmt: skip

    def samples(self) -> list[Sample]:
        return [*ACTIONS.by_label(self.steps), FAILURES.sample(self.failed)]
