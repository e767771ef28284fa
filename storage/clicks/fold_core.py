"""Code that reads and packs the clicks of a fold: Python, or compiled code that does the same."""

from collections.abc import Callable
from typing import Final, NamedTuple

from engine.clicks.copy_rows import FoldRows
from engine.clicks.day_rows import DayRows
from engine.operations.metrics import Metric, Sample
from engine.stats.packed.click_packer import ValueTexts, pack_day
from engine.stats.packed.packed_clicks import PackedClicks

FOLD_CORE: Final = Metric(
    "waypost_fold_core_info",
    "Processes that fold, by what reads and packs their clicks: compiled code, or Python",
    ("core",),
)


class FoldCore(NamedTuple):
    """The class of a fold's rows, and the function that packs a profile's day. `core` names them, `reason` says
    why they are not compiled."""

    rows: type[FoldRows]
    pack_day: Callable[[DayRows, ValueTexts], PackedClicks]
    core: str
    reason: str = ""

    def samples(self) -> list[Sample]:
        return [FOLD_CORE.sample(1, self.core)]


PYTHON: Final = FoldCore(FoldRows, pack_day, "python")
