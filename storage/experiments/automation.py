"""Experiments of all tenants that run, and what their rules do to them; over waypost_aggregator."""

from typing import Final

from engine.experiments.automation import AutomaticAction, RunningExperiment
from engine.webhooks.events import EventDraft, ExperimentDecided, ExperimentSrm
from storage.experiments.experiments import begin_phase, phases_of
from storage.experiments.rows import definition, stored
from storage.postgres import queries
from storage.postgres.database import Connection, Database
from storage.webhooks.outbox import append_to_outbox

_SQL: Final = queries.load("experiments/automation")


class PostgresRunningExperiments:
    """RunningExperiments over a database that was opened as waypost_aggregator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        async def work(connection: Connection) -> list[RunningExperiment]:
            rows = await connection.fetch(_SQL["running"], after, limit)
            return [
                RunningExperiment(
                    row["tenant_id"],
                    stored(row),
                    await phases_of(connection, row["tenant_id"], row["id"]),
                )
                for row in rows
            ]

        return await self._database.transaction(work, read_only=True)

    async def apply(self, watched: RunningExperiment, step: AutomaticAction) -> bool:
        tenant_id, before = watched.tenant_id, watched.stored
        wanted = step.experiment

        async def work(connection: Connection) -> bool:
            version = await connection.fetchval(_SQL["lock_profile"], tenant_id, before.profile_id)
            if version is None:
                return False
            key = tenant_id, before.id, before.version
            if step.action == "mismatch":
                done = await connection.fetchval(_SQL["note_mismatch"], *key)
            else:
                values = wanted.state, definition(wanted), wanted.phase, wanted.winner
                done = await connection.fetchval(_SQL["write"], *key, *values)
            if done is None:
                raise ConcurrentChangeError
            if step.action == "weights":
                await begin_phase(connection, tenant_id, wanted, "bandit")
            await connection.execute(_SQL["announce"], before.profile_id, version)
            await append_to_outbox(connection, events_of(watched, step))
            return True

        try:
            return await self._database.transaction(work)
        except ConcurrentChangeError:
            return False


class ConcurrentChangeError(Exception):
    """The experiment is not as it was read: undo, and look again."""


def events_of(watched: RunningExperiment, step: AutomaticAction) -> list[EventDraft]:
    """What webhooks hear of a step."""
    stored_ = watched.stored
    names = {
        "id": str(stored_.id),
        "profile_id": str(stored_.profile_id),
        "name": step.experiment.name,
    }
    if step.action == "mismatch":
        srm = ExperimentSrm(**names, p_value=step.p_value)
        return [EventDraft(watched.tenant_id, stored_.profile_id, "experiment.srm", srm)]
    if step.action == "weights":
        return []
    winner = step.experiment.winner
    decided = ExperimentDecided(
        **names,
        verdict=step.verdict,
        winner=None if winner is None else step.experiment.variants[winner].name,
    )
    return [EventDraft(watched.tenant_id, stored_.profile_id, "experiment.decided", decided)]
