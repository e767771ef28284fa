"""The schedule of faults."""

import random

from bench.load.faults import WEIGHTS, schedule


def test_a_schedule_has_every_kind_and_is_the_seeds() -> None:
    found = [schedule(60, random.Random(seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert all(len(one) == 60 and set(one) == set(WEIGHTS) for one in found)


def test_a_short_schedule_has_no_kind_twice() -> None:
    found = schedule(5, random.Random(1))
    assert len(found) == len(set(found)) == 5
