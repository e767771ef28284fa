"""Memory of profile actors: the garbage collector neither looks at them nor is needed to free them."""

import gc
import sys
from collections.abc import Iterator

import pytest
from trio.testing import MockClock

from actors.visits.click_ids import ClickIds
from actors.visits.click_quotas import ClickQuotas
from actors.visits.entrances import Entrances
from actors.visits.forms.password_checks import PasswordChecks
from actors.visits.link_gate import GateParts
from actors.visits.page_renders import PageRenders
from actors.visits.profile import ProfileActor, profile_actor
from api.visits.pages.visit_responses import visit_responses
from engine.experiments.experiment import EdgeExperiment, Experiment, Variant
from engine.links.profile import ProfileChange
from engine.pages.page_link import PageLink
from engine.visits.snapshot import EdgeLink, Snapshot
from tests.kit.delayed_profiles import TENANT
from tests.kit.running_registry import plain_visit, running_registry


@pytest.fixture(autouse=True)
def _without_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


async def test_a_profile_in_memory_is_nothing_that_the_collector_looks_at(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        await edge.profiles.add_profile("shop", "a", "b")
        assert await edge.visit(b"/shop/a")
        (actor,) = edge.registry.profiles.values()
        assert not gc.is_tracked(actor)
        assert not gc.is_tracked(actor.routes)
        assert not any(gc.is_tracked(route) for route in actor.routes.values())


async def test_a_profile_that_leaves_memory_is_freed_without_the_collector(
    autojump_clock: MockClock,
) -> None:
    async with running_registry() as edge:
        profile_id = await edge.profiles.add_profile("shop", "a")
        assert await edge.visit(b"/@shop")
        (actor,) = edge.registry.profiles.values()
        (route,) = actor.routes.values()
        gone = await edge.profiles.delete_profile(TENANT, profile_id)
        await edge.announce(ProfileChange(profile_id, gone.version, deleted=True))
        assert await edge.visit(b"/shop/a") is None
        target = route.target
        assert sys.getrefcount(actor) == 3  # `actor`, `route` and the argument
        del actor, route
        assert sys.getrefcount(target) == 2


async def test_a_link_that_nobody_visits_takes_little_memory() -> None:
    """What its visits need is made at the first of them."""
    renders = PageRenders()
    actor = _actor_with_a_page_experiment(renders)
    (route,) = actor.routes.values()
    assert (route.tail, route.ids) == (b"", b"")
    tail, record = actor.visit(route, plain_visit())
    assert tail == route.tail != b""
    assert route.ids in record


async def test_pages_go_with_their_profile() -> None:
    renders = PageRenders()
    actor = _actor_with_a_page_experiment(renders)
    (_route,) = actor.routes.values()
    visit = plain_visit()
    assert actor.visit(actor.page_route(), visit) == (b"", b"")
    renders.make(visit.wanted_page)
    assert renders.kept_bytes > 0
    actor.close()
    assert renders.kept_bytes == 0
    assert sys.getrefcount(actor) == 3  # `actor`, `route` and the argument


async def test_a_visitor_who_has_waited_gets_a_page_however_often_it_changes() -> None:
    renders = PageRenders()
    actor = _actor_with_a_page_experiment(renders)
    route, visit = actor.page_route(), plain_visit()
    assert actor.visit(route, visit) == (b"", b"")
    renders.make(visit.wanted_page)  # in a thread of the edge
    actor.version += 1  # before the visitor is answered
    tail, record = actor.visit(route, visit)
    assert b"<!doctype html>" in tail
    assert record
    assert actor.visit(route, plain_visit()) == (b"", b"")  # another one waits for the new version
    actor.close()


def _actor_with_a_page_experiment(renders: PageRenders) -> ProfileActor:
    variants = (Variant(name="a", weight=1), Variant(name="b", weight=1, title="B"))
    experiment = Experiment(
        name="x", kind="page", variants=variants, link_id=1, id=7, seed="s", state="running"
    )
    link = EdgeLink(1, "x", "https://plain.example/", 302, False, True)
    snapshot = Snapshot(
        tenant_id=1, profile_id=2, handle="lab", title="", version=1, complete=True, links=(link,),
        page=(PageLink("x", "X", link.target, "url", 1),),
        experiments=(EdgeExperiment(experiment, bytes(range(32))),),
    )  # fmt: skip
    actor = profile_actor(
        snapshot,
        visit_responses("http://links.example"),
        ClickIds(),
        Entrances(),
        GateParts(ClickQuotas(), PasswordChecks()),
        renders,
        _no_refresh,
    )
    actor.add(snapshot.links)
    return actor


async def _no_refresh(actor: ProfileActor, version: int) -> None:
    raise NotImplementedError
