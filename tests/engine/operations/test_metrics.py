"""Statistics of processes: sums and what each name means."""

from engine.operations.metrics import METRICS, ProcessMetrics, Sample, sum_samples


def test_same_names_and_labels_are_summed_and_others_kept_apart() -> None:
    pending = Sample("waypost_journal_pending_clicks", 3)
    disk = Sample("waypost_clicks_unrecorded_total", 2, (("reason", "disk"),))
    full = Sample("waypost_clicks_unrecorded_total", 5, (("reason", "full"),))
    samples = sum_samples(
        [
            ProcessMetrics("edge", 1, (pending, disk)),
            ProcessMetrics("edge", 2, (pending, disk, full)),
            ProcessMetrics("api", 3, ()),
        ]
    )
    assert [sample for sample in samples if sample.name != "waypost_process_info"] == [
        disk._replace(value=4),
        full,
        pending._replace(value=6),
    ]
    assert [s.labels for s in samples if s.name == "waypost_process_info"] == [
        (("role", "api"), ("pid", "3")),
        (("role", "edge"), ("pid", "1")),
        (("role", "edge"), ("pid", "2")),
    ]


def test_names_are_prefixed_and_help_is_one_line() -> None:
    for name, text in METRICS.items():
        assert name.startswith("waypost_")
        assert text
        assert "\n" not in text
