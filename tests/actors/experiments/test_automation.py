"""ExperimentAutomation evaluates each experiment once; a failed or changed experiment stops no other."""

from typing import Any

import msgspec

from actors.experiments.automation import AT_ONCE, ExperimentAutomation
from engine.experiments.automation import AutomaticAction, RunningExperiment
from tests.engine.experiments.test_automation import NOW, PROMOTE, running_experiment


class ListedExperiments:
    """A RunningExperiments over a list; `changed` has ids that a member has changed meanwhile."""

    def __init__(self, *experiments: RunningExperiment) -> None:
        self.experiments = experiments
        self.changed: set[int] = set()
        self.applied: list[tuple[int, str]] = []

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        return [e for e in self.experiments if e.stored.id > after][:limit]

    async def apply(self, running: RunningExperiment, action: AutomaticAction) -> bool:
        if running.stored.id in self.changed:
            return False
        self.applied.append((running.stored.id, action.action))
        return True


def numbered(number: int, running: RunningExperiment) -> RunningExperiment:
    experiment = msgspec.structs.replace(running.stored.experiment, id=number)
    return running._replace(stored=msgspec.structs.replace(running.stored, experiment=experiment))


async def test_each_experiment_is_evaluated_once(caplog: Any) -> None:
    good = running_experiment((4000, 120), (4000, 240), analysis=PROMOTE)
    idle = running_experiment((10, 1), (10, 2), analysis=PROMOTE)
    skewed = running_experiment((4000, 120), (3000, 90))
    broken = good._replace(phases=(good.phases[0]._replace(counts=()),))
    store = ListedExperiments(
        *(numbered(n, idle) for n in range(1, AT_ONCE + 3)),
        numbered(100, broken),
        numbered(101, good),
        numbered(102, skewed),
        numbered(103, good),
    )
    store.changed = {103}
    automation = ExperimentAutomation(store, lambda: NOW)
    await automation.run()
    assert store.applied == [(101, "end"), (102, "mismatch")]
    assert automation.steps == {"mismatch": 1, "end": 1, "weights": 0}
    assert automation.failed == 1
    assert "experiment 100: its automation failed" in caplog.text
