"""Options of the simulation: `--seed N` replays one seed, `--seeds N` runs the first N."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="replay this seed of the simulation")
    parser.addoption("--seeds", type=int, default=None, help="how many seeds to simulate")
