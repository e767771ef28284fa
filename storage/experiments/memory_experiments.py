"""Experiments in memory: the twin of storage.experiments.experiments."""

import hashlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio

from engine.accounts.access import Action, Caller
from engine.common.drafts import Change, draft_after
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
from engine.pages.publication import block_ids
from storage.experiments.experiments import no_such_block, no_such_link, require_pictures
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
        self._idempotency = MemoryIdempotency(now)
        self._ids = itertools.count(1_000_001)
        self._experiments: dict[int, StoredExperiment] = {}
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
            self._require_references(profile_id, draft)
            number, now = next(self._ids), self._now()
            stored = StoredExperiment(
                experiment=Experiment(
                    **_fields(draft), id=number, seed=hashlib.sha256(b"%d" % number).hexdigest()
                ),
                profile_id=profile_id,
                version=1,
                created_at=now,
                updated_at=now,
            )
            self._experiments[number] = stored
            self._phases[number] = []
            return stored, self._profiles.bump(profile_id)

        return self._idempotency.run_once(caller, once, work)

    async def experiment(self, caller: Caller, experiment_id: int) -> StoredExperiment:
        await trio.lowlevel.checkpoint()
        return self._enter(caller, experiment_id, Action.READ)

    async def list_experiments(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage:
        await trio.lowlevel.checkpoint()
        self._profiles.team(caller, profile_id, Action.READ)
        stored = [
            experiment for experiment in self._of_profile(profile_id) if experiment.id > after
        ]
        return ListPage.of(stored, limit)

    async def update_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        draft: Change[ExperimentDraft, StoredExperiment],
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        await trio.lowlevel.checkpoint()
        old = self._enter(caller, experiment_id, Action.EDIT, if_version)
        others = self._open(old.profile_id)
        wanted = draft_after(draft, old)
        revised, new_phase = conflicts.revise_among(old.experiment, wanted, others)
        if revised == old.experiment:
            profile, _ = self._profiles.team(caller, old.profile_id, Action.EDIT)
            return old, ProfileChange(profile.id, profile.version)
        self._require_references(old.profile_id, wanted)
        if new_phase:
            self._begin_phase(revised, "change")
        return self._write(old, revised)

    async def move_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        state: ExperimentState,
        winner: str | None = None,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        await trio.lowlevel.checkpoint()
        old = self._enter(caller, experiment_id, Action.EDIT, if_version)
        others = self._open(old.profile_id)
        revised = conflicts.with_state_among(old.experiment, state, others, winner)
        if state == "running":
            self._begin_phase(revised, "start")
        return self._write(old, revised)

    async def delete_experiment(
        self, caller: Caller, experiment_id: int, if_version: int | None = None
    ) -> ProfileChange:
        await trio.lowlevel.checkpoint()
        old = self._enter(caller, experiment_id, Action.EDIT, if_version)
        conflicts.check_delete(old.experiment)
        del self._experiments[experiment_id]
        return self._profiles.bump(old.profile_id)

    async def edge_experiment(self, caller: Caller, experiment_id: int) -> EdgeExperiment:
        await trio.lowlevel.checkpoint()
        return _with_secrets(self._enter(caller, experiment_id, Action.EDIT).experiment)

    async def counts(
        self, caller: Caller, experiment_id: int, phase: int | None = None
    ) -> tuple[StoredExperiment, ExperimentCounts]:
        await trio.lowlevel.checkpoint()
        stored = self._enter(caller, experiment_id, Action.READ)
        return stored, ExperimentCounts(
            tuple(self._with_counts(p, stored.id) for p in self._phases[stored.id])
        )

    async def series(
        self, caller: Caller, experiment_id: int, phase: int | None, points: int
    ) -> tuple[StoredExperiment, PhaseCounts, list[CountsPoint]]:
        await trio.lowlevel.checkpoint()
        stored = self._enter(caller, experiment_id, Action.READ)
        number = stored.experiment.phase if phase is None else phase
        requested = [p for p in self._phases[stored.id] if p.number == number]
        if not requested:
            raise NotFoundError.of("phase")
        counts = self.memory_counts.of(stored.id, number)
        whole = self._with_counts(requested[0], stored.id)
        if not counts:
            return stored, whole, []
        first = min(bucket for bucket, _ in counts)
        last = max(bucket for bucket, _ in counts)
        step_s = bucket_length_s((last - first).total_seconds(), points)
        counts_by_step: dict[int, dict[int, VariantCounts]] = {}
        for (bucket, variant), variant_counts in counts.items():
            step = counts_by_step.setdefault(int((bucket - first).total_seconds()) // step_s, {})
            step[variant] = sum_counts([step.get(variant, VariantCounts()), variant_counts])
        return stored, whole, running_totals(counts_by_step, first, step_s, len(whole.variants))

    def attribution_hours(self, experiment_id: int) -> int | None:
        """Return the attribution window in hours; None for an unknown experiment."""
        stored = self._experiments.get(experiment_id)
        return None if stored is None else stored.experiment.attribution_hours

    # RunningExperiments

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        await trio.lowlevel.checkpoint()
        stored = [
            RunningExperiment(1, e, tuple(self._with_counts(p, e.id) for p in self._phases[e.id]))
            for e in self._experiments.values()
            if e.experiment.state == "running" and e.id > after
        ]
        return stored[:limit]

    async def apply(self, running_experiment: RunningExperiment, step: AutomaticAction) -> bool:
        await trio.lowlevel.checkpoint()
        old = self._experiments.get(running_experiment.stored.id)
        if old is None or old.version != running_experiment.stored.version:
            return False
        if step.action == "weights":
            self._begin_phase(step.experiment, "bandit")
        written, _ = self._write(old, step.experiment)
        if step.action == "mismatch":
            self._experiments[old.id] = msgspec.structs.replace(written, mismatch_at=self._now())
        return True

    # State

    def _of_profile(self, profile_id: int) -> list[StoredExperiment]:
        links = self._profiles.links_of(profile_id)
        return [
            e
            for e in self._experiments.values()
            if e.profile_id == profile_id
            and (e.experiment.link_id is None or e.experiment.link_id in links)
        ]

    def _open(self, profile_id: int) -> list[Experiment]:
        every = [e.experiment for e in self._of_profile(profile_id)]
        return [e for e in every if e.state != "archived"]

    def _of_edge(self, profile_id: int) -> tuple[EdgeExperiment, ...]:
        return tuple(_with_secrets(e) for e in self._open(profile_id))

    def _enter(
        self,
        caller: Caller,
        experiment_id: int,
        action: Action,
        if_version: int | None = None,
    ) -> StoredExperiment:
        stored = self._experiments.get(experiment_id)
        if stored is None:
            raise NotFoundError.of("experiment")
        try:
            self._profiles.team(caller, stored.profile_id, action)
        except NotFoundError:
            raise NotFoundError.of("experiment") from None
        if stored not in self._of_profile(stored.profile_id):
            raise NotFoundError.of("experiment")
        require_version(stored.version, if_version)
        return stored

    def _require_references(self, profile_id: int, draft: ExperimentDraft) -> None:
        if draft.link_id is not None and draft.link_id not in self._profiles.links_of(profile_id):
            raise no_such_link()
        if draft.block_id is not None:
            page = self._profiles.page_of(profile_id)
            if page is None or draft.block_id not in block_ids(page.page):
                raise no_such_block()
        require_pictures(draft, self._profiles.assets_of(profile_id))

    def _begin_phase(self, revised: Experiment, reason: str) -> None:
        phases = self._phases[revised.id]
        if all(phase.number != revised.phase for phase in phases):
            phases.append(PhaseCounts(revised.phase, self._now(), reason, revised.variants, ()))

    def _with_counts(self, phase: PhaseCounts, experiment_id: int) -> PhaseCounts:
        stored: dict[int, VariantCounts] = {}
        for (_, variant), variant_counts in self.memory_counts.of(
            experiment_id, phase.number
        ).items():
            stored[variant] = sum_counts([stored.get(variant, VariantCounts()), variant_counts])
        return phase._replace(counts=counts_by_variant(stored, len(phase.variants)))

    def _write(
        self, old: StoredExperiment, revised: Experiment
    ) -> tuple[StoredExperiment, ProfileChange]:
        now, ended = self._now(), revised.state in ("decided", "archived")
        self._experiments[old.id] = changed = msgspec.structs.replace(
            old,
            experiment=revised,
            version=old.version + 1,
            updated_at=now,
            started_at=old.started_at or (now if revised.state == "running" else None),
            ended_at=(old.ended_at or now) if ended else None,
        )
        return changed, self._profiles.bump(old.profile_id)


def _fields(draft: ExperimentDraft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in ExperimentDraft.__struct_fields__}


def _with_secrets(experiment: Experiment) -> EdgeExperiment:
    def secret(text: str) -> bytes:
        return hashlib.sha256(text.encode()).digest()

    namespace = experiment.namespace
    return EdgeExperiment(
        experiment,
        secret(f"experiment {experiment.id}"),
        b"" if namespace is None else secret(f"namespace {namespace.id}"),
    )
