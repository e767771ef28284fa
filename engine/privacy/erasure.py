"""Erasure of a profile: sweeps for data that arrives late, and their end."""

from datetime import datetime
from typing import Final, NamedTuple

# Edges may answer for a deleted profile for up to a second.
FIRST_SWEEP_AFTER_S: Final = 2.0
# From each sweep to the next. They are for clicks on their way, for journals being written, and for journals of
# a machine that was off overnight or for a week.
SWEEP_INTERVALS_S: Final = (120.0, 1_800.0, 100_000.0, 600_000.0)


class Erasure(NamedTuple):
    """The erasure of one profile. `rows` is the number of rows that all `sweeps` have erased."""

    profile_id: int
    requested_at: datetime
    swept_at: datetime | None
    sweeps: int
    rows: int

    @property
    def finished(self) -> bool:
        """Whether all sweeps are done."""
        return self.sweeps > len(SWEEP_INTERVALS_S)
