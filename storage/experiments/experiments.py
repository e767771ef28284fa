"""Experiments in Postgres, for the console.

Every change locks the profile first and makes its next version, as changes of links do. So checks against the
profile's other experiments hold when the transaction ends, and edges learn of the change in the same way.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
from engine.common.errors import FieldError, InvalidError, NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.experiments import conflicts
from engine.experiments.counts import (
    ConversionValue,
    CountsPoint,
    ExperimentCounts,
    PhaseCounts,
    VariantCounts,
    bucket_length_s,
    counts_by_variant,
    running_totals,
)
from engine.experiments.experiment import (
    EdgeExperiment,
    Experiment,
    ExperimentDraft,
    ExperimentState,
    StoredExperiment,
)
from engine.links.profile import ProfileChange
from engine.webhooks.events import EventDraft, ExperimentDecided, ExperimentStarted
from storage.accounts.access import MAX_ID, ProfileAccess, enter_experiment, enter_profile
from storage.experiments.rows import (
    definition,
    experiment_of_row,
    stored_of_row,
    variants_json,
    variants_of,
)
from storage.links.profiles import lock_profile, next_version
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.postgres.idempotency import run_once
from storage.webhooks.outbox import append_to_outbox

T = TypeVar("T")
_SQL: Final = queries.load("experiments/experiments")


class PostgresExperimentStore:
    """ExperimentStore over a database that was opened as waypost_app."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_experiment(
        self,
        caller: Caller,
        profile_id: int,
        draft: ExperimentDraft,
        once: IdempotentRequest[tuple[StoredExperiment, ProfileChange]] | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        async def work(connection: Connection) -> tuple[StoredExperiment, ProfileChange]:
            access = await enter_profile(connection, caller, profile_id, Action.EDIT)
            change = await next_version(connection, access)
            conflicts.check_new(draft, await open_experiments(connection, access))
            await _require_references(connection, access, draft)
            row = await connection.fetchrow(
                _SQL["create_experiment"],
                access.tenant_id,
                profile_id,
                draft.link_id,
                draft.block_id,
                definition(draft),
            )
            return stored_of_row(row), change

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def experiment(self, caller: Caller, experiment_id: int) -> StoredExperiment:
        async def work(connection: Connection) -> StoredExperiment:
            access = await enter_experiment(connection, caller, experiment_id, Action.READ)
            return await _fetch(connection, access, experiment_id)

        return await self._read(caller, work)

    async def list_experiments(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            access = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                _SQL["list_experiments"],
                access.tenant_id,
                profile_id,
                min(after, MAX_ID),
                limit + 1,
            )
            stored = [stored_of_row(row) for row in rows]
            return ListPage.of(stored, limit)

        return await self._read(caller, work)

    async def update_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        draft: Change[ExperimentDraft, StoredExperiment],
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        async def work(connection: Connection) -> tuple[StoredExperiment, ProfileChange]:
            access, old = await _lock(connection, caller, experiment_id, if_version)
            others = await open_experiments(connection, access)
            wanted = draft_after(draft, old)
            revised, new_phase = conflicts.revise_among(old.experiment, wanted, others)
            if revised == old.experiment:
                return old, await _unchanged(connection, access)
            await _require_references(connection, access, wanted)
            change = await next_version(connection, access)
            if new_phase:
                await begin_phase(connection, access.tenant_id, revised, "change")
            return await _write(connection, access, revised), change

        return await self._database.transaction(work, caller=caller)

    async def move_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        state: ExperimentState,
        winner: str | None = None,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        async def work(connection: Connection) -> tuple[StoredExperiment, ProfileChange]:
            access, old = await _lock(connection, caller, experiment_id, if_version)
            others = await open_experiments(connection, access)
            revised = conflicts.with_state_among(old.experiment, state, others, winner)
            change = await next_version(connection, access)
            if state == "running":
                await begin_phase(connection, access.tenant_id, revised, "start")
            stored_ = await _write(connection, access, revised)
            await append_to_outbox(connection, _events_of(access, stored_))
            return stored_, change

        return await self._database.transaction(work, caller=caller)

    async def delete_experiment(
        self, caller: Caller, experiment_id: int, if_version: int | None = None
    ) -> ProfileChange:
        async def work(connection: Connection) -> ProfileChange:
            access, old = await _lock(connection, caller, experiment_id, if_version)
            conflicts.check_delete(old.experiment)
            change = await next_version(connection, access)
            await connection.execute(_SQL["delete_experiment"], access.tenant_id, experiment_id)
            return change

        return await self._database.transaction(work, caller=caller)

    async def edge_experiment(self, caller: Caller, experiment_id: int) -> EdgeExperiment:
        async def work(connection: Connection) -> EdgeExperiment:
            access = await enter_experiment(connection, caller, experiment_id, Action.EDIT)
            stored = await _fetch(connection, access, experiment_id)
            row = await connection.fetchrow(_SQL["secrets"], access.tenant_id, experiment_id)
            assert row is not None
            return EdgeExperiment(stored.experiment, row["secret"], row["namespace_secret"] or b"")

        return await self._read(caller, work)

    async def counts(
        self, caller: Caller, experiment_id: int, phase: int | None = None
    ) -> tuple[StoredExperiment, ExperimentCounts]:
        async def work(connection: Connection) -> tuple[StoredExperiment, ExperimentCounts]:
            access = await enter_experiment(connection, caller, experiment_id, Action.READ)
            stored = await _fetch(connection, access, experiment_id)
            key = access.tenant_id, experiment_id
            phases = await phases_of(connection, *key)
            requested = stored.experiment.phase if phase is None else phase
            values = await connection.fetch(_SQL["values"], *key, requested)
            return stored, ExperimentCounts(
                phases,
                tuple(ConversionValue(*row) for row in values),
                await connection.fetchval(_SQL["unattributed"], *key),
            )

        return await self._read(caller, work)

    async def series(
        self, caller: Caller, experiment_id: int, phase: int | None, points: int
    ) -> tuple[StoredExperiment, PhaseCounts, list[CountsPoint]]:
        async def work(
            connection: Connection,
        ) -> tuple[StoredExperiment, PhaseCounts, list[CountsPoint]]:
            access = await enter_experiment(connection, caller, experiment_id, Action.READ)
            stored = await _fetch(connection, access, experiment_id)
            key = access.tenant_id, experiment_id
            number = stored.experiment.phase if phase is None else phase
            requested = [p for p in await phases_of(connection, *key) if p.number == number]
            if not requested:
                raise NotFoundError.of("phase")
            first, last = await connection.fetchrow(_SQL["extent"], *key, number)  # type: ignore[misc]
            if first is None:
                return stored, requested[0], []
            step_s = bucket_length_s((last - first).total_seconds(), points)
            rows = await connection.fetch(_SQL["series"], *key, number, first, step_s)
            return stored, requested[0], _points(rows, first, step_s, len(requested[0].variants))

        return await self._read(caller, work)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


def _events_of(access: ProfileAccess, stored: StoredExperiment) -> list[EventDraft]:
    """Return the webhook events of a state that a member has chosen."""
    experiment = stored.experiment
    names = {"id": str(stored.id), "profile_id": str(stored.profile_id), "name": experiment.name}
    variants = tuple(variant.name for variant in experiment.variants)
    if experiment.state == "running":
        started = ExperimentStarted(**names, variants=variants)
        return [EventDraft(access.tenant_id, access.profile_id, "experiment.started", started)]
    if experiment.state == "decided" and experiment.winner is not None:
        decided = ExperimentDecided(**names, verdict="chosen", winner=variants[experiment.winner])
        return [EventDraft(access.tenant_id, access.profile_id, "experiment.decided", decided)]
    return []


async def open_experiments(connection: Connection, access: ProfileAccess) -> list[Experiment]:
    """Return the profile's experiments that are not archived."""
    rows = await connection.fetch(_SQL["open_experiments"], access.tenant_id, access.profile_id)
    return [experiment_of_row(row) for row in rows]


async def begin_phase(
    connection: Connection, tenant_id: int, revised: Experiment, reason: str
) -> None:
    """Record the variants of a new phase; do nothing for a phase that exists."""
    variants = variants_json(revised.variants)
    await connection.execute(
        _SQL["begin_phase"], tenant_id, revised.id, revised.phase, reason, variants
    )


async def phases_of(
    connection: Connection, tenant_id: int, experiment_id: int
) -> tuple[PhaseCounts, ...]:
    """Return all phases with their counts, oldest first."""
    counts_by_phase: dict[int, dict[int, VariantCounts]] = {}
    for number, variant, *counts in await connection.fetch(_SQL["sums"], tenant_id, experiment_id):
        counts_by_phase.setdefault(number, {})[variant] = VariantCounts(*counts)
    phases = []
    for row in await connection.fetch(_SQL["phases"], tenant_id, experiment_id):
        variants = variants_of(row["variants"])
        stored = counts_by_variant(counts_by_phase.get(row["phase"], {}), len(variants))
        phases.append(PhaseCounts(row["phase"], row["started_at"], row["reason"], variants, stored))
    return tuple(phases)


def _points(
    rows: list[asyncpg.Record], first: datetime, step_s: int, variants: int
) -> list[CountsPoint]:
    stored: dict[int, dict[int, VariantCounts]] = {}
    for step, variant, *counts in rows:
        stored.setdefault(step, {})[variant] = VariantCounts(*counts)
    return running_totals(stored, first, step_s, variants)


async def _fetch(
    connection: Connection, access: ProfileAccess, experiment_id: int
) -> StoredExperiment:
    row = await connection.fetchrow(_SQL["experiment"], access.tenant_id, experiment_id)
    if row is None:
        raise NotFoundError.of("experiment")
    return stored_of_row(row)


async def _lock(
    connection: Connection, caller: Caller, experiment_id: int, if_version: int | None
) -> tuple[ProfileAccess, StoredExperiment]:
    """Return the caller's access and the experiment, and lock its profile until the transaction ends."""
    access = await enter_experiment(connection, caller, experiment_id, Action.EDIT)
    await lock_profile(connection, access)
    stored = await _fetch(connection, access, experiment_id)
    require_version(stored.version, if_version)
    return access, stored


async def _unchanged(connection: Connection, access: ProfileAccess) -> ProfileChange:
    return ProfileChange(access.profile_id, (await lock_profile(connection, access)).version)


async def _require_references(
    connection: Connection, access: ProfileAccess, draft: ExperimentDraft
) -> None:
    """Require that link, block and namespace of the draft exist. Raises InvalidError."""
    if draft.link_id is not None:
        key = access.tenant_id, access.profile_id, draft.link_id
        if not await connection.fetchval(_SQL["has_link"], *key):
            raise no_such_link()
    if draft.block_id is not None:
        page = access.tenant_id, access.profile_id
        if not await connection.fetchval(_SQL["has_block"], *page, draft.block_id):
            raise no_such_block()
    if ids := picture_ids(draft):
        rows = await connection.fetch(
            _SQL["known_assets"], access.tenant_id, access.profile_id, list(ids)
        )
        require_pictures(draft, {row["id"] for row in rows})
    if draft.namespace is not None:
        await connection.execute(
            _SQL["create_namespace"], access.tenant_id, access.profile_id, draft.namespace.id
        )


def picture_ids(draft: ExperimentDraft) -> set[int]:
    """Return the ids of the assets that variants show."""
    pictures = (variant.picture for variant in draft.variants)
    return {min(int(id_), MAX_ID) if id_.isdecimal() else MAX_ID for id_ in pictures if id_}


def require_pictures(draft: ExperimentDraft, known: Collection[int]) -> None:
    """Raise InvalidError, with each variant whose picture is none of the known assets."""
    ids = {str(id_) for id_ in known}
    reason = "must be the id of an asset of this profile"
    errors = [
        FieldError(f"variants.{number}.picture", reason)
        for number, variant in enumerate(draft.variants)
        if variant.picture is not None and variant.picture not in ids
    ]
    if errors:
        raise InvalidError(errors)


def no_such_link() -> InvalidError:
    return InvalidError([FieldError("link_id", "must be the id of a link of this profile")])


def no_such_block() -> InvalidError:
    return InvalidError([FieldError("block_id", "must be the id of a block of the published page")])


async def _write(
    connection: Connection, access: ProfileAccess, revised: Experiment
) -> StoredExperiment:
    row = await connection.fetchrow(
        _SQL["update_experiment"],
        access.tenant_id,
        revised.id,
        revised.state,
        revised.link_id,
        revised.block_id,
        definition(revised),
        revised.phase,
        revised.winner,
    )
    return stored_of_row(row)
