"""Counts of what hooks received, by outcome."""

from typing import Final

from engine.experiments.conversion import RecordedReport
from engine.operations.metrics import Metric, Sample

REPORTS: Final = Metric(
    "waypost_shop_reports_total",
    "Orders and refunds that hooks received, by outcome: recorded, unattributed, duplicate, refund, ignored, "
    "unsigned",
    ("outcome",),
)


class ShopReportCounts:
    """The counter. An order and each new refund of a request count by themselves."""

    def __init__(self) -> None:
        outcomes = ("recorded", "unattributed", "duplicate", "refund", "ignored", "unsigned")
        self._counts = dict.fromkeys(outcomes, 0)

    def count(self, outcome: str, number: int = 1) -> None:
        self._counts[outcome] += number

    def count_recorded(self, recorded: RecordedReport) -> None:
        order = recorded.order
        if order is not None:
            outcome = "unattributed" if order.attribution == "unattributed" else "recorded"
            self.count("duplicate" if order.duplicate else outcome)
        self.count("refund", recorded.new_refunds)

    def samples(self) -> list[Sample]:
        return [*REPORTS.by_label(self._counts)]
