"""Metrics of processes: their declaration, and their sums over processes."""

import pytest

from engine.operations.metrics import PROCESS_INFO, Metric, ProcessMetrics, Sample, sum_samples

PENDING = Metric("waypost_pending_clicks", "Clicks that wait")
UNRECORDED = Metric("waypost_unrecorded_total", "Clicks not recorded", ("reason",))


def test_samples_with_the_same_name_and_labels_are_summed() -> None:
    pending = PENDING.sample(3)
    disk, full = UNRECORDED.by_label({"disk": 2, "full": 5})
    samples = sum_samples(
        [
            ProcessMetrics("edge", 1, (pending, disk)),
            ProcessMetrics("edge", 2, (pending, disk, full)),
            ProcessMetrics("api", 3, ()),
        ]
    )
    assert [sample for sample in samples if sample.metric is not PROCESS_INFO] == [
        pending._replace(value=6),
        disk._replace(value=4),
        full,
    ]
    assert [sample.labels for sample in samples if sample.metric is PROCESS_INFO] == [
        ("api", "3"),
        ("edge", "1"),
        ("edge", "2"),
    ]


def test_the_end_of_its_name_makes_a_metric_a_counter_or_a_gauge() -> None:
    assert (PENDING.kind, UNRECORDED.kind) == ("gauge", "counter")


def test_a_sample_has_all_labels_of_its_metric() -> None:
    assert UNRECORDED.sample(1, "disk") == Sample(UNRECORDED, 1, ("disk",))
    for labels in ((), ("disk", "full")):
        with pytest.raises(ValueError, match="waypost_unrecorded_total has the labels"):
            UNRECORDED.sample(1, *labels)
