"""Experiments as rows: how a definition is stored and read back."""

from typing import Any, Final

import msgspec

from engine.experiments.experiment import Experiment, ExperimentDraft, StoredExperiment, Variant

# What refers to other rows stands in columns of its own.
_COLUMNS: Final = ("link_id", "block_id")


def definition(draft: ExperimentDraft) -> str:
    """The draft as jsonb, without what is in columns."""
    fields = {
        name: getattr(draft, name)
        for name in ExperimentDraft.__struct_fields__
        if name not in _COLUMNS
    }
    return msgspec.json.encode(fields).decode()


def experiment(row: Any) -> Experiment:
    """Of a row that has id, state, link_id, block_id, definition, phase, winner and seed."""
    fields = msgspec.json.decode(row["definition"])
    fields |= {
        name: row[name]
        for name in ("id", "state", "link_id", "block_id", "phase", "winner", "seed")
    }
    return msgspec.convert(fields, Experiment)


def stored(row: Any) -> StoredExperiment:
    """The same with when and of which version it is."""
    return StoredExperiment(
        experiment=experiment(row),
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
