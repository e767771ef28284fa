"""The metrics of an edge's journal."""

from typing import Final

from engine.operations.metrics import Metric, Sample
from storage.clicks.journal import Journal

APPENDED_CLICKS: Final = Metric(
    "waypost_journal_appended_total", "Clicks and views written to journals"
)
UNRECORDED_CLICKS: Final = Metric(
    "waypost_clicks_unrecorded_total",
    "Clicks answered and not recorded: full, disk, limit (the journal's), behind (a slow disk)",
    ("reason",),
)
JOURNAL_BYTES: Final = Metric("waypost_journal_bytes", "Disk that the journals take, in bytes")
KEPT_BYTES: Final = Metric(
    "waypost_journal_kept_bytes", "Disk that counted clicks of active journals take, in bytes"
)
SEGMENTS_NOT_KEPT: Final = Metric(
    "waypost_journal_segments_not_kept_total",
    "Counted segments deleted before their time: too many bytes, or the disk was full",
)
SYNC_FAILURES: Final = Metric(
    "waypost_journal_sync_failures_total", "Syncs of journals to the disk that failed"
)


def samples(journal: Journal) -> list[Sample]:
    return [
        APPENDED_CLICKS.sample(journal.appended),
        # Checks and alerts look for this one before anything has gone wrong.
        *UNRECORDED_CLICKS.by_label(journal.unrecorded or {"disk": 0}),
        JOURNAL_BYTES.sample(journal.bytes_on_disk),
        KEPT_BYTES.sample(journal.kept.bytes_on_disk),
        SEGMENTS_NOT_KEPT.sample(journal.kept.dropped),
        SYNC_FAILURES.sample(journal.sync_failures),
    ]
