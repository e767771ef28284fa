"""Experiments as rows: definitions are stored as jsonb and read back."""

from typing import Any, Final

import msgspec

from engine.experiments.experiment import Experiment, ExperimentDraft, StoredExperiment, Variant

# References to other rows have columns of their own.
_COLUMNS: Final = ("link_id", "block_id")


def definition(draft: ExperimentDraft) -> str:
    """Return the draft as jsonb, without the fields that have columns."""
    fields = {
        name: getattr(draft, name)
        for name in ExperimentDraft.__struct_fields__
        if name not in _COLUMNS
    }
    return msgspec.json.encode(fields).decode()


def experiment_of_row(row: Any) -> Experiment:
    """Return the experiment of a row with id, state, link_id, block_id, definition, phase, winner and seed."""
    fields = msgspec.json.decode(row["definition"])
    fields |= {
        name: row[name]
        for name in ("id", "state", "link_id", "block_id", "phase", "winner", "seed")
    }
    return msgspec.convert(fields, Experiment)


def stored_of_row(row: Any) -> StoredExperiment:
    """Return the experiment of a row that also has its times and version."""
    return StoredExperiment(
        experiment=experiment_of_row(row),
        **{
            name: row[name]
            for name in (
                "profile_id", "version", "created_at", "updated_at", "started_at", "ended_at",
                "mismatch_at",
            )
        },
    )  # fmt: skip


def variants_json(variants: tuple[Variant, ...]) -> str:
    return msgspec.json.encode(variants).decode()


def variants_of(text: str) -> tuple[Variant, ...]:
    return msgspec.json.decode(text, type=tuple[Variant, ...])
