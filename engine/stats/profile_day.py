"""A profile's UTC day: the unit in which clicks are settled (storage/stats/settling.py)."""

from datetime import date
from typing import Final, NamedTuple

HOT_CLICKS: Final = 2_000  # of a day: more cost less in tables than packed, unless they are thin
MAX_DELTAS: Final = 64  # of a day: questions read them one by one
# Of a large day, in deltas: fewer are merged, as a row of tables costs the same for one click as for many.
HOT_DELTA_CLICKS: Final = 5_000


class ProfileDay(NamedTuple):
    """A UTC day of one profile."""

    tenant_id: int
    profile_id: int
    day: date
