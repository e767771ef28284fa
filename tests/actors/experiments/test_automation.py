"""The watcher looks at each once, and one that cannot be judged or has changed stops no other."""

from typing import Any

import msgspec

from actors.experiments.automation import AT_ONCE, ExperimentAutomation
from engine.experiments.automation import AutomaticAction, RunningExperiment
from tests.engine.experiments.test_automation import NOW, PROMOTE, watched


class ListedExperiments:
    """A RunningExperiments over a list; `changed` are ids that somebody has changed meanwhile."""

    def __init__(self, *some: RunningExperiment) -> None:
        self.some = some
        self.changed: set[int] = set()
        self.taken: list[tuple[int, str]] = []

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        return [one for one in self.some if one.stored.id > after][:limit]

    async def apply(self, watched: RunningExperiment, step: AutomaticAction) -> bool:
        if watched.stored.id in self.changed:
            return False
        self.taken.append((watched.stored.id, step.action))
        return True


def numbered(number: int, one: RunningExperiment) -> RunningExperiment:
    experiment = msgspec.structs.replace(one.stored.experiment, id=number)
    return one._replace(stored=msgspec.structs.replace(one.stored, experiment=experiment))


async def test_each_is_looked_at_once(caplog: Any) -> None:
    good = watched((4000, 120), (4000, 240), analysis=PROMOTE)
    idle = watched((10, 1), (10, 2), analysis=PROMOTE)
    skewed = watched((4000, 120), (3000, 90))
    broken = good._replace(phases=(good.phases[0]._replace(counts=()),))
    store = ListedExperiments(
        *(numbered(n, idle) for n in range(1, AT_ONCE + 3)),
        numbered(100, broken),
        numbered(101, good),
        numbered(102, skewed),
        numbered(103, good),
    )
    store.changed = {103}
    watcher = ExperimentAutomation(store, lambda: NOW)
    await watcher.run()
    assert store.taken == [(101, "end"), (102, "mismatch")]
    assert watcher.steps == {"mismatch": 1, "end": 1, "weights": 0}
    assert watcher.failed == 1
    assert "experiment 100 cannot be judged" in caplog.text
