"""Experiments and what they count: one contract, in memory and in Postgres."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engine.clicks.click import Click
from engine.clicks.record_items import COOKIE, EXPOSURES, OUTCOMES, VariantRef, pack_variant_refs
from engine.common.errors import ConflictError, InvalidError, LostUpdateError, NotFoundError
from engine.experiments.analysis import Analysis, BanditPolicy
from engine.experiments.automation import AutomaticAction, RunningExperiment, next_action
from engine.experiments.counts import VariantCounts
from engine.experiments.experiment import (
    ExperimentDraft,
    Namespace,
    StoredExperiment,
    Targeting,
    Variant,
    validate_draft,
)
from engine.experiments.increments import ExperimentCounter, ExperimentIncrements
from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from engine.webhooks.webhook import NewWebhookDraft
from storage.experiments import counts as experiment_counts
from storage.postgres.database import Connection
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import ExperimentStores, opened, postgres_experiments

pytestmark = pytest.mark.trio(run=hosted_run)

A = Variant(name="a", weight=0.5, target="https://a.example/")
B = Variant(name="b", weight=0.5, target="https://b.example/")
NOON = 1_780_000_200_000_000  # 2026-05-28 20:30 UTC, the beginning of a quarter
QUARTER = 15 * 60 * 1_000_000
DAY = 86_400_000_000


def draft(link_id: int, /, **changes: Any) -> ExperimentDraft:
    fields: dict[str, Any] = {
        "name": "Spring",
        "kind": "destination",
        "variants": (A, B),
        "link_id": link_id,
    }
    valid_draft, errors = validate_draft(ExperimentDraft(**fields | changes))
    assert valid_draft is not None, errors
    return valid_draft


async def profile_and_link(
    experiments: ExperimentStores, handle: str = "demo", slug: str = "spring"
) -> tuple[int, int]:
    """Return the ids of the profile and of its link; create what is missing."""
    page = await experiments.profiles.list_profiles(experiments.caller, 0, 10)
    profile = next((p for p in page.items if p.handle == handle), None)
    if profile is None:
        profile = await experiments.profiles.create_profile(
            experiments.caller, ProfileDraft(handle=handle)
        )
    links = (await experiments.profiles.list_links(experiments.caller, profile.id, 0, 10)).items
    if existing := [link.id for link in links if link.slug == slug]:
        return profile.id, existing[0]
    link_draft = LinkDraft(slug=slug, target="https://example.com/")
    link, _ = await experiments.profiles.create_link(experiments.caller, profile.id, link_draft)
    return profile.id, link.id


async def started(experiments: ExperimentStores, **changes: Any) -> StoredExperiment:
    profile_id, link_id = await profile_and_link(experiments)
    stored, _ = await experiments.store.create_experiment(
        experiments.caller, profile_id, draft(link_id, **changes)
    )
    running, _ = await experiments.store.move_experiment(experiments.caller, stored.id, "running")
    return running


async def test_a_created_experiment_is_read_unchanged(experiments: ExperimentStores) -> None:
    profile_id, link_id = await profile_and_link(experiments)
    requested = draft(
        link_id,
        coverage=0.5,
        starts_at_ms=1_800_000_000_000,
        targeting=Targeting(countries=("IT",), devices=("phone",), languages=("de",)),
        namespace=Namespace(id="prices", low=0, high=0.5),
        cookie=True,
    )
    before = await experiments.profiles.profile(experiments.caller, profile_id)
    stored, change = await experiments.store.create_experiment(
        experiments.caller, profile_id, requested
    )
    assert change == (change.__class__)(profile_id, before.version + 1)
    assert (stored.version, stored.experiment.state, stored.experiment.phase) == (1, "draft", 1)
    for field in ExperimentDraft.__struct_fields__:
        assert getattr(stored.experiment, field) == getattr(requested, field), field
    assert await experiments.store.experiment(experiments.caller, stored.id) == stored
    page = await experiments.store.list_experiments(experiments.caller, profile_id, 0, 5)
    assert page == ([stored], None)
    assert len({stored.experiment.seed, (await experiments.store.edge_experiment(
        experiments.caller, stored.id)).secret}) == 2  # fmt: skip
    for call in ("experiment", "edge_experiment", "counts", "delete_experiment"):
        with pytest.raises(NotFoundError):
            await getattr(experiments.store, call)(experiments.other, stored.id)
    with pytest.raises(NotFoundError):
        await experiments.store.move_experiment(experiments.other, stored.id, "running")
    with pytest.raises(NotFoundError):
        await experiments.store.list_experiments(experiments.other, profile_id, 0, 5)


async def test_edges_load_experiments_until_they_are_archived(
    experiments: ExperimentStores,
) -> None:
    running = await started(experiments, namespace=Namespace(id="prices", low=0, high=1))
    (snapshot,) = await experiments.snapshots.find([b"/@demo"])
    assert snapshot is not None
    (edge_experiment,) = snapshot.experiments
    assert edge_experiment.experiment == running.experiment
    assert edge_experiment == await experiments.store.edge_experiment(
        experiments.caller, running.id
    )
    assert len(edge_experiment.secret) == len(edge_experiment.namespace_secret) == 32
    assert edge_experiment.secret != edge_experiment.namespace_secret
    await experiments.store.move_experiment(experiments.caller, running.id, "decided", "b")
    refreshed = await experiments.snapshots.refresh(running.profile_id, snapshot.version, 10)
    assert refreshed is not None
    assert [(e.experiment.state, e.experiment.winner) for e in refreshed.experiments] == [
        ("decided", 1)
    ]
    assert refreshed.links == ()
    await experiments.store.move_experiment(experiments.caller, running.id, "archived")
    gone = await experiments.snapshots.refresh(running.profile_id, refreshed.version, 10)
    assert gone is not None
    assert gone.experiments == ()


async def test_states_change_in_their_order(experiments: ExperimentStores) -> None:
    profile_id, link_id = await profile_and_link(experiments)
    empty = msgspec.structs.replace(B, target="")
    stored, _ = await experiments.store.create_experiment(
        experiments.caller, profile_id, draft(link_id, variants=(A, empty))
    )

    async def move(state: Any, winner: str | None = None) -> StoredExperiment:
        moved, _ = await experiments.store.move_experiment(
            experiments.caller, stored.id, state, winner
        )
        return moved

    with pytest.raises(InvalidError, match=r"variants\.1\.target"):
        await move("running")
    with pytest.raises(ConflictError, match="draft may become"):
        await move("decided", "a")
    await experiments.store.update_experiment(experiments.caller, stored.id, draft(link_id))
    running = await move("running")
    assert running.started_at is not None
    with pytest.raises(ConflictError, match="must not be running"):
        await experiments.store.delete_experiment(experiments.caller, stored.id)
    assert (await move("paused")).experiment.state == "paused"
    assert (await move("running")).started_at == running.started_at
    with pytest.raises(InvalidError, match="winner"):
        await move("decided", "c")
    decided = await move("decided", "b")
    assert (decided.experiment.winner, decided.ended_at is None) == (1, False)
    assert (await move("archived")).experiment.state == "archived"
    await experiments.store.delete_experiment(experiments.caller, stored.id)
    with pytest.raises(NotFoundError):
        await experiments.store.experiment(experiments.caller, stored.id)


async def test_a_change_of_weights_begins_a_phase(experiments: ExperimentStores) -> None:
    running = await started(experiments)
    link_id = running.experiment.link_id
    assert link_id is not None
    same, change = await experiments.store.update_experiment(
        experiments.caller, running.id, draft(link_id)
    )
    assert (same, change.version) == (
        running,
        (await experiments.profiles.profile(experiments.caller, running.profile_id)).version,
    )
    half, _ = await experiments.store.update_experiment(
        experiments.caller, running.id, draft(link_id, coverage=0.5), running.version
    )
    assert (half.experiment.phase, half.version) == (1, running.version + 1)
    with pytest.raises(LostUpdateError):
        await experiments.store.update_experiment(
            experiments.caller, running.id, draft(link_id), running.version
        )
    heavy = tuple(msgspec.structs.replace(v, weight=w) for v, w in ((A, 0.9), (B, 0.1)))
    moved, _ = await experiments.store.update_experiment(
        experiments.caller, running.id, draft(link_id, variants=heavy)
    )
    assert moved.experiment.phase == 2
    _, counts = await experiments.store.counts(experiments.caller, running.id)
    assert [(p.number, p.reason, p.variants) for p in counts.phases] == [
        (1, "start", (A, B)),
        (2, "change", heavy),
    ]


async def test_experiments_of_one_link_run_one_after_another_or_share_a_namespace(
    experiments: ExperimentStores,
) -> None:
    profile_id, link_id = await profile_and_link(experiments)

    async def make(**changes: Any) -> StoredExperiment:
        stored, _ = await experiments.store.create_experiment(
            experiments.caller, profile_id, draft(link_id, **changes)
        )
        return stored

    first, second = await make(name="one"), await make(name="two")
    await experiments.store.move_experiment(experiments.caller, first.id, "running")
    with pytest.raises(ConflictError, match="'one' runs on the same subject"):
        await experiments.store.move_experiment(experiments.caller, second.id, "running")
    left = await make(name="left", namespace=Namespace(id="n", low=0, high=0.5))
    with pytest.raises(InvalidError, match="overlap"):
        await make(name="over", namespace=Namespace(id="n", low=0.4, high=1))
    right = await make(name="right", namespace=Namespace(id="n", low=0.5, high=1))
    await experiments.store.move_experiment(experiments.caller, first.id, "decided", "a")
    for experiment in (left, right):
        await experiments.store.move_experiment(experiments.caller, experiment.id, "running")
    widened = draft(link_id, namespace=Namespace(id="n", low=0, high=0.6))
    with pytest.raises(InvalidError, match="overlap"):
        await experiments.store.update_experiment(experiments.caller, left.id, widened)


async def test_its_link_must_exist(experiments: ExperimentStores) -> None:
    profile_id, link_id = await profile_and_link(experiments)
    _, elsewhere = await profile_and_link(experiments, "other", "spring")
    plain = tuple(msgspec.structs.replace(v, target="") for v in (A, B))
    block: dict[str, Any] = {"kind": "page", "link_id": None, "block_id": "b7", "variants": plain}
    for wrong in (draft(elsewhere), draft(link_id + 1_000_000), draft(link_id, **block)):
        with pytest.raises(InvalidError, match="_id"):
            await experiments.store.create_experiment(experiments.caller, profile_id, wrong)
    stored, _ = await experiments.store.create_experiment(
        experiments.caller, profile_id, draft(link_id)
    )
    await experiments.profiles.delete_link(experiments.caller, link_id)
    with pytest.raises(NotFoundError):
        await experiments.store.experiment(experiments.caller, stored.id)


# ---- counting ---------------------------------------------------------------------------------------


def observed(
    running: StoredExperiment, *visits: tuple[str, int, int, int], **options: Any
) -> ExperimentIncrements:
    """Return what a fold adds for visits: (`show` or `act`, visitor, variant, time in us)."""
    observer = ExperimentCounter()
    tenant = options.get("tenant", 1)
    for kind, visitor, variant, at_us in visits:
        tag = EXPOSURES if kind == "show" else OUTCOMES
        data = {tag: pack_variant_refs([VariantRef(running.id, running.experiment.phase, variant)])}
        name = visitor.to_bytes(8, "big", signed=True)
        if options.get("cookie"):
            data[COOKIE] = name + (b"\x01\x00" if kind == "show" else b"\x00\x01")
            name = b"\xff" * 8
        observer.add(Click(1, 0, at_us, tenant, running.profile_id, 1, b"", b"", b"", name), data)
    return observer.increments()


async def counts(
    experiments: ExperimentStores, running: StoredExperiment
) -> tuple[VariantCounts, ...]:
    _, counts = await experiments.store.counts(experiments.caller, running.id)
    return counts.phases[-1].counts


async def count(
    experiments: ExperimentStores, running: StoredExperiment, *batches: Sequence[tuple[str, int, int, int]],
    **options: Any,
) -> tuple[VariantCounts, ...]:  # fmt: skip
    for batch in batches:
        await experiments.observe(
            observed(running, *batch, tenant=experiments.caller.tenant_id, **options)
        )
    return await counts(experiments, running)


async def test_a_visitor_counts_once_for_any_number_of_visits(
    experiments: ExperimentStores,
) -> None:
    running = await started(experiments)
    variant_counts = await count(
        experiments,
        running,
        [("show", 1, 0, NOON), ("show", 1, 0, NOON + 5), ("show", -2, 1, NOON)],
        [("show", 1, 0, NOON + QUARTER), ("act", 1, 0, NOON + QUARTER)],
        [("act", 1, 0, NOON + 2 * QUARTER), ("show", 1, 0, NOON + DAY)],
    )
    assert variant_counts == (VariantCounts(4, 2, 2, 1, 0), VariantCounts(1, 0, 1, 0, 0))


async def test_an_outcome_before_its_exposure_counts_once_the_visitor_is_exposed(
    experiments: ExperimentStores,
) -> None:
    running = await started(experiments)
    assert await count(experiments, running, [("act", 1, 1, NOON)]) == (
        VariantCounts(),
        VariantCounts(0, 1),
    )
    variant_counts = await count(experiments, running, [("show", 1, 1, NOON + QUARTER)])
    assert variant_counts == (VariantCounts(), VariantCounts(1, 1, 1, 1, 0))


async def test_a_visitor_of_two_variants_counts_in_none_and_is_reported(
    experiments: ExperimentStores,
) -> None:
    running = await started(experiments)
    variant_counts = await count(
        experiments,
        running,
        [("show", 1, 0, NOON), ("act", 1, 0, NOON), ("show", 2, 0, NOON), ("show", 3, 1, NOON)],
        [("show", 1, 1, NOON + QUARTER), ("show", 2, 1, NOON), ("show", 2, 0, NOON)],
        [("act", 1, 1, NOON), ("act", 2, 0, NOON), ("show", 4, 1, NOON), ("show", 4, 0, NOON)],
    )
    assert variant_counts == (VariantCounts(4, 2, 0, 0, 2), VariantCounts(4, 1, 1, 0, 1))


@pytest.mark.parametrize("at_us", [-(2**63), -1, 0, 2**63 - 1])
async def test_a_visit_by_a_strange_clock_is_counted(
    experiments: ExperimentStores, at_us: int
) -> None:
    """An edge's clock may show anything, and its visits must not keep others from being counted."""
    running = await started(experiments)
    visits = [("show", 1, 0, at_us), ("act", 1, 0, at_us), ("show", 2, 1, NOON)]
    assert await count(experiments, running, visits) == (
        VariantCounts(1, 1, 1, 1, 0),
        VariantCounts(1, 0, 1, 0, 0),
    )
    await experiments.store.series(experiments.caller, running.id, None, 100)


async def test_a_cookie_is_one_visitor_on_all_days(experiments: ExperimentStores) -> None:
    running = await started(experiments, cookie=True)
    exposures = observed(running, ("show", 5, 0, NOON), cookie=True)
    assert exposures.units[0].key.day == date(1970, 1, 1)
    variant_counts = await count(
        experiments,
        running,
        [("show", 5, 0, NOON), ("show", 6, 1, NOON)],
        [("show", 5, 0, NOON + 3 * DAY), ("act", 5, 0, NOON + 3 * DAY)],
        cookie=True,
    )
    assert variant_counts == (VariantCounts(2, 1, 1, 1, 0), VariantCounts(1, 0, 1, 0, 0))


async def test_points_of_a_series_are_cumulative(experiments: ExperimentStores) -> None:
    running = await started(experiments)
    await count(
        experiments,
        running,
        [("show", 1, 0, NOON), ("show", 2, 1, NOON + QUARTER)],
        [("act", 2, 1, NOON + 3 * QUARTER), ("show", 3, 0, NOON + 3 * QUARTER)],
    )
    _, phase, points = await experiments.store.series(experiments.caller, running.id, None, 100)
    assert phase.number == 1
    assert [int(p.at.timestamp() * 1e6 - NOON) // QUARTER for p in points] == [1, 2, 4]
    assert points[-1].counts == await counts(experiments, running)
    assert [[c.proportion for c in p.counts] for p in points][:2] == [
        [(1, 0), (0, 0)],
        [(1, 0), (1, 0)],
    ]
    _, _, two = await experiments.store.series(experiments.caller, running.id, 1, 2)
    assert [int(p.at.timestamp() * 1e6 - NOON) // QUARTER for p in two] == [2, 4]
    with pytest.raises(NotFoundError):
        await experiments.store.series(experiments.caller, running.id, 9, 2)


async def test_a_deleted_experiment_is_not_counted(experiments: ExperimentStores) -> None:
    running = await started(experiments)
    ghost = msgspec.structs.replace(
        running, experiment=msgspec.structs.replace(running.experiment, id=running.id + 1)
    )
    tenant = experiments.caller.tenant_id
    # A fold must not fail because an experiment was deleted.
    await experiments.observe(observed(ghost, ("show", 1, 0, NOON), tenant=tenant))
    assert await counts(experiments, running) == (VariantCounts(), VariantCounts())


# ---- automation ---------------------------------------------------------------------------------------


async def next_actions(
    experiments: ExperimentStores,
) -> list[tuple[RunningExperiment, AutomaticAction | None]]:
    running = await experiments.automation.running(0, 10)
    return [(experiment, next_action(experiment, datetime.now(UTC))) for experiment in running]


async def test_a_rule_decides_and_edges_load_the_decision(experiments: ExperimentStores) -> None:
    running = await started(experiments, analysis=Analysis(on_decision="promote"))
    (snapshot,) = await experiments.snapshots.find([b"/@demo"])
    assert snapshot is not None
    exposures = [("show", n, n % 2, NOON) for n in range(1, 4001)]
    outcomes = [("act", n, n % 2, NOON) for n in range(1, 4001) if n % 40 < (18 if n % 2 else 4)]
    await count(experiments, running, exposures, outcomes)
    ((experiment, action),) = await next_actions(experiments)
    assert action is not None
    assert (experiment.stored, action.action, action.experiment.winner) == (running, "end", 1)
    assert await experiments.automation.apply(experiment, action)
    assert not await experiments.automation.apply(experiment, action)
    decided = await experiments.store.experiment(experiments.caller, running.id)
    assert (decided.experiment.state, decided.experiment.winner) == ("decided", 1)
    assert decided.ended_at is not None
    refreshed = await experiments.snapshots.refresh(running.profile_id, snapshot.version, 10)
    assert refreshed is not None
    assert refreshed.experiments[0].experiment.winner == 1
    assert await experiments.automation.running(0, 10) == []


async def test_a_sample_ratio_mismatch_is_recorded_once(experiments: ExperimentStores) -> None:
    running = await started(experiments)
    await count(experiments, running, [("show", n, int(n > 1500), NOON) for n in range(1, 2401)])
    ((experiment, action),) = await next_actions(experiments)
    assert action is not None
    assert action.action == "mismatch"
    assert await experiments.automation.apply(experiment, action)
    ((_, again),) = await next_actions(experiments)
    assert again is None
    noted = await experiments.store.experiment(experiments.caller, running.id)
    assert noted.mismatch_at is not None
    assert noted.experiment == running.experiment


async def test_a_bandit_begins_a_phase(experiments: ExperimentStores) -> None:
    running = await started(
        experiments, analysis=Analysis(bandit=BanditPolicy(floor=0.1, every_minutes=5))
    )
    exposures = [("show", n, n % 2, NOON) for n in range(1, 1001)]
    await count(experiments, running, exposures, [("act", n, 1, NOON) for n in range(1, 101, 2)])
    ((experiment, action),) = await next_actions(experiments)
    assert action is None  # its pace
    action = next_action(experiment, datetime.now(UTC) + timedelta(minutes=6))
    assert action is not None
    assert await experiments.automation.apply(experiment, action)
    _, counts = await experiments.store.counts(experiments.caller, running.id)
    assert [(p.number, p.reason) for p in counts.phases] == [(1, "start"), (2, "bandit")]
    assert [v.weight for v in counts.phases[1].variants] == [0.1, 0.9]
    moved = await experiments.store.experiment(experiments.caller, running.id)
    assert (moved.experiment.phase, moved.version) == (2, running.version + 1)


async def test_more_visitors_than_a_statement_takes_are_all_written(
    experiments: ExperimentStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_counts, "UNITS_AT_ONCE", 7)
    running = await started(experiments)
    exposures = [("show", n, n % 2, NOON) for n in range(50)] + [("show", 3, 0, NOON)]
    outcomes = [("act", n, n % 2, NOON) for n in range(20)]
    variant_counts = await count(experiments, running, [*exposures, *outcomes], exposures)
    assert variant_counts == (VariantCounts(52, 10, 25, 10, 0), VariantCounts(50, 10, 24, 9, 1))


@pytest.mark.slow
async def test_changes_are_audited_without_secrets_and_sent_to_webhooks(database_url: str) -> None:
    async with opened(database_url) as open_role:
        experiments = await postgres_experiments(open_role)
        app = await open_role("waypost_app")
        profile_id, _ = await profile_and_link(experiments)
        hook = NewWebhookDraft(url="https://example.com/", event_types=["experiment.*"])
        await PostgresWebhookStore(app).create_webhook(experiments.caller, profile_id, hook)
        running = await started(experiments)
        skewed = [("show", n, int(n > 1500), NOON) for n in range(1, 2401)]
        await count(experiments, running, skewed)
        ((experiment, action),) = await next_actions(experiments)
        assert action is not None
        assert await experiments.automation.apply(experiment, action)
        await experiments.store.move_experiment(experiments.caller, running.id, "decided", "b")

        async def look(connection: Connection) -> tuple[list[Any], list[Any]]:
            return (
                await connection.fetch("SELECT type, data ->> 'name' FROM events ORDER BY id"),
                await connection.fetch(
                    "SELECT user_id IS NULL, after ->> 'state', after ?| '{secret,visitor}' "
                    "FROM audit_log WHERE object_type = 'experiment' ORDER BY seq"
                ),
            )

        events, log = await app.transaction(look, caller=experiments.caller)
    assert [tuple(row) for row in events if row[0].startswith("experiment")] == [
        ("experiment.started", "Spring"), ("experiment.srm", "Spring"), ("experiment.decided", "Spring"),
    ]  # fmt: skip
    assert [tuple(row) for row in log] == [
        (False, "draft", False), (False, "running", False), (True, "running", False),
        (False, "decided", False),
    ]  # fmt: skip
