"""The benchmark of a click's life, in a short run."""

import pytest

from bench import life
from bench.life import NIGHTS, PHASES, LifeOptions


@pytest.mark.slow
@pytest.mark.large
def test_a_short_life_is_exact_and_every_phase_has_its_cost() -> None:
    result = life.run(LifeOptions("hot", 2, 1000))
    assert result["exact"]
    assert result["clicks"] == 2000
    assert set(PHASES) == {"day", *NIGHTS}
    assert result["day"]["wal_bytes"] > 0
    assert result["cpu_us_per_click"] > 0
    assert result["disk_bytes_per_click"] < result["raw_disk_bytes_per_click"]
