"""The schedule of faults: its kinds and its seed."""

import random

from bench.load.faults import WEIGHTS, schedule


def test_a_schedule_has_every_kind_and_depends_on_the_seed() -> None:
    schedules = [schedule(60, random.Random(seed)) for seed in (1, 1, 2)]
    assert schedules[0] == schedules[1] != schedules[2]
    assert all(len(kinds) == 60 and set(kinds) == set(WEIGHTS) for kinds in schedules)


def test_a_short_schedule_has_no_kind_twice() -> None:
    kinds = schedule(5, random.Random(1))
    assert len(kinds) == len(set(kinds)) == 5
