"""What experiments count, in memory: the twin of storage.experiments.counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.experiments.counts import BUCKET_S, VariantCounts
from engine.experiments.increments import ExperimentIncrements, UnitIncrement, UnitKey


@dataclass
class _VisitorRow:
    arm: int
    crossed: bool = False
    exposed_at: datetime | None = None
    converted_at: datetime | None = None


class MemoryExperimentCounts:
    """Rows of visitors; sums of visitors are made of them when they are asked for."""

    def __init__(self) -> None:
        self._rows: dict[UnitKey, _VisitorRow] = {}
        self._raw: dict[tuple[int, int, datetime, int], VariantCounts] = {}

    def store(self, observed: ExperimentIncrements) -> None:
        for unit in observed.units:
            self._see(unit)
        for key, exposures, outcomes in observed.sums:
            place = key.experiment_id, key.phase, key.time_bucket, key.variant
            before = self._raw.get(place, VariantCounts())
            self._raw[place] = before._replace(
                exposures=before.exposures + exposures, outcomes=before.outcomes + outcomes
            )

    def _see(self, unit: UnitIncrement) -> None:
        row = self._rows.setdefault(unit.key, _VisitorRow(unit.variant))
        row.crossed = row.crossed or unit.multiple_exposures or row.arm != unit.variant
        row.exposed_at = row.exposed_at or unit.exposed_at
        row.converted_at = row.converted_at or unit.converted_at

    def of(self, experiment_id: int, phase: int) -> Mapping[tuple[datetime, int], VariantCounts]:
        """Of a phase, by bucket and arm."""
        found = {
            (bucket, arm): counts
            for (experiment, number, bucket, arm), counts in self._raw.items()
            if (experiment, number) == (experiment_id, phase)
        }

        def add(at: datetime, arm: int, **more: int) -> None:
            key = _bucket(at), arm
            before = found.get(key, VariantCounts())
            found[key] = before._replace(
                **{name: getattr(before, name) + count for name, count in more.items()}
            )

        for key, row in self._rows.items():
            if (key.experiment_id, key.phase) != (experiment_id, phase):
                continue
            at = row.exposed_at or row.converted_at
            assert at is not None
            if row.crossed:
                add(at, row.arm, multiple_exposures=1)
            elif row.exposed_at is not None:
                add(at, row.arm, visitors=1)
                if row.converted_at is not None:
                    add(row.converted_at, row.arm, converted_visitors=1)
        return found


def _bucket(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // BUCKET_S * BUCKET_S, UTC)
