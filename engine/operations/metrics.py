"""Metrics: the numbers that a process reports to Prometheus, each declared where it is counted.

A module declares its metrics as constants, and its actor or store returns their samples; the
process concatenates these lists. The exposition needs nothing else: a sample carries its metric
and its help, also from one process to another.

Samples of several processes with the same name and labels are summed for the exposition. So the
values of a gauge must make sense as a sum, or the gauge must have the process as a label.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple


class Metric(NamedTuple):
    """A declared metric. Its name ends in `_total` (a counter) or its unit (a gauge).

    `help` is one line that names what is counted; `labels` are the names of its labels, in the
    order of the exposition.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["counter", "gauge"]:
        """The metric's type in the exposition."""
        return "counter" if self.name.endswith("_total") else "gauge"

    def sample(self, value: float, *labels: str) -> "Sample":
        """Return a sample. `labels` are the values of all labels of this metric. Raises ValueError."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        return Sample(self, value, labels)

    def by_label(self, counts: Mapping[str, float] | Mapping[int, float]) -> "list[Sample]":
        """Return a sample for each value of the metric's only label."""
        return [self.sample(count, str(label)) for label, count in counts.items()]


class Sample(NamedTuple):
    """A value of a metric. `labels` are the values of the metric's labels."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name


class ProcessMetrics(NamedTuple):
    """All samples of one process of the engine. `pid` is 0 for the launcher, which has no role of its own."""

    role: str
    pid: int
    samples: tuple[Sample, ...]


PROCESS_INFO: Final = Metric(
    "waypost_process_info", "1 for each process of the engine", ("role", "pid")
)


def sum_samples(processes: Iterable[ProcessMetrics]) -> list[Sample]:
    """Return the sum of the samples with the same name and labels, and a PROCESS_INFO sample of each
    process with a role, sorted by name and labels."""
    sums: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for process in processes:
        info = [PROCESS_INFO.sample(1, process.role, str(process.pid))] if process.pid else []
        for sample in (*info, *process.samples):
            key = sample.name, sample.labels
            if key in sums:
                sample = sample._replace(value=sums[key].value + sample.value)
            sums[key] = sample
    return [sample for _, sample in sorted(sums.items(), key=lambda item: item[0])]
