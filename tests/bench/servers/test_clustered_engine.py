"""A machine of a clustered engine that ends by itself is told apart from one that was killed on purpose."""

from pathlib import Path

import pytest

from bench.load.processes import BackgroundProcess
from bench.servers import clustered_engine
from bench.servers.clustered_engine import ClusteredEngine, Machine

LIMIT_S = 10.0


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ClusteredEngine:
    """Its launchers sleep; it has no servers."""
    monkeypatch.setattr(clustered_engine, "missing_programs", list)

    def start(engine: ClusteredEngine, machine: Machine) -> None:
        machine.starts += 1
        machine.child = BackgroundProcess(["sleep", "60"], tmp_path / machine.name)

    monkeypatch.setattr(ClusteredEngine, "_run_machine", start)
    engine = ClusteredEngine({}, module=("api.command",))
    for machine in engine.machines:
        engine._start_machine(machine)
    return engine


def test_only_what_ended_by_itself_has_given_up(engine: ClusteredEngine) -> None:
    try:
        first, second, third = engine.machines
        engine.kill_machine(first)
        engine.restart_ended()
        assert engine.gave_up == 0
        for machine in (first, second):
            assert machine.child is not None
            machine.child.process.terminate()
            machine.child.process.wait(LIMIT_S)
        engine.restart_ended()
        assert engine.gave_up == 2
        assert [machine.starts for machine in (first, second, third)] == [3, 2, 1]
    finally:
        engine.close()
