"""Erasing a profile: how often what arrives late is looked for, and when that is enough."""

from datetime import datetime
from typing import Final, NamedTuple

FIRST_SWEEP_AFTER_S: Final = (
    2.0  # edges may answer for the profile for up to a second after it is gone
)
# From each sweep to the next: for what was on its way; for journals that are being written; for those of a
# machine that was off over night, or for a week.
SWEEP_INTERVALS_S: Final = (120.0, 1_800.0, 100_000.0, 600_000.0)


class Erasure(NamedTuple):
    """One profile's: how many sweeps there were, and how many rows they erased in all."""

    profile_id: int
    requested_at: datetime
    swept_at: datetime | None
    sweeps: int
    rows: int

    @property
    def finished(self) -> bool:
        return self.sweeps > len(SWEEP_INTERVALS_S)
