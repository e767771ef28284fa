"""Ports of experiments and conversions. engine/links/ports.py says what holds for all ports."""

from collections.abc import Sequence
from typing import Protocol

from engine.accounts.access import Caller
from engine.common.drafts import Change
from engine.common.idempotency import IdempotentRequest
from engine.common.list_page import ListPage
from engine.experiments.automation import AutomaticAction, RunningExperiment
from engine.experiments.conversion import (
    ConversionSource,
    RecordedConversion,
    RecordedReport,
    VerifiedConversion,
)
from engine.experiments.conversion_hook import ConversionHook, HookDraft, ResolvedHook
from engine.experiments.counts import CountsPoint, ExperimentCounts, PhaseCounts
from engine.experiments.experiment import (
    EdgeExperiment,
    ExperimentDraft,
    ExperimentState,
    StoredExperiment,
)
from engine.experiments.refund import VerifiedRefund
from engine.links.profile import ProfileChange


class ExperimentStore(Protocol):
    """Store of profiles' experiments, for members; errors as in ProfileStore.

    Every change is the next version of the profile, so that edges learn of it. Drafts are valid already;
    the store checks conflicts with the profile's other experiments (engine/experiments/conflicts.py).
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
        draft: Change[ExperimentDraft, StoredExperiment],
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        """Change the experiment by the draft; a draft that changes nothing makes no new version.

        Other variants or weights after the start begin a phase.
        """

    async def move_experiment(
        self,
        caller: Caller,
        experiment_id: int,
        state: ExperimentState,
        winner: str | None = None,
        if_version: int | None = None,
    ) -> tuple[StoredExperiment, ProfileChange]:
        """Move the experiment to another state; `winner` names a variant, to decide it.

        Raises ConflictError("state", …).
        """

    async def delete_experiment(
        self, caller: Caller, experiment_id: int, if_version: int | None = None
    ) -> ProfileChange:
        """Delete the experiment and its counts. Raises ConflictError("state", …) while it runs."""

    async def edge_experiment(self, caller: Caller, experiment_id: int) -> EdgeExperiment:
        """Return the experiment with its secrets, to explain assignments. Requires the right to edit."""

    async def counts(
        self, caller: Caller, experiment_id: int, phase: int | None = None
    ) -> tuple[StoredExperiment, ExperimentCounts]:
        """Return the counts in one snapshot. `phase` None: the current phase; values are of that phase."""

    async def series(
        self, caller: Caller, experiment_id: int, phase: int | None, points: int
    ) -> tuple[StoredExperiment, PhaseCounts, list[CountsPoint]]:
        """Return running counts of a phase, oldest first, in at most `points` steps of equal length.

        Raises NotFoundError for an unknown phase.
        """


class ConversionStore(Protocol):
    """Store of conversions.

    `conversions` are of clicks of this one profile. Results are in their order; of several equal
    conversions the first counts.
    """

    async def record(
        self,
        caller: Caller,
        profile_id: int,
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
        once: IdempotentRequest[list[RecordedConversion]] | None = None,
    ) -> list[RecordedConversion]:
        """Record conversions that a member reports, who must have the right to edit.

        Raises NotFoundError, ForbiddenError.
        """

    async def record_from_ingest(
        self,
        tenant_id: int,
        profile_id: int,
        conversions: Sequence[VerifiedConversion],
        source: ConversionSource,
        once: IdempotentRequest[list[RecordedConversion]] | None = None,
    ) -> list[RecordedConversion]:
        """Record conversions that the script reports. Raises NotFoundError for a deleted profile.

        The idempotency key of `once` belongs to the profile.
        """

    async def record_report(
        self,
        tenant_id: int,
        profile_id: int,
        order: VerifiedConversion | None,
        refunds: Sequence[VerifiedRefund],
        once: IdempotentRequest[RecordedReport] | None = None,
    ) -> RecordedReport:
        """Record what a hook received, in one transaction; errors as record_from_ingest()."""

    async def record_refunds(
        self,
        caller: Caller,
        profile_id: int,
        refunds: Sequence[VerifiedRefund],
        once: IdempotentRequest[int] | None = None,
    ) -> int:
        """Record refunds that a member reports, who must have the right to edit. Returns how many are new.

        Raises NotFoundError, ForbiddenError.
        """

    async def list_conversions(
        self, caller: Caller, profile_id: int, before: int, limit: int
    ) -> ListPage:
        """Return conversions, newest first, with ids below `before` (0: from the newest); also those not
        counted."""


class ConversionHookStore(Protocol):
    """Store of conversion hooks; errors as in ProfileStore."""

    async def create_hook(
        self,
        caller: Caller,
        profile_id: int,
        draft: HookDraft,
        once: IdempotentRequest[tuple[ConversionHook, str]] | None = None,
    ) -> tuple[ConversionHook, str]:
        """Return a new hook and its token, which is shown only once. Raises ConflictError("hooks", …)."""

    async def list_hooks(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def update_hook(
        self, caller: Caller, profile_id: int, hook_id: int, draft: Change[HookDraft, HookDraft]
    ) -> ConversionHook:
        """Change the hook by the draft. Raises NotFoundError, ForbiddenError, InvalidError."""

    async def delete_hook(self, caller: Caller, profile_id: int, hook_id: int) -> None: ...

    async def hook_of(self, token: str) -> ResolvedHook | None:
        """Return the hook of a token; None for an unknown token."""


class RunningExperiments(Protocol):
    """Running experiments of all tenants, for the automation."""

    async def running(self, after: int, limit: int) -> list[RunningExperiment]:
        """Return running experiments in the order of their ids, with ids above `after`."""

    async def apply(self, running: RunningExperiment, action: AutomaticAction) -> bool:
        """Apply the action; the log names no user, and webhooks get its event.

        Returns False, and does nothing, if the experiment was changed meanwhile.
        """
