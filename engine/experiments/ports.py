"""Ports of experiments: what doors and workers ask of storage. As engine/links/ports.py has it for all else."""

from collections.abc import Sequence
from typing import Protocol

from engine.accounts.access import Caller
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.experiments.automation import AutomaticAction, RunningExperiment
from engine.experiments.conversion import (
    ConversionHook,
    ConversionSource,
    HookDraft,
    RecordedConversion,
    ResolvedHook,
    VerifiedConversion,
)
from engine.experiments.counts import CountsPoint, ExperimentCounts, PhaseCounts
from engine.experiments.experiment import (
    EdgeExperiment,
    ExperimentDraft,
    ExperimentState,
    StoredExperiment,
)
from engine.links.profile import ProfileChange


class ExperimentStore(Protocol):
    """Experiments of profiles, as members change and read them; errors as in ProfileStore.

    Every change is the next version of the profile, so that edges learn of it. Drafts have been checked; what
    depends on the profile's other experiments (engine/experiments/conflicts.py) is checked here.
    """

    async def create_experiment(
        self,
        caller: Caller,
        profile_id: int,
        draft: ExperimentDraft,
        once: IdempotentRequest[tuple[StoredExperiment, ProfileChange]] | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]: ...

    async def experiment(self, caller: Caller, experiment_id: int) -> StoredExperiment: ...

    async def list_experiments(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        draft: ExperimentDraft,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        """What changes nothing is returned as it is. Other variants or weights after the start begin a
        phase."""

    async def move_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        state: ExperimentState,
        winner: str | None = None,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        """Into another state; `winner` names a variant, to decide it. Raises ConflictError("state", …)."""

    async def delete_experiment(
        self, caller: Caller, experiment_id: int, if_version: int | None = None
    ) -> ProfileChange:
        """With all that it counted. Raises ConflictError("state", …) while it runs."""

    async def edge_experiment(self, caller: Caller, experiment_id: int) -> EdgeExperiment:
        """With its secrets, to explain what visitors get. Takes the right to edit."""

    async def counts(
        self, caller: Caller, experiment_id: int, phase: int | None = None
    ) -> tuple[StoredExperiment, ExperimentCounts]:
        """Read in one snapshot. `phase` None: the current one; values are of that one."""

    async def series(
        self, caller: Caller, experiment_id: int, phase: int | None, points: int
    ) -> tuple[StoredExperiment, PhaseCounts, list[CountsPoint]]:
        """Running counts of a phase, oldest first, in at most so many buckets of equal length. Raises
        NotFoundError for a phase that was not."""


class ConversionStore(Protocol):
    """Conversions, told by whoever owns the targets of clicks.

    `told` are of clicks of this one profile. What becomes of each is answered in their order; of several
    equal ones the first counts.
    """

    async def record(
        self,
        caller: Caller,
        profile_id: int,
        told: Sequence[VerifiedConversion],
        source: ConversionSource,
    ) -> list[RecordedConversion]:
        """For members who may edit. Raises NotFoundError, ForbiddenError."""

    async def record_from_ingest(
        self,
        tenant_id: int,
        profile_id: int,
        told: Sequence[VerifiedConversion],
        source: ConversionSource,
    ) -> list[RecordedConversion]:
        """For whoever has a click id or a hook. Raises NotFoundError when the profile is gone."""

    async def list_conversions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        """Newest first, of ids below `before` (0: from the newest), those that do not count too."""

    async def create_hook(
        self, caller: Caller, profile_id: int, draft: HookDraft
    ) -> tuple[ConversionHook, str]:
        """A hook and its token, which is never told again. Raises ConflictError("hooks", …)."""

    async def list_hooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None: ...

    async def hook_of(self, token: str) -> ResolvedHook | None:
        """What a token opens; None for an unknown one."""


class RunningExperiments(Protocol):
    """Experiments of all tenants that run, for whoever watches them."""

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        """In the order of their ids, of ids above `after`."""

    async def apply(self, watched: RunningExperiment, step: AutomaticAction) -> bool:
        """Do what the step says, as nobody's change in the log, and tell webhooks of it. False when the
        experiment has been changed meanwhile: then nothing is done."""
