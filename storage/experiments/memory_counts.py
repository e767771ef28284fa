"""Counts of experiments in memory: the twin of storage.experiments.counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.experiments.counts import VariantCounts, bucket_of
from engine.experiments.increments import ExperimentIncrements, UnitIncrement, UnitKey


@dataclass
class _VisitorRow:
    variant: int
    multiple_exposures: bool = False
    exposed_at: datetime | None = None
    converted_at: datetime | None = None


class MemoryExperimentCounts:
    """Rows of visitors; their sums are computed on request."""

    def __init__(self) -> None:
        self._rows: dict[UnitKey, _VisitorRow] = {}
        self._raw: dict[tuple[int, int, datetime, int], VariantCounts] = {}

    def store(self, increments: ExperimentIncrements) -> None:
        for unit in increments.units:
            self._see(unit)
        for key, exposures, outcomes in increments.sums:
            place = key.experiment_id, key.phase, key.time_bucket, key.variant
            before = self._raw.get(place, VariantCounts())
            self._raw[place] = before._replace(
                exposures=before.exposures + exposures, outcomes=before.outcomes + outcomes
            )

    def _see(self, unit: UnitIncrement) -> None:
        row = self._rows.setdefault(unit.key, _VisitorRow(unit.variant))
        row.multiple_exposures = (
            row.multiple_exposures or unit.multiple_exposures or row.variant != unit.variant
        )
        row.exposed_at = row.exposed_at or unit.exposed_at
        row.converted_at = row.converted_at or unit.converted_at

    def of(self, experiment_id: int, phase: int) -> Mapping[tuple[datetime, int], VariantCounts]:
        """Return the counts of a phase by (time bucket, variant)."""
        counts_by_key = {
            (bucket, variant): counts
            for (experiment, number, bucket, variant), counts in self._raw.items()
            if (experiment, number) == (experiment_id, phase)
        }

        def add(at: datetime, variant: int, **more: int) -> None:
            key = bucket_of(at), variant
            before = counts_by_key.get(key, VariantCounts())
            counts_by_key[key] = before._replace(
                **{name: getattr(before, name) + count for name, count in more.items()}
            )

        for key, row in self._rows.items():
            if (key.experiment_id, key.phase) != (experiment_id, phase):
                continue
            at = row.exposed_at or row.converted_at
            assert at is not None
            if row.multiple_exposures:
                add(at, row.variant, multiple_exposures=1)
            elif row.exposed_at is not None:
                add(at, row.variant, visitors=1)
                if row.converted_at is not None:
                    add(row.converted_at, row.variant, converted_visitors=1)
        return counts_by_key
