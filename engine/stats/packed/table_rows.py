"""Rows that clicks of one day would take in the tables of hot days: whether tables are worth it.

Tables have a row for each link, quarter of an hour and value of each dimension, and a sketch in it, however
many clicks that row counts. Where clicks are spread over so many links and quarters that a row counts few
of them, packed clicks take a tenth of the space and of the work.
"""

from typing import Final

import numpy as np

from engine.clicks.dimension import EVENT_DIMENSIONS, Dimension
from engine.stats.dimension_counts import max_values
from engine.stats.packed.numbering import distinct_in_groups, number_groups
from engine.stats.packed.packed_clicks import COLUMN_OF, Numbers
from engine.stats.packed.profile_clicks import ProfileClicks

MIN_CLICKS_A_ROW: Final = 8  # that are counted together; with fewer, a day is thin
# Of variants few clicks have any.
_DIMENSIONS: Final = tuple(
    d for d in COLUMN_OF if d is not Dimension.VARIANT and d not in EVENT_DIMENSIONS
)
_PAGE: Final = 0  # a link's caps are those of the page


def is_thin(clicks: ProfileClicks) -> bool:
    """Return whether tables would hold more than a row for every MIN_CLICKS_A_ROW of these clicks."""
    limit = len(clicks) // MIN_CLICKS_A_ROW
    place, firsts = number_groups((clicks.values(Dimension.LINK).codes, clicks.quarters))
    places, rows = len(firsts), 0
    for left, dimension in zip(range(len(_DIMENSIONS), 0, -1), _DIMENSIONS, strict=True):
        if rows + left * places > limit:
            return True  # each of the dimensions that are left has a row for each place at least
        rows += _rows_of(clicks, dimension, place, places)
    return rows > limit


def _rows_of(clicks: ProfileClicks, dimension: Dimension, place: Numbers, places: int) -> int:
    """Return the rows of a dimension's values, of every link and quarter with their cap."""
    of, codes, names = clicks.values(dimension)
    if len(names) == 1:
        return places
    cap = max_values(dimension, _PAGE)
    values = distinct_in_groups(place[of], places, codes)
    return int((values if cap is None else np.minimum(values, cap + 1)).sum())
