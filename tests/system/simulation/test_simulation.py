"""Exactly once, by simulation: some dozen seeds each time, thousands by `-m large` or `--seeds N`.

A failing seed is reported with the command that replays it. Builds that are broken on purpose prove that
the comparison detects errors: each of them loses, repeats or invents clicks, and each must be caught.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.simulation import broken
from tests.system.simulation.broken import BUILDS, AddedAnyway
from tests.system.simulation.world import BrokenPromiseError, Build, simulate

SEEDS = 32
MANY_SEEDS = 3000
CHUNK = 10
SEEDS_TO_CATCH = 60
SEEDS_WITH_GAPS = 12


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" not in metafunc.fixturenames:
        return
    seed = metafunc.config.getoption("--seed", default=None)
    number_of_seeds = metafunc.config.getoption("--seeds", default=None)
    if seed is not None:
        parts = [range(seed, seed + 1)]
    else:
        is_large = metafunc.definition.get_closest_marker("large") is not None
        total = number_of_seeds or (MANY_SEEDS if is_large else SEEDS)
        parts = [range(at, min(at + CHUNK, total)) for at in range(0, total, CHUNK)]
    metafunc.parametrize("seeds", parts, ids=[f"{part[0]}-{part[-1]}" for part in parts])


def simulate_all(seeds: Sequence[int], folder: Path) -> None:
    for seed in seeds:
        try:
            simulate(seed, folder / str(seed))
        except BaseException as error:
            error.add_note(f"replay: pytest tests/system/simulation --seed {seed} -k seeds")
            raise


@pytest.mark.slow
def test_seeds(seeds: Sequence[int], tmp_path: Path) -> None:
    simulate_all(seeds, tmp_path)


@pytest.mark.large
def test_many_seeds(seeds: Sequence[int], tmp_path: Path) -> None:
    simulate_all(seeds, tmp_path)


@pytest.mark.slow
def test_a_seed_is_the_same_world_each_time(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        first, again = (simulate(seed, tmp_path / f"{seed}-{turn}") for turn in range(2))
        assert first.trace == again.trace
        assert first.counts == again.counts
        assert first.accounts == again.accounts
    assert simulate(4, tmp_path / "4").trace != first.trace


@pytest.mark.slow
def test_a_world_has_every_kind_of_trouble(tmp_path: Path) -> None:
    """Otherwise the seeds would prove less than they seem to."""
    faults: set[str] = set()
    counted = stale = 0
    for seed in range(12):
        world = simulate(seed, tmp_path / str(seed))
        faults.update(line.split(": ")[1] for line in world.trace if " chaos: " in line)
        counted += len(world.counts.clicks)
        stale += sum(worker.aggregator.stale for worker in world.workers)
        assert any(account.recorded for account in world.accounts.values())
    assert faults == {
        "_kill_edge", "_stop_edge", "_power_loss", "_kill_worker", "_pause_worker", "_redis_away",
        "_postgres_away", "_flush", "_lose_last", "_rollback", "_purge", "_bad_disk", "_clock_jump",
        "_failover",
    }  # fmt: skip
    assert counted > 5_000
    assert stale > 0


@pytest.mark.parametrize(
    "build",
    [kind for kind in vars(broken).values() if getattr(kind, "__module__", "") == broken.__name__],
)
def test_each_broken_build_replaces_an_existing_method(build: type) -> None:
    """A renamed method would leave a build intact, and its test would fail by chance or never."""
    helpers = {"_count"}
    for name in set(vars(build)) - helpers:
        if callable(getattr(build, name)):
            assert any(hasattr(base, name) for base in build.__bases__), name


@pytest.mark.slow
@pytest.mark.parametrize(("first", "build"), BUILDS.values(), ids=BUILDS.keys())
def test_a_broken_build_is_caught(first: int, build: Build, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_TO_CATCH):
        try:
            simulate(seed, tmp_path / str(seed), build)
        except BrokenPromiseError:
            return
    pytest.fail(f"not caught by {SEEDS_TO_CATCH} seeds")


@pytest.mark.slow
def test_gaps_in_a_stream_are_waited_out(tmp_path: Path) -> None:
    """The first of two guards against a gap is removed; a build without the second is caught above."""
    gaps = 0
    for seed in range(SEEDS_WITH_GAPS):
        world = simulate(seed, tmp_path / str(seed), Build(stream=AddedAnyway))
        gaps += sum(worker.aggregator.gaps for worker in world.workers)
    assert gaps > 0
