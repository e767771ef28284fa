"""Automation of running experiments: the handler of the periodic job `experiments.automate`.

A run looks at each experiment once, in the order of ids, and applies its action before it looks at the next. A
failure is logged and stops no other experiment.
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
    """The automation. `steps` counts actions by kind."""

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
        while experiments := await self._store.running(after, AT_ONCE):
            for running in experiments:
                await self._look(running)
            after = experiments[-1].stored.id

    async def _look(self, running: RunningExperiment) -> None:
        try:
            # SciPy's first import takes a second, in which this process has other work.
            action = await trio.to_thread.run_sync(next_action, running, self._now())
        except Exception:
            self.failed += 1
            logger.exception(
                "experiment %d: its automation failed; it runs again in a minute",
                running.stored.id,
                extra={"event": "experiment_automation_failed"},
            )
            return
        if action is None:
            return
        if not await self._store.apply(running, action):
            return  # it was changed meanwhile: the next run looks again
        self.steps[action.action] += 1
        logger.info(
            "experiment %d: %s (%s)", running.stored.id, action.action, action.verdict,
            extra={"event": "experiment_action"},
        )  # fmt: skip

    def samples(self) -> list[Sample]:
        return [*ACTIONS.by_label(self.steps), FAILURES.sample(self.failed)]
