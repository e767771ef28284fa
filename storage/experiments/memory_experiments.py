"""Experiments in memory: the twin of storage.experiments.experiments."""

import hashlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.errors import NotFoundError
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.common.versions import require_version
from engine.experiments import conflicts
from engine.experiments.automation import AutomaticAction, RunningExperiment
from engine.experiments.counts import (
    CountsPoint,
    ExperimentCounts,
    PhaseCounts,
    VariantCounts,
    bucket_length_s,
    counts_by_variant,
    running_totals,
    sum_counts,
)
from engine.experiments.experiment import (
    EdgeExperiment,
    Experiment,
    ExperimentDraft,
    ExperimentState,
    StoredExperiment,
)
from engine.links.profile import ProfileChange
from storage.experiments.experiments import blocks_of, no_such_block, no_such_link
from storage.experiments.memory_counts import MemoryExperimentCounts
from storage.links.memory_profiles import MemoryProfiles
from storage.postgres.memory_idempotency import MemoryIdempotency


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryExperimentStore:
    """ExperimentStore without a server, over the profiles of another twin."""

    def __init__(
        self,
        profiles: MemoryProfiles,
        counts: MemoryExperimentCounts | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._profiles = profiles
        self.memory_counts = counts or MemoryExperimentCounts()
        self._now = now
        self._answers = MemoryIdempotency(now)
        self._ids = itertools.count(1_000_001)
        self._kept: dict[int, StoredExperiment] = {}
        self._phases: dict[int, list[PhaseCounts]] = {}
        profiles.experiments_of = self._of_edge

    async def create_experiment(
        self,
        caller: Caller,
        profile_id: int,
        draft: ExperimentDraft,
        once: IdempotentRequest[tuple[StoredExperiment, ProfileChange]] | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        await trio.lowlevel.checkpoint()

        def work() -> tuple[StoredExperiment, ProfileChange]:
            self._profiles.team(caller, profile_id, Action.EDIT)
            conflicts.check_new(draft, self._open(profile_id))
            self._refer(profile_id, draft)
            number, now = next(self._ids), self._now()
            made = StoredExperiment(
                experiment=Experiment(
                    **_fields(draft), id=number, seed=hashlib.sha256(b"%d" % number).hexdigest()
                ),
                profile_id=profile_id,
                version=1,
                created_at=now,
                updated_at=now,
            )
            self._kept[number] = made
            self._phases[number] = []
            return made, self._profiles.bump(profile_id)

        return self._answers.only_once(caller, once, work)

    async def experiment(self, caller: Caller, experiment_id: int) -> StoredExperiment:
        await trio.lowlevel.checkpoint()
        return self._found(caller, experiment_id, Action.READ)

    async def list_experiments(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        found = [e for e in self._of(profile_id) if e.id > after]
        return ListPage.of(found, limit)

    async def update_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        draft: ExperimentDraft,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        await trio.lowlevel.checkpoint()
        old = self._found(caller, experiment_id, Action.EDIT, if_version)
        others = self._open(old.profile_id)
        wanted, new_phase = conflicts.revise_among(old.experiment, draft, others)
        if wanted == old.experiment:
            profile, _ = self._profiles.team(caller, old.profile_id, Action.EDIT)
            return old, ProfileChange(profile.id, profile.version)
        self._refer(old.profile_id, draft)
        if new_phase:
            self._begin(wanted, "change")
        return self._write(old, wanted)

    async def move_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        state: ExperimentState,
        winner: str | None = None,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        await trio.lowlevel.checkpoint()
        old = self._found(caller, experiment_id, Action.EDIT, if_version)
        others = self._open(old.profile_id)
        wanted = conflicts.with_state_among(old.experiment, state, others, winner)
        if state == "running":
            self._begin(wanted, "start")
        return self._write(old, wanted)

    async def delete_experiment(
        self, caller: Caller, experiment_id: int, if_version: int | None = None
    ) -> ProfileChange:
        await trio.lowlevel.checkpoint()
        old = self._found(caller, experiment_id, Action.EDIT, if_version)
        conflicts.check_delete(old.experiment)
        del self._kept[experiment_id]
        return self._profiles.bump(old.profile_id)

    async def edge_experiment(self, caller: Caller, experiment_id: int) -> EdgeExperiment:
        await trio.lowlevel.checkpoint()
        return _with_secrets(self._found(caller, experiment_id, Action.EDIT).experiment)

    async def counts(
        self, caller: Caller, experiment_id: int, phase: int | None = None
    ) -> tuple[StoredExperiment, ExperimentCounts]:
        await trio.lowlevel.checkpoint()
        found = self._found(caller, experiment_id, Action.READ)
        return found, ExperimentCounts(
            tuple(self._counted(p, found.id) for p in self._phases[found.id])
        )

    async def series(
        self, caller: Caller, experiment_id: int, phase: int | None, points: int
    ) -> tuple[StoredExperiment, PhaseCounts, list[CountsPoint]]:
        await trio.lowlevel.checkpoint()
        found = self._found(caller, experiment_id, Action.READ)
        number = found.experiment.phase if phase is None else phase
        asked = [p for p in self._phases[found.id] if p.number == number]
        if not asked:
            raise NotFoundError.of("phase")
        counts = self.memory_counts.of(found.id, number)
        whole = self._counted(asked[0], found.id)
        if not counts:
            return found, whole, []
        first = min(bucket for bucket, _ in counts)
        last = max(bucket for bucket, _ in counts)
        step_s = bucket_length_s((last - first).total_seconds(), points)
        stretches: dict[int, dict[int, VariantCounts]] = {}
        for (bucket, arm), one in counts.items():
            stretch = stretches.setdefault(int((bucket - first).total_seconds()) // step_s, {})
            stretch[arm] = sum_counts([stretch.get(arm, VariantCounts()), one])
        return found, whole, running_totals(stretches, first, step_s, len(whole.variants))

    def attribution_hours(self, experiment_id: int) -> int | None:
        """How long a conversion counts; None when there is no such experiment."""
        found = self._kept.get(experiment_id)
        return None if found is None else found.experiment.attribution_hours

    # What watches them

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        await trio.lowlevel.checkpoint()
        found = [
            RunningExperiment(1, e, tuple(self._counted(p, e.id) for p in self._phases[e.id]))
            for e in self._kept.values()
            if e.experiment.state == "running" and e.id > after
        ]
        return found[:limit]

    async def apply(self, watched: RunningExperiment, step: AutomaticAction) -> bool:
        await trio.lowlevel.checkpoint()
        old = self._kept.get(watched.stored.id)
        if old is None or old.version != watched.stored.version:
            return False
        if step.action == "weights":
            self._begin(step.experiment, "bandit")
        written, _ = self._write(old, step.experiment)
        if step.action == "mismatch":
            self._kept[old.id] = msgspec.structs.replace(written, mismatch_at=self._now())
        return True

    # The state

    def _of(self, profile_id: int) -> list[StoredExperiment]:
        links = self._profiles.links_of(profile_id)
        return [
            e
            for e in self._kept.values()
            if e.profile_id == profile_id
            and (e.experiment.link_id is None or e.experiment.link_id in links)
        ]

    def _open(self, profile_id: int) -> list[Experiment]:
        every = [e.experiment for e in self._of(profile_id)]
        return [e for e in every if e.state != "archived"]

    def _of_edge(self, profile_id: int) -> tuple[EdgeExperiment, ...]:
        return tuple(_with_secrets(e) for e in self._open(profile_id))

    def _found(
        self,
        caller: Caller,
        experiment_id: int,
        action: Action,
        if_version: int | None = None,
    ) -> StoredExperiment:
        found = self._kept.get(experiment_id)
        if found is None:
            raise NotFoundError.of("experiment")
        try:
            self._profiles.team(caller, found.profile_id, action)
        except NotFoundError:
            raise NotFoundError.of("experiment") from None
        if found not in self._of(found.profile_id):
            raise NotFoundError.of("experiment")
        require_version(found.version, if_version)
        return found

    def _refer(self, profile_id: int, draft: ExperimentDraft) -> None:
        if draft.link_id is not None and draft.link_id not in self._profiles.links_of(profile_id):
            raise no_such_link()
        if any(block is not None for block in blocks_of(draft)):
            raise no_such_block()

    def _begin(self, wanted: Experiment, reason: str) -> None:
        phases = self._phases[wanted.id]
        if all(phase.number != wanted.phase for phase in phases):
            phases.append(PhaseCounts(wanted.phase, self._now(), reason, wanted.variants, ()))

    def _counted(self, phase: PhaseCounts, experiment_id: int) -> PhaseCounts:
        found: dict[int, VariantCounts] = {}
        for (_, arm), one in self.memory_counts.of(experiment_id, phase.number).items():
            found[arm] = sum_counts([found.get(arm, VariantCounts()), one])
        return phase._replace(counts=counts_by_variant(found, len(phase.variants)))

    def _write(
        self, old: StoredExperiment, wanted: Experiment
    ) -> tuple[StoredExperiment, ProfileChange]:
        now, over = self._now(), wanted.state in ("decided", "archived")
        self._kept[old.id] = changed = msgspec.structs.replace(
            old,
            experiment=wanted,
            version=old.version + 1,
            updated_at=now,
            started_at=old.started_at or (now if wanted.state == "running" else None),
            ended_at=(old.ended_at or now) if over else None,
        )
        return changed, self._profiles.bump(old.profile_id)


def _fields(draft: ExperimentDraft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in ExperimentDraft.__struct_fields__}


def _with_secrets(experiment: Experiment) -> EdgeExperiment:
    def secret(text: str) -> bytes:
        return hashlib.sha256(text.encode()).digest()

    group = experiment.namespace
    return EdgeExperiment(
        experiment,
        secret(f"experiment {experiment.id}"),
        b"" if group is None else secret(f"namespace {group.id}"),
    )
