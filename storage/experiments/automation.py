"""Running experiments of all tenants, and the actions of their automation."""

from typing import Final

from engine.experiments.automation import AutomaticAction, RunningExperiment
from engine.webhooks.events import EventDraft, ExperimentDecided, ExperimentSrm
from storage.experiments.experiments import begin_phase, phases_of
from storage.experiments.rows import definition, stored_of_row
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
                    stored_of_row(row),
                    await phases_of(connection, row["tenant_id"], row["id"]),
                )
                for row in rows
            ]

        return await self._database.transaction(work, read_only=True)

    async def apply(self, running: RunningExperiment, action: AutomaticAction) -> bool:
        tenant_id, before = running.tenant_id, running.stored
        experiment = action.experiment

        async def work(connection: Connection) -> bool:
            version = await connection.fetchval(_SQL["lock_profile"], tenant_id, before.profile_id)
            if version is None:
                return False
            key = tenant_id, before.id, before.version
            if action.action == "mismatch":
                id_ = await connection.fetchval(_SQL["note_mismatch"], *key)
            else:
                values = (
                    experiment.state,
                    definition(experiment),
                    experiment.phase,
                    experiment.winner,
                )
                id_ = await connection.fetchval(_SQL["write"], *key, *values)
            if id_ is None:
                raise ConcurrentChangeError
            if action.action == "weights":
                await begin_phase(connection, tenant_id, experiment, "bandit")
            await connection.execute(_SQL["announce"], before.profile_id, version)
            await append_to_outbox(connection, events_of(running, action))
            return True

        try:
            return await self._database.transaction(work)
        except ConcurrentChangeError:
            return False


class ConcurrentChangeError(Exception):
    """The experiment was changed since it was read: roll back, and look again."""


def events_of(running: RunningExperiment, action: AutomaticAction) -> list[EventDraft]:
    """Return the webhook events of an action."""
    stored_ = running.stored
    names = {
        "id": str(stored_.id),
        "profile_id": str(stored_.profile_id),
        "name": action.experiment.name,
    }
    if action.action == "mismatch":
        srm = ExperimentSrm(**names, p_value=action.p_value)
        return [EventDraft(running.tenant_id, stored_.profile_id, "experiment.srm", srm)]
    if action.action == "weights":
        return []
    winner = action.experiment.winner
    decided = ExperimentDecided(
        **names,
        verdict=action.verdict,
        winner=None if winner is None else action.experiment.variants[winner].name,
    )
    return [EventDraft(running.tenant_id, stored_.profile_id, "experiment.decided", decided)]
