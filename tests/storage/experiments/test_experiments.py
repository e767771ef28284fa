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
from tests.kit.stores import Trials, opened, stored_trials

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
    found, errors = validate_draft(ExperimentDraft(**fields | changes))
    assert found is not None, errors
    return found


async def a_link(trials: Trials, handle: str = "demo", slug: str = "spring") -> tuple[int, int]:
    """Ids of a profile and of its link."""
    page = await trials.profiles.list_profiles(trials.caller, 0, 10)
    profile = next((p for p in page.items if p.handle == handle), None)
    if profile is None:
        profile = await trials.profiles.create_profile(trials.caller, ProfileDraft(handle=handle))
    links = (await trials.profiles.list_links(trials.caller, profile.id, 0, 10)).items
    if same := [link.id for link in links if link.slug == slug]:
        return profile.id, same[0]
    made = LinkDraft(slug=slug, target="https://example.com/")
    link, _ = await trials.profiles.create_link(trials.caller, profile.id, made)
    return profile.id, link.id


async def started(trials: Trials, **changes: Any) -> StoredExperiment:
    profile_id, link_id = await a_link(trials)
    made, _ = await trials.experiments.create_experiment(
        trials.caller, profile_id, draft(link_id, **changes)
    )
    running, _ = await trials.experiments.move_experiment(trials.caller, made.id, "running")
    return running


async def test_an_experiment_is_read_as_it_was_made(trials: Trials) -> None:
    profile_id, link_id = await a_link(trials)
    wanted = draft(
        link_id,
        coverage=0.5,
        starts_at_ms=1_800_000_000_000,
        targeting=Targeting(countries=("IT",), devices=("phone",), languages=("de",)),
        namespace=Namespace(id="prices", low=0, high=0.5),
        cookie=True,
    )
    before = await trials.profiles.profile(trials.caller, profile_id)
    made, change = await trials.experiments.create_experiment(trials.caller, profile_id, wanted)
    assert change == (change.__class__)(profile_id, before.version + 1)
    assert (made.version, made.experiment.state, made.experiment.phase) == (1, "draft", 1)
    for field in ExperimentDraft.__struct_fields__:
        assert getattr(made.experiment, field) == getattr(wanted, field), field
    assert await trials.experiments.experiment(trials.caller, made.id) == made
    page = await trials.experiments.list_experiments(trials.caller, profile_id, 0, 5)
    assert page == ([made], None)
    assert len({made.experiment.seed, (await trials.experiments.edge_experiment(
        trials.caller, made.id)).secret}) == 2  # fmt: skip
    for call in ("experiment", "edge_experiment", "counts", "delete_experiment"):
        with pytest.raises(NotFoundError):
            await getattr(trials.experiments, call)(trials.other, made.id)
    with pytest.raises(NotFoundError):
        await trials.experiments.move_experiment(trials.other, made.id, "running")
    with pytest.raises(NotFoundError):
        await trials.experiments.list_experiments(trials.other, profile_id, 0, 5)


async def test_edges_see_what_is_not_archived(trials: Trials) -> None:
    running = await started(trials, namespace=Namespace(id="prices", low=0, high=1))
    (snapshot,) = await trials.snapshots.find([b"/@demo"])
    assert snapshot is not None
    (seen,) = snapshot.experiments
    assert seen.experiment == running.experiment
    assert seen == await trials.experiments.edge_experiment(trials.caller, running.id)
    assert len(seen.secret) == len(seen.namespace_secret) == 32
    assert seen.secret != seen.namespace_secret
    await trials.experiments.move_experiment(trials.caller, running.id, "decided", "b")
    news = await trials.snapshots.refresh(running.profile_id, snapshot.version, 10)
    assert news is not None
    assert [(e.experiment.state, e.experiment.winner) for e in news.experiments] == [("decided", 1)]
    assert news.links == ()
    await trials.experiments.move_experiment(trials.caller, running.id, "archived")
    gone = await trials.snapshots.refresh(running.profile_id, news.version, 10)
    assert gone is not None
    assert gone.experiments == ()


async def test_states_follow_each_other(trials: Trials) -> None:
    profile_id, link_id = await a_link(trials)
    empty = msgspec.structs.replace(B, target="")
    made, _ = await trials.experiments.create_experiment(
        trials.caller, profile_id, draft(link_id, variants=(A, empty))
    )

    async def move(state: Any, winner: str | None = None) -> StoredExperiment:
        moved, _ = await trials.experiments.move_experiment(trials.caller, made.id, state, winner)
        return moved

    with pytest.raises(InvalidError, match=r"variants\.1\.target"):
        await move("running")
    with pytest.raises(ConflictError, match="draft may become"):
        await move("decided", "a")
    await trials.experiments.update_experiment(trials.caller, made.id, draft(link_id))
    running = await move("running")
    assert running.started_at is not None
    with pytest.raises(ConflictError, match="must not be running"):
        await trials.experiments.delete_experiment(trials.caller, made.id)
    assert (await move("paused")).experiment.state == "paused"
    assert (await move("running")).started_at == running.started_at
    with pytest.raises(InvalidError, match="winner"):
        await move("decided", "c")
    decided = await move("decided", "b")
    assert (decided.experiment.winner, decided.ended_at is None) == (1, False)
    assert (await move("archived")).experiment.state == "archived"
    await trials.experiments.delete_experiment(trials.caller, made.id)
    with pytest.raises(NotFoundError):
        await trials.experiments.experiment(trials.caller, made.id)


async def test_a_change_of_weights_begins_a_phase(trials: Trials) -> None:
    running = await started(trials)
    link_id = running.experiment.link_id
    assert link_id is not None
    same, change = await trials.experiments.update_experiment(
        trials.caller, running.id, draft(link_id)
    )
    assert (same, change.version) == (
        running,
        (await trials.profiles.profile(trials.caller, running.profile_id)).version,
    )
    half, _ = await trials.experiments.update_experiment(
        trials.caller, running.id, draft(link_id, coverage=0.5), running.version
    )
    assert (half.experiment.phase, half.version) == (1, running.version + 1)
    with pytest.raises(LostUpdateError):
        await trials.experiments.update_experiment(
            trials.caller, running.id, draft(link_id), running.version
        )
    heavy = tuple(msgspec.structs.replace(v, weight=w) for v, w in ((A, 0.9), (B, 0.1)))
    moved, _ = await trials.experiments.update_experiment(
        trials.caller, running.id, draft(link_id, variants=heavy)
    )
    assert moved.experiment.phase == 2
    _, tally = await trials.experiments.counts(trials.caller, running.id)
    assert [(p.number, p.reason, p.variants) for p in tally.phases] == [
        (1, "start", (A, B)),
        (2, "change", heavy),
    ]


async def test_what_tests_the_same_takes_turns_or_shares(trials: Trials) -> None:
    profile_id, link_id = await a_link(trials)

    async def make(**changes: Any) -> StoredExperiment:
        made, _ = await trials.experiments.create_experiment(
            trials.caller, profile_id, draft(link_id, **changes)
        )
        return made

    first, second = await make(name="one"), await make(name="two")
    await trials.experiments.move_experiment(trials.caller, first.id, "running")
    with pytest.raises(ConflictError, match="'one' runs on the same subject"):
        await trials.experiments.move_experiment(trials.caller, second.id, "running")
    left = await make(name="left", namespace=Namespace(id="n", low=0, high=0.5))
    with pytest.raises(InvalidError, match="overlap"):
        await make(name="over", namespace=Namespace(id="n", low=0.4, high=1))
    right = await make(name="right", namespace=Namespace(id="n", low=0.5, high=1))
    await trials.experiments.move_experiment(trials.caller, first.id, "decided", "a")
    for one in (left, right):
        await trials.experiments.move_experiment(trials.caller, one.id, "running")
    widened = draft(link_id, namespace=Namespace(id="n", low=0, high=0.6))
    with pytest.raises(InvalidError, match="overlap"):
        await trials.experiments.update_experiment(trials.caller, left.id, widened)


async def test_what_it_refers_to_must_be_there(trials: Trials) -> None:
    profile_id, link_id = await a_link(trials)
    _, elsewhere = await a_link(trials, "other", "spring")
    plain = tuple(msgspec.structs.replace(v, target="") for v in (A, B))
    block: dict[str, Any] = {"kind": "page", "link_id": None, "block_id": 7, "variants": plain}
    for wrong in (draft(elsewhere), draft(link_id + 1_000_000), draft(link_id, **block)):
        with pytest.raises(InvalidError, match="_id"):
            await trials.experiments.create_experiment(trials.caller, profile_id, wrong)
    made, _ = await trials.experiments.create_experiment(trials.caller, profile_id, draft(link_id))
    await trials.profiles.delete_link(trials.caller, link_id)
    with pytest.raises(NotFoundError):
        await trials.experiments.experiment(trials.caller, made.id)


# ---- counting ---------------------------------------------------------------------------------------


def observed(
    running: StoredExperiment, *seen: tuple[str, int, int, int], **more: Any
) -> ExperimentIncrements:
    """(`show` or `act`, visitor, arm, time) of visits, as a fold gathers them."""
    observer = ExperimentCounter()
    tenant = more.get("tenant", 1)
    for what, visitor, arm, at_us in seen:
        tag = EXPOSURES if what == "show" else OUTCOMES
        data = {tag: pack_variant_refs([VariantRef(running.id, running.experiment.phase, arm)])}
        name = visitor.to_bytes(8, "big", signed=True)
        if more.get("cookie"):
            data[COOKIE] = name + (b"\x01\x00" if what == "show" else b"\x00\x01")
            name = b"\xff" * 8
        observer.add(Click(1, 0, at_us, tenant, running.profile_id, 1, b"", b"", b"", name), data)
    return observer.increments()


async def counts(trials: Trials, running: StoredExperiment) -> tuple[VariantCounts, ...]:
    _, tally = await trials.experiments.counts(trials.caller, running.id)
    return tally.phases[-1].counts


async def count(
    trials: Trials, running: StoredExperiment, *batches: Sequence[tuple[str, int, int, int]],
    **more: Any,
) -> tuple[VariantCounts, ...]:  # fmt: skip
    for batch in batches:
        await trials.observe(observed(running, *batch, tenant=trials.caller.tenant_id, **more))
    return await counts(trials, running)


async def test_a_visitor_counts_once_however_often_they_come(trials: Trials) -> None:
    running = await started(trials)
    found = await count(
        trials,
        running,
        [("show", 1, 0, NOON), ("show", 1, 0, NOON + 5), ("show", -2, 1, NOON)],
        [("show", 1, 0, NOON + QUARTER), ("act", 1, 0, NOON + QUARTER)],
        [("act", 1, 0, NOON + 2 * QUARTER), ("show", 1, 0, NOON + DAY)],
    )
    assert found == (VariantCounts(4, 2, 2, 1, 0), VariantCounts(1, 0, 1, 0, 0))


async def test_an_outcome_that_comes_first_waits_for_its_exposure(trials: Trials) -> None:
    running = await started(trials)
    assert await count(trials, running, [("act", 1, 1, NOON)]) == (
        VariantCounts(),
        VariantCounts(0, 1),
    )
    found = await count(trials, running, [("show", 1, 1, NOON + QUARTER)])
    assert found == (VariantCounts(), VariantCounts(1, 1, 1, 1, 0))


async def test_who_was_in_two_arms_is_in_neither_and_reported(trials: Trials) -> None:
    running = await started(trials)
    found = await count(
        trials,
        running,
        [("show", 1, 0, NOON), ("act", 1, 0, NOON), ("show", 2, 0, NOON), ("show", 3, 1, NOON)],
        [("show", 1, 1, NOON + QUARTER), ("show", 2, 1, NOON), ("show", 2, 0, NOON)],
        [("act", 1, 1, NOON), ("act", 2, 0, NOON), ("show", 4, 1, NOON), ("show", 4, 0, NOON)],
    )
    assert found == (VariantCounts(4, 2, 0, 0, 2), VariantCounts(4, 1, 1, 0, 1))


async def test_a_cookie_is_one_visitor_over_days(trials: Trials) -> None:
    running = await started(trials, cookie=True)
    seen = observed(running, ("show", 5, 0, NOON), cookie=True)
    assert seen.units[0].key.day == date(1970, 1, 1)
    found = await count(
        trials,
        running,
        [("show", 5, 0, NOON), ("show", 6, 1, NOON)],
        [("show", 5, 0, NOON + 3 * DAY), ("act", 5, 0, NOON + 3 * DAY)],
        cookie=True,
    )
    assert found == (VariantCounts(2, 1, 1, 1, 0), VariantCounts(1, 0, 1, 0, 0))


async def test_points_add_up_over_time(trials: Trials) -> None:
    running = await started(trials)
    await count(
        trials,
        running,
        [("show", 1, 0, NOON), ("show", 2, 1, NOON + QUARTER)],
        [("act", 2, 1, NOON + 3 * QUARTER), ("show", 3, 0, NOON + 3 * QUARTER)],
    )
    _, phase, points = await trials.experiments.series(trials.caller, running.id, None, 100)
    assert phase.number == 1
    assert [int(p.at.timestamp() * 1e6 - NOON) // QUARTER for p in points] == [1, 2, 4]
    assert points[-1].counts == await counts(trials, running)
    assert [[c.proportion for c in p.counts] for p in points][:2] == [
        [(1, 0), (0, 0)],
        [(1, 0), (1, 0)],
    ]
    _, _, two = await trials.experiments.series(trials.caller, running.id, 1, 2)
    assert [int(p.at.timestamp() * 1e6 - NOON) // QUARTER for p in two] == [2, 4]
    with pytest.raises(NotFoundError):
        await trials.experiments.series(trials.caller, running.id, 9, 2)


async def test_what_is_gone_is_not_counted(trials: Trials) -> None:
    running = await started(trials)
    ghost = msgspec.structs.replace(
        running, experiment=msgspec.structs.replace(running.experiment, id=running.id + 1)
    )
    tenant = trials.caller.tenant_id
    # No fold may fail of it.
    await trials.observe(observed(ghost, ("show", 1, 0, NOON), tenant=tenant))
    assert await counts(trials, running) == (VariantCounts(), VariantCounts())


# ---- watching ---------------------------------------------------------------------------------------


async def looked(trials: Trials) -> list[tuple[RunningExperiment, AutomaticAction | None]]:
    some = await trials.watch.running(0, 10)
    return [(one, next_action(one, datetime.now(UTC))) for one in some]


async def test_a_rule_decides_by_itself_and_edges_hear_of_it(trials: Trials) -> None:
    running = await started(trials, analysis=Analysis(on_decision="promote"))
    (snapshot,) = await trials.snapshots.find([b"/@demo"])
    assert snapshot is not None
    shown = [("show", n, n % 2, NOON) for n in range(1, 4001)]
    acts = [("act", n, n % 2, NOON) for n in range(1, 4001) if n % 40 < (18 if n % 2 else 4)]
    await count(trials, running, shown, acts)
    ((watched, found),) = await looked(trials)
    assert found is not None
    assert (watched.stored, found.action, found.experiment.winner) == (running, "end", 1)
    assert await trials.watch.apply(watched, found)
    assert not await trials.watch.apply(watched, found)
    decided = await trials.experiments.experiment(trials.caller, running.id)
    assert (decided.experiment.state, decided.experiment.winner) == ("decided", 1)
    assert decided.ended_at is not None
    news = await trials.snapshots.refresh(running.profile_id, snapshot.version, 10)
    assert news is not None
    assert news.experiments[0].experiment.winner == 1
    assert await trials.watch.running(0, 10) == []


async def test_a_mismatch_is_noted_once(trials: Trials) -> None:
    running = await started(trials)
    await count(trials, running, [("show", n, int(n > 1500), NOON) for n in range(1, 2401)])
    ((watched, found),) = await looked(trials)
    assert found is not None
    assert found.action == "mismatch"
    assert await trials.watch.apply(watched, found)
    ((_, again),) = await looked(trials)
    assert again is None
    noted = await trials.experiments.experiment(trials.caller, running.id)
    assert noted.mismatch_at is not None
    assert noted.experiment == running.experiment


async def test_a_bandit_begins_a_phase(trials: Trials) -> None:
    running = await started(
        trials, analysis=Analysis(bandit=BanditPolicy(floor=0.1, every_minutes=5))
    )
    shown = [("show", n, n % 2, NOON) for n in range(1, 1001)]
    await count(trials, running, shown, [("act", n, 1, NOON) for n in range(1, 101, 2)])
    ((watched, found),) = await looked(trials)
    assert found is None  # its pace
    found = next_action(watched, datetime.now(UTC) + timedelta(minutes=6))
    assert found is not None
    assert await trials.watch.apply(watched, found)
    _, tally = await trials.experiments.counts(trials.caller, running.id)
    assert [(p.number, p.reason) for p in tally.phases] == [(1, "start"), (2, "bandit")]
    assert [v.weight for v in tally.phases[1].variants] == [0.1, 0.9]
    moved = await trials.experiments.experiment(trials.caller, running.id)
    assert (moved.experiment.phase, moved.version) == (2, running.version + 1)


async def test_many_visitors_are_written_in_parts(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_counts, "UNITS_AT_ONCE", 7)
    running = await started(trials)
    seen = [("show", n, n % 2, NOON) for n in range(50)] + [("show", 3, 0, NOON)]
    acts = [("act", n, n % 2, NOON) for n in range(20)]
    found = await count(trials, running, [*seen, *acts], seen)
    assert found == (VariantCounts(52, 10, 25, 10, 0), VariantCounts(50, 10, 24, 9, 1))


@pytest.mark.slow
async def test_changes_are_logged_without_secrets_and_told_to_webhooks(database_url: str) -> None:
    async with opened(database_url) as open_role:
        trials = await stored_trials(open_role)
        app = await open_role("waypost_app")
        profile_id, _ = await a_link(trials)
        hook = NewWebhookDraft(url="https://example.com/", event_types=["experiment.*"])
        await PostgresWebhookStore(app).create_webhook(trials.caller, profile_id, hook)
        running = await started(trials)
        skewed = [("show", n, int(n > 1500), NOON) for n in range(1, 2401)]
        await count(trials, running, skewed)
        ((watched, found),) = await looked(trials)
        assert found is not None
        assert await trials.watch.apply(watched, found)
        await trials.experiments.move_experiment(trials.caller, running.id, "decided", "b")

        async def look(connection: Connection) -> tuple[list[Any], list[Any]]:
            return (
                await connection.fetch("SELECT type, data ->> 'name' FROM events ORDER BY id"),
                await connection.fetch(
                    "SELECT user_id IS NULL, after ->> 'state', after ?| '{secret,visitor}' "
                    "FROM audit_log WHERE object_type = 'experiment' ORDER BY seq"
                ),
            )

        events, log = await app.transaction(look, caller=trials.caller)
    assert [tuple(row) for row in events if row[0].startswith("experiment")] == [
        ("experiment.started", "Spring"), ("experiment.srm", "Spring"), ("experiment.decided", "Spring"),
    ]  # fmt: skip
    assert [tuple(row) for row in log] == [
        (False, "draft", False), (False, "running", False), (True, "running", False),
        (False, "decided", False),
    ]  # fmt: skip
