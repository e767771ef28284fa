"""Metrics: the numbers that a process reports to Prometheus, each declared where it is counted.

A module declares its metrics as constants and its actor or store returns their samples; the
process concatenates these lists. The exposition needs nothing else: each sample brings its metric
with its help along, also from one process to another.

The same name and labels from several processes are summed before they are shown, so a gauge must
be one that may be added up, or have the process as a label.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple


class Metric(NamedTuple):
    """A declared metric: its name ends in `_total` (a counter) or its unit (a gauge).

    `help` is one line that says what is counted; `labels` are the names of its labels, in the
    order in which they are written.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["counter", "gauge"]:
        return "counter" if self.name.endswith("_total") else "gauge"

    def sample(self, value: float, *labels: str) -> "Sample":
        """Return a sample; `labels` are the values of this metric's labels, all of them."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        return Sample(self, value, labels)

    def by_label(self, counts: Mapping[str, float] | Mapping[int, float]) -> "list[Sample]":
        """Return a sample for each value of the only label."""
        return [self.sample(count, str(label)) for label, count in counts.items()]


class Sample(NamedTuple):
    """One value of a metric. `labels` are the values of the metric's labels."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.metric.name


class ProcessMetrics(NamedTuple):
    """All samples of one process of the engine."""

    role: str
    pid: int
    samples: tuple[Sample, ...]


PROCESS_INFO: Final = Metric(
    "waypost_process_info", "1 for each process of the engine", ("role", "pid")
)


def sum_samples(processes: Iterable[ProcessMetrics]) -> list[Sample]:
    """Return one sample for each name and labels, sorted by these, and a PROCESS_INFO for each
    process."""
    sums: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for process in processes:
        info = PROCESS_INFO.sample(1, process.role, str(process.pid))
        for sample in (info, *process.samples):
            key = sample.name, sample.labels
            if key in sums:
                sample = sample._replace(value=sums[key].value + sample.value)
            sums[key] = sample
    return [sample for _, sample in sorted(sums.items(), key=lambda item: item[0])]
