"""Tests of engine/stats/packed/numbering.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.stats.packed import numbering
from engine.stats.packed.numbering import distinct_in_groups, number_groups

ROWS = st.lists(st.tuples(st.integers(-3, 4), st.sampled_from([0, 1, 7, 1 << 40])), max_size=40)
MEMBERS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=40)


@given(rows=ROWS)
def test_groups_are_numbered_in_the_order_of_their_keys(rows: list[tuple[int, int]]) -> None:
    keys = [np.array([row[place] for row in rows], np.int64) for place in (0, 1)]
    group, firsts = number_groups(keys)
    different = sorted(set(rows))
    assert [different[number] for number in group] == rows
    assert firsts.tolist() == [rows.index(row) for row in different]


@given(rows=MEMBERS)
@pytest.mark.parametrize("by_sorting", [False, True])
def test_members_are_counted_once_in_a_group(rows: list[tuple[int, int]], by_sorting: bool) -> None:
    group = np.array([row[0] for row in rows], np.int64)
    members = np.array([row[1] for row in rows], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        if by_sorting:
            patch.setattr(numbering, "MAX_SEEN", 0)
        counted = distinct_in_groups(group, 6, members)
    assert counted.tolist() == [len({m for g, m in rows if g == n}) for n in range(6)]
