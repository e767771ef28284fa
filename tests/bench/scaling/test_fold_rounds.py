"""Rounds of folds: the machine's clock is read right."""

import pytest

from bench.load.processes import TICKS_PER_S
from bench.scaling.fold_rounds import machine_busy_s
from bench.scaling.fold_worker import CpuClock


def test_idle_and_waiting_cores_are_not_busy() -> None:
    text = "cpu  100 10 40 9000 500 5 3 2 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    assert machine_busy_s(text) == pytest.approx(160 / TICKS_PER_S)


def test_a_process_reads_its_own_clock() -> None:
    before = after = CpuClock.of("self")
    for _ in range(1_000):  # some seconds; the kernel moves the clock at its ticks
        sum(range(200_000))
        after = CpuClock.of("self")
        if after.busy_ns > before.busy_ns:
            break
    assert after.busy_ns > before.busy_ns
    assert after.waiting_ns >= before.waiting_ns
