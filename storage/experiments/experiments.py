"""Experiments in Postgres, as the console changes and reads them.

Every change locks the profile first and is its next version, as changes of links are: so what depends on the
profile's other experiments holds when the transaction ends, and edges hear of it in the same way.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

import asyncpg

from engine.accounts.access import Action, Caller
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
from storage.experiments.rows import definition, experiment, stored, variants_json, variants_of
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
            place = await enter_profile(connection, caller, profile_id, Action.EDIT)
            change = await next_version(connection, place)
            conflicts.check_new(draft, await open_experiments(connection, place))
            await _refer(connection, place, draft)
            row = await connection.fetchrow(
                _SQL["create_experiment"],
                place.tenant_id,
                profile_id,
                draft.link_id,
                draft.block_id,
                definition(draft),
            )
            return stored(row), change

        return await self._database.transaction(run_once(caller, once, work), caller=caller)

    async def experiment(self, caller: Caller, experiment_id: int) -> StoredExperiment:
        async def work(connection: Connection) -> StoredExperiment:
            place = await enter_experiment(connection, caller, experiment_id, Action.READ)
            return await _fetch(connection, place, experiment_id)

        return await self._read(caller, work)

    async def list_experiments(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        async def work(connection: Connection) -> ListPage:
            place = await enter_profile(connection, caller, profile_id, Action.READ)
            rows = await connection.fetch(
                _SQL["list_experiments"], place.tenant_id, profile_id, min(after, MAX_ID), limit + 1
            )
            found = [stored(row) for row in rows]
            return ListPage.of(found, limit)

        return await self._read(caller, work)

    async def update_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        draft: ExperimentDraft,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        async def work(connection: Connection) -> tuple[StoredExperiment, ProfileChange]:
            place, old = await _lock(connection, caller, experiment_id, if_version)
            others = await open_experiments(connection, place)
            wanted, new_phase = conflicts.revise_among(old.experiment, draft, others)
            if wanted == old.experiment:
                return old, await _as_it_is(connection, place)
            await _refer(connection, place, draft)
            change = await next_version(connection, place)
            if new_phase:
                await begin_phase(connection, place.tenant_id, wanted, "change")
            return await _write(connection, place, wanted), change

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
            place, old = await _lock(connection, caller, experiment_id, if_version)
            others = await open_experiments(connection, place)
            wanted = conflicts.with_state_among(old.experiment, state, others, winner)
            change = await next_version(connection, place)
            if state == "running":
                await begin_phase(connection, place.tenant_id, wanted, "start")
            made = await _write(connection, place, wanted)
            await append_to_outbox(connection, _told(place, made))
            return made, change

        return await self._database.transaction(work, caller=caller)

    async def delete_experiment(
        self, caller: Caller, experiment_id: int, if_version: int | None = None
    ) -> ProfileChange:
        async def work(connection: Connection) -> ProfileChange:
            place, old = await _lock(connection, caller, experiment_id, if_version)
            conflicts.check_delete(old.experiment)
            change = await next_version(connection, place)
            await connection.execute(_SQL["delete_experiment"], place.tenant_id, experiment_id)
            return change

        return await self._database.transaction(work, caller=caller)

    async def edge_experiment(self, caller: Caller, experiment_id: int) -> EdgeExperiment:
        async def work(connection: Connection) -> EdgeExperiment:
            place = await enter_experiment(connection, caller, experiment_id, Action.EDIT)
            found = await _fetch(connection, place, experiment_id)
            row = await connection.fetchrow(_SQL["secrets"], place.tenant_id, experiment_id)
            assert row is not None
            return EdgeExperiment(found.experiment, row["secret"], row["namespace_secret"] or b"")

        return await self._read(caller, work)

    async def counts(
        self, caller: Caller, experiment_id: int, phase: int | None = None
    ) -> tuple[StoredExperiment, ExperimentCounts]:
        async def work(connection: Connection) -> tuple[StoredExperiment, ExperimentCounts]:
            place = await enter_experiment(connection, caller, experiment_id, Action.READ)
            found = await _fetch(connection, place, experiment_id)
            key = place.tenant_id, experiment_id
            phases = await phases_of(connection, *key)
            asked = found.experiment.phase if phase is None else phase
            values = await connection.fetch(_SQL["values"], *key, asked)
            return found, ExperimentCounts(
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
            place = await enter_experiment(connection, caller, experiment_id, Action.READ)
            found = await _fetch(connection, place, experiment_id)
            key = place.tenant_id, experiment_id
            number = found.experiment.phase if phase is None else phase
            asked = [p for p in await phases_of(connection, *key) if p.number == number]
            if not asked:
                raise NotFoundError.of("phase")
            first, last = await connection.fetchrow(_SQL["extent"], *key, number)  # type: ignore[misc]
            if first is None:
                return found, asked[0], []
            step_s = bucket_length_s((last - first).total_seconds(), points)
            rows = await connection.fetch(_SQL["series"], *key, number, first, step_s)
            return found, asked[0], _points(rows, first, step_s, len(asked[0].variants))

        return await self._read(caller, work)

    async def _read(self, caller: Caller, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._database.transaction(work, caller=caller, read_only=True)


def _told(place: ProfileAccess, moved: StoredExperiment) -> list[EventDraft]:
    """What webhooks hear of a state that somebody has chosen."""
    experiment = moved.experiment
    names = {"id": str(moved.id), "profile_id": str(moved.profile_id), "name": experiment.name}
    variants = tuple(variant.name for variant in experiment.variants)
    if experiment.state == "running":
        started = ExperimentStarted(**names, variants=variants)
        return [EventDraft(place.tenant_id, place.profile_id, "experiment.started", started)]
    if experiment.state == "decided" and experiment.winner is not None:
        decided = ExperimentDecided(**names, verdict="chosen", winner=variants[experiment.winner])
        return [EventDraft(place.tenant_id, place.profile_id, "experiment.decided", decided)]
    return []


async def open_experiments(connection: Connection, place: ProfileAccess) -> list[Experiment]:
    """The profile's that are not archived."""
    rows = await connection.fetch(_SQL["open_experiments"], place.tenant_id, place.profile_id)
    return [experiment(row) for row in rows]


async def begin_phase(
    connection: Connection, tenant_id: int, wanted: Experiment, reason: str
) -> None:
    """Write down what the variants are from now on; nothing for a phase that goes on."""
    variants = variants_json(wanted.variants)
    await connection.execute(
        _SQL["begin_phase"], tenant_id, wanted.id, wanted.phase, reason, variants
    )


async def phases_of(
    connection: Connection, tenant_id: int, experiment_id: int
) -> tuple[PhaseCounts, ...]:
    """All phases with what they counted, oldest first."""
    counted: dict[int, dict[int, VariantCounts]] = {}
    for number, arm, *counts in await connection.fetch(_SQL["sums"], tenant_id, experiment_id):
        counted.setdefault(number, {})[arm] = VariantCounts(*counts)
    phases = []
    for row in await connection.fetch(_SQL["phases"], tenant_id, experiment_id):
        variants = variants_of(row["variants"])
        found = counts_by_variant(counted.get(row["phase"], {}), len(variants))
        phases.append(PhaseCounts(row["phase"], row["started_at"], row["reason"], variants, found))
    return tuple(phases)


def _points(
    rows: list[asyncpg.Record], first: datetime, step_s: int, arms: int
) -> list[CountsPoint]:
    found: dict[int, dict[int, VariantCounts]] = {}
    for stretch, arm, *counts in rows:
        found.setdefault(stretch, {})[arm] = VariantCounts(*counts)
    return running_totals(found, first, step_s, arms)


async def _fetch(
    connection: Connection, place: ProfileAccess, experiment_id: int
) -> StoredExperiment:
    row = await connection.fetchrow(_SQL["experiment"], place.tenant_id, experiment_id)
    if row is None:
        raise NotFoundError.of("experiment")
    return stored(row)


async def _lock(
    connection: Connection, caller: Caller, experiment_id: int, if_version: int | None
) -> tuple[ProfileAccess, StoredExperiment]:
    """The experiment, which cannot change until the transaction ends: its profile is locked."""
    place = await enter_experiment(connection, caller, experiment_id, Action.EDIT)
    await lock_profile(connection, place)
    found = await _fetch(connection, place, experiment_id)
    require_version(found.version, if_version)
    return place, found


async def _as_it_is(connection: Connection, place: ProfileAccess) -> ProfileChange:
    return ProfileChange(place.profile_id, (await lock_profile(connection, place)).version)


async def _refer(connection: Connection, place: ProfileAccess, draft: ExperimentDraft) -> None:
    """See that what the draft refers to is there. Raises InvalidError."""
    if draft.link_id is not None:
        key = place.tenant_id, place.profile_id, draft.link_id
        if not await connection.fetchval(_SQL["has_link"], *key):
            raise no_such_link()
    if any(block is not None for block in blocks_of(draft)):
        raise no_such_block()
    if draft.namespace is not None:
        await connection.execute(
            _SQL["create_namespace"], place.tenant_id, place.profile_id, draft.namespace.id
        )


def blocks_of(draft: ExperimentDraft) -> list[int | None]:
    return [draft.block_id, *(variant.block_id for variant in draft.variants)]


def no_such_link() -> InvalidError:
    return InvalidError([FieldError("link_id", "is not the id of a link of this profile")])


def no_such_block() -> InvalidError:
    return InvalidError([FieldError("block_id", "is not the id of a block of this profile")])


async def _write(
    connection: Connection, place: ProfileAccess, wanted: Experiment
) -> StoredExperiment:
    row = await connection.fetchrow(
        _SQL["update_experiment"],
        place.tenant_id,
        wanted.id,
        wanted.state,
        wanted.link_id,
        wanted.block_id,
        definition(wanted),
        wanted.phase,
        wanted.winner,
    )
    return stored(row)
