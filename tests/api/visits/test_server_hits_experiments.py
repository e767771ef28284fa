"""Hits of servers in experiments: variants and targets in answers, exposures and outcomes in records."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.visits.client_resolver import ClientResolver
from api.visits.server_hits import ServerHits
from engine.clicks.click_id import ClickIdCipher
from engine.clicks.record_items import EXPOSURES, OUTCOMES, VariantRef
from engine.experiments.experiment import Variant
from engine.links.link import LinkDraft
from engine.pages.blocks import HeadingBlock, LinkBlock
from engine.pages.page import ProfilePage
from engine.visits.edge_assignment import preview_token
from engine.visits.hit import HitAnswer, ServerHit
from tests.kit.delayed_profiles import TENANT
from tests.kit.experiment_labs import BOT, CHROME, A, B, Lab, experiment_lab
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.trio(run=hosted_run)

TITLES = Variant(name="a", weight=0.5), Variant(name="b", weight=0.5, title="Spring!", position=2)


class HitLab:
    """A lab whose visitors a server reports."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        edge = lab.edge
        clients = ClientResolver(edge.places.place, 0)
        self.hits = ServerHits(
            edge.registry, edge.journal, clients, edge.keys, lambda: edge.wall_us
        )
        self._ids = 0

    async def report(
        self, number: int, path: bytes = b"/@shop", agent: bytes = CHROME, **fields: Any
    ) -> HitAnswer:
        """Report a hit of the visitor with this number, who takes part in experiments."""
        self._ids += 1
        (answer,) = await self.hits.record([hit(self._ids, number, path, agent, **fields)])
        return answer

    def last(self, tag: int) -> list[VariantRef]:
        """Return the exposures or outcomes of the last record."""
        return self.lab.recorded(tag)[-1]


def hit(
    id_: int, number: int, path: bytes = b"/@shop", agent: bytes = CHROME, **fields: Any
) -> ServerHit:
    address = "198.51.{}.{}".format(*divmod(number, 256))
    part: dict[str, Any] = {"experiments": True, "url": b"", "referrer": b""} | fields
    return ServerHit(id_.to_bytes(16), path, address, agent, b"", **part)


@pytest.fixture
async def lab() -> AsyncIterator[HitLab]:
    async with experiment_lab() as lab:
        yield HitLab(lab)


async def test_a_view_is_answered_with_the_variants_that_it_exposes_to(lab: HitLab) -> None:
    id_ = await lab.lab.run(kind="page", variants=TITLES)
    link_id = str(await lab.lab.link("spring"))
    seen = set()
    for number in range(20):
        answer = await lab.report(number)
        (variant,) = answer.variants
        assert (answer.outcome, answer.target) == ("recorded", None)
        assert (variant.experiment_id, variant.link_id, variant.block_id) == (
            str(id_), link_id, None
        )  # fmt: skip
        is_b = variant.variant == "b"
        assert (variant.title, variant.position) == (("Spring!", 2) if is_b else (None, None))
        assert variant.ref == f"{id_}-1-{int(is_b)}"
        assert lab.last(EXPOSURES) == [VariantRef(id_, 1, is_b)]
        seen.add(variant.variant)
    assert seen == {"a", "b"}


async def test_without_experiments_a_hit_takes_no_part(lab: HitLab) -> None:
    await lab.lab.run(kind="page", variants=TITLES)
    await lab.lab.run()
    for path in (b"/@shop", b"/shop/spring"):
        assert await lab.report(1, path, experiments=False) == HitAnswer("recorded")
        assert lab.last(EXPOSURES) == lab.last(OUTCOMES) == []


async def test_a_view_exposes_to_what_the_page_shows(lab: HitLab) -> None:
    link_id = await lab.lab.link("spring")
    blocks = HeadingBlock(id="h", text="Work"), LinkBlock(id="l", link_id=str(link_id))
    await lab.lab.edge.publish(lab.lab.profile_id, ProfilePage(blocks=blocks))
    on_link = await lab.lab.run(kind="page", variants=TITLES)
    on_block = await lab.lab.run(kind="page", variants=TITLES, link_id=None, block_id="h")
    for shows, ids in (
        (None, {on_link, on_block}),
        (frozenset({str(link_id), "7"}), {on_link}),
        (frozenset({"h"}), {on_block}),
        (frozenset(), set()),
    ):
        answer = await lab.report(3, shows=shows)
        assert {int(variant.experiment_id) for variant in answer.variants} == ids
        assert {ref.experiment_id for ref in lab.last(EXPOSURES)} == ids


async def test_machines_get_the_control_and_are_not_exposed(lab: HitLab) -> None:
    await lab.lab.run(kind="page", variants=TITLES)
    await lab.lab.run()
    for agent in (BOT, b"curl/8.0", b""):
        for number in range(8):
            (variant,) = (await lab.report(number, agent=agent)).variants
            assert (variant.variant, variant.ref) == ("a", None)
            assert lab.last(EXPOSURES) == []
            assert (await lab.report(number, b"/shop/spring", agent)).target == A.target
            assert lab.last(EXPOSURES) == lab.last(OUTCOMES) == []


async def test_a_click_is_answered_with_the_target_of_its_variant(lab: HitLab) -> None:
    page = await lab.lab.run(kind="page", variants=TITLES)
    id_ = await lab.lab.run()
    targets = set()
    for number in range(20):
        (shown,) = (await lab.report(number)).variants
        answer = await lab.report(number, b"/shop/spring")
        assert answer.variants == ()
        is_b = answer.target == B.target
        assert lab.last(EXPOSURES) == [VariantRef(id_, 1, is_b)]
        assert lab.last(OUTCOMES) == [VariantRef(page, 1, shown.variant == "b")]
        targets.add(answer.target)
    assert targets == {A.target, B.target}
    answer = await lab.report(1, b"/shop/autumn")
    assert answer.target == "https://autumn.example/"
    assert lab.last(EXPOSURES) == lab.last(OUTCOMES) == []


async def test_a_target_has_the_id_of_the_recorded_click(lab: HitLab) -> None:
    link_id = await lab.lab.link("spring")
    draft = LinkDraft(slug="spring", target="https://spring.example/", click_id=True)
    _, change = await lab.lab.edge.profiles.update_link(TENANT, link_id, draft)
    await lab.lab.apply(change)
    cipher = lab.lab.edge.registry.click_ids.cipher = ClickIdCipher(bytes(range(32)))
    id_ = await lab.lab.run()
    for number in range(8):
        answer = await lab.report(number, b"/shop/spring")
        target, _, text = (answer.target or "").partition("?wp_click=")
        click = lab.lab.edge.journal.clicks[-1]
        variant = int(target == B.target)
        ids = TENANT.tenant_id, lab.lab.profile_id, link_id
        assert cipher.open(text) == (
            *ids, click.at_us, id_, 1, variant, False, click.visitor_id
        )  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [{"click_limit": 5}, {"quarantined": True}, {"extra_path": True}, {"password": "a hash"}],
)
async def test_a_target_that_only_waypost_may_lead_to_is_not_told(
    lab: HitLab, fields: dict[str, Any]
) -> None:
    link_id = await lab.lab.link("spring")
    target = "https://spring.example/" + "{1}" * ("extra_path" in fields)
    draft = LinkDraft(slug="spring", target=target, **fields)
    _, change = await lab.lab.edge.profiles.update_link(TENANT, link_id, draft)
    await lab.lab.apply(change)
    await lab.lab.run()
    page = await lab.lab.run(kind="page", variants=TITLES)
    assert (await lab.report(1, b"/shop/spring")).target is None
    assert lab.last(EXPOSURES) == []
    assert [ref.experiment_id for ref in lab.last(OUTCOMES)] == [page]


async def test_an_experiment_by_cookie_gives_its_control_and_counts_nobody(lab: HitLab) -> None:
    await lab.lab.run(cookie=True)
    await lab.lab.run(kind="page", variants=TITLES, cookie=True)
    for number in range(12):
        (variant,) = (await lab.report(number)).variants
        assert (variant.variant, variant.ref) == ("a", None)
        assert lab.last(EXPOSURES) == []
        assert (await lab.report(number, b"/shop/spring")).target == A.target
        assert lab.last(EXPOSURES) == lab.last(OUTCOMES) == []


async def test_a_decided_experiment_shows_its_winner_and_counts_nobody(lab: HitLab) -> None:
    id_ = await lab.lab.run(kind="page", variants=TITLES)
    await lab.lab.move(id_, "decided", "b")
    (variant,) = (await lab.report(1)).variants
    assert (variant.title, variant.ref) == ("Spring!", None)
    assert lab.last(EXPOSURES) == []
    await lab.lab.move(id_, "archived")
    assert (await lab.report(1)).variants == ()


async def test_a_preview_at_the_url_of_a_page_counts_nobody(lab: HitLab) -> None:
    page = await lab.lab.run("draft", kind="page", variants=TITLES)
    target = await lab.lab.run("draft")
    for id_, path, answer in (
        (page, b"/@shop", ("b", None)),
        (target, b"/shop/spring", (None, B.target)),
    ):
        token = preview_token(await lab.lab.experiments.edge_experiment(TENANT, id_), 1, 2**31)
        url = b"https://front.example/?wp_variant=" + token.encode()
        for state in ("running", "paused"):
            shown = await lab.report(1, path, url=url)
            assert (next((v.variant for v in shown.variants), None), shown.target) == answer
            assert [v.ref for v in shown.variants] == [None] * len(shown.variants)
            assert lab.last(EXPOSURES) == lab.last(OUTCOMES) == []
            await lab.lab.move(id_, state)


async def test_an_event_that_comes_again_gets_its_variants_and_is_recorded_once(
    lab: HitLab,
) -> None:
    await lab.lab.run(kind="page", variants=TITLES)
    await lab.lab.run()
    events = [hit(1, 5), hit(2, 5, b"/shop/spring")]
    first = await lab.hits.record(events)
    again = await lab.hits.record(events)
    assert [answer.outcome for answer in again] == ["duplicate", "duplicate"]
    assert [a[1:] for a in map(_fields, again)] == [a[1:] for a in map(_fields, first)]
    assert len(lab.lab.edge.journal.clicks) == 2
    assert await lab.hits.record([hit(3, 5, b"/shop/none")]) == [HitAnswer("unknown")]


def _fields(answer: HitAnswer) -> tuple[Any, ...]:
    return answer.outcome, answer.variants, answer.target
