"""Numbers of visitors over several pieces of packed clicks.

A visitor is one of a UTC day: pseudonyms change with the day, so an equal one on another day is another
visitor. A piece that alone has the clicks of its day brings numbers of its own; only pieces that share a day,
or have several, are told apart by pseudonyms, as that needs sorting.
"""

from collections.abc import Sequence

import numpy as np

from engine.stats.packed.numbering import number_groups
from engine.stats.packed.packed_clicks import (
    Numbers,
    PackedClicks,
    unpack_visitor_numbers,
    unpack_visitors,
)


def visitor_numbers(pieces: Sequence[PackedClicks], days: Numbers) -> Numbers:
    """Return a number for the visitor of each click, from 1; 0: not known.

    `days` has the UTC day of each click, in the order of the pieces, and ascending in each of them.
    """
    numbers = np.zeros(len(days), np.int64)
    ends = np.cumsum([packed.clicks for packed in pieces], dtype=np.int64)
    visitors, shared = 0, []
    for place, alone in enumerate(_alone(days, ends)):
        packed = pieces[place]
        own = unpack_visitor_numbers(packed) if alone else None
        if own is None:
            shared.append(place)
            continue
        count, codes = own
        numbers[ends[place] - packed.clicks : ends[place]] = np.where(codes, codes + visitors, 0)
        visitors += count
    if shared:
        of = np.concatenate(
            [np.arange(ends[place] - pieces[place].clicks, ends[place]) for place in shared]
        )
        pseudonyms = np.concatenate([unpack_visitors(pieces[place], place + 1) for place in shared])
        together = number_groups((days[of], pseudonyms)).group
        numbers[of] = np.where(pseudonyms, together + visitors + 1, 0)
    return numbers


def _alone(days: Numbers, ends: Numbers) -> list[bool]:
    """Return for each piece whether it has one day, and no other piece has clicks on it."""
    if not len(ends):
        return []
    firsts, lasts = days[np.append(0, ends[:-1])], days[ends - 1]
    low = int(firsts.min())
    steps = np.zeros(int(lasts.max()) - low + 2, np.int64)
    np.add.at(steps, firsts - low, 1)
    np.add.at(steps, lasts - low + 1, -1)
    alone: list[bool] = ((firsts == lasts) & (np.cumsum(steps)[firsts - low] == 1)).tolist()
    return alone
