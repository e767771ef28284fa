"""Experiments at the visitor server: variants, exposures, outcomes, cookies and click ids."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from engine.clicks.click_id import ClickIdCipher
from engine.clicks.record_items import (
    COOKIE,
    EXPOSURES,
    OUTCOMES,
    VariantRef,
    items,
    unpack_variant_refs,
)
from engine.experiments.experiment import Namespace, Variant
from engine.experiments.increments import ExperimentCounter
from engine.links.link import LinkDraft
from engine.pages.blocks import HeadingBlock, LinkBlock
from engine.pages.page import BlockChange, ProfilePage, Translation
from engine.visits.edge_assignment import preview_token
from tests.kit.delayed_profiles import TENANT
from tests.kit.experiment_labs import BOT, CHROME, A, B, Lab, experiment_lab, visit_as
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import get

pytestmark = pytest.mark.trio(run=hosted_run)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with experiment_lab() as lab:
        yield lab


async def test_a_destination_splits_visitors_and_records_each_exposure(lab: Lab) -> None:
    id_ = await lab.run()
    first = [response.location for response in await lab.visits(200)]
    assert 70 < Counter(first)["https://a.example/"] < 130
    assert set(first) == {"https://a.example/", "https://b.example/"}
    second = [response.location for response in await lab.visits(200)]
    assert second == first
    expected = [
        [VariantRef(id_, 1, location == "https://b.example/")] for location in first + second
    ]
    assert lab.recorded(EXPOSURES) == expected
    counter = ExperimentCounter()
    for click in lab.edge.journal.clicks:
        counter.add(click, items(click.items))
    units, sums = counter.increments()
    assert len(units) == 200
    assert sum(exposures for _, exposures, _ in sums) == 400
    assert not any(unit.multiple_exposures for unit in units)


async def test_machines_get_the_control_and_are_not_exposed(lab: Lab) -> None:
    await lab.run()
    for agent in (BOT, b"curl/8.0"):
        assert {a.location for a in await lab.visits(20, b"/shop/spring", agent)} == {A.target}
    assert lab.recorded(EXPOSURES) == [[]] * 40


async def test_a_head_and_a_prefetch_get_the_variant_and_do_not_count(lab: Lab) -> None:
    await lab.run()
    locations = [response.location for response in await lab.visits(30)]
    lab.edge.journal.records.clear()
    visitor = await lab.edge.visitor()
    for number, location in enumerate(locations):
        fields = b"User-Agent: " + CHROME, b"X-Forwarded-For: 198.51.0.%d" % number
        head = await visitor.request(get(b"/shop/spring", *fields, method=b"HEAD"))
        prefetch = await visitor.request(get(b"/shop/spring", *fields, b"Sec-Purpose: prefetch"))
        assert head.location == prefetch.location == location
    assert lab.recorded(EXPOSURES) == [[]] * 60


async def test_coverage_and_states(lab: Lab) -> None:
    id_ = await lab.run(coverage=0.5)
    locations = Counter(response.location for response in await lab.visits(100))
    assert locations.keys() == {"https://spring.example/", A.target, B.target}
    assert sum(map(bool, lab.recorded(EXPOSURES))) == locations[A.target] + locations[B.target]
    await lab.move(id_, "paused")
    assert {a.location for a in await lab.visits(9)} == {"https://spring.example/"}
    await lab.move(id_, "running")
    assert Counter(response.location for response in await lab.visits(100)) == locations
    lab.edge.journal.records.clear()
    await lab.move(id_, "decided", "b")
    for agent in (CHROME, BOT):
        assert {a.location for a in await lab.visits(9, b"/shop/spring", agent)} == {B.target}
    assert lab.recorded(EXPOSURES) == [[]] * 18
    await lab.move(id_, "archived")
    assert {a.location for a in await lab.visits(9)} == {"https://spring.example/"}


async def test_exclusive_experiments_share_a_link(lab: Lab) -> None:
    c, d = (Variant(name=n, weight=0.5, target=f"https://{n}.example/") for n in "cd")
    first_id = await lab.run(namespace=Namespace(id="n", low=0, high=0.5))
    second_id = await lab.run(namespace=Namespace(id="n", low=0.5, high=1), variants=(c, d))
    await lab.visits(100)
    experiment_ids = [exposures[0].experiment_id for exposures in lab.recorded(EXPOSURES)]
    assert len(experiment_ids) == 100
    assert set(experiment_ids) == {first_id, second_id}


async def test_a_preview_shows_a_variant_and_does_not_count(lab: Lab) -> None:
    id_ = await lab.run("draft")
    assert {a.location for a in await lab.visits(9)} == {"https://spring.example/"}
    edge = await lab.experiments.edge_experiment(TENANT, id_)
    token = preview_token(edge, 1, 2_000_000_000).encode()
    for _ in range(2):
        path = b"/shop/spring?wp_variant=" + token
        assert {a.location for a in await lab.visits(9, path)} == {B.target}
        await lab.move(id_, "running" if edge.experiment.state == "draft" else "paused")
        edge = await lab.experiments.edge_experiment(TENANT, id_)
    assert {a.location for a in await lab.visits(9, b"/shop/spring?wp_variant=b")} <= {
        "https://spring.example/", A.target, B.target
    }  # fmt: skip
    assert not any(lab.recorded(EXPOSURES)[:27])


async def test_the_page_varies_and_its_clicks_decide(lab: Lab) -> None:
    title, place = (
        (Variant(name="a", weight=0.5), Variant(name="b", weight=0.5, **changes))
        for changes in ({"title": "Frühling <3", "style": "filled"}, {"position": 0})
    )  # fmt: skip
    first_id = await lab.run(kind="page", variants=title)
    second_id = await lab.run(kind="page", variants=place, slug="autumn")
    pages = [response.body.decode() for response in await lab.visits(60, b"/@shop")]
    assert {("Frühling &lt;3" in page, page.index("autumn") < page.index("spring?"))
            for page in pages} == {(x, y) for x in (True, False) for y in (True, False)}  # fmt: skip
    exposures = lab.recorded(EXPOSURES)
    assert exposures == [
        [
            VariantRef(first_id, 1, "Frühling" in page),
            VariantRef(second_id, 1, page.index("autumn") < page.index("spring?")),
        ]
        for page in pages
    ]
    lab.edge.journal.records.clear()
    await lab.visits(60, b"/shop/spring?wp_t=page")
    assert lab.recorded(OUTCOMES) == [
        [variant for variant in page if variant.experiment_id == first_id] for page in exposures
    ]
    lab.edge.journal.records.clear()
    await lab.visits(5, b"/shop/spring")
    await lab.visits(5, b"/shop/summer?wp_t=page")
    await lab.visits(5, b"/shop/spring?wp_t=page", BOT)
    assert lab.recorded(OUTCOMES) == [[]] * 15


async def test_a_block_of_a_published_page_varies(lab: Lab) -> None:
    link_id = await lab.link("spring")
    blocks = HeadingBlock(id="h", text="Work"), LinkBlock(id="l", link_id=str(link_id))
    await lab.edge.publish(lab.profile_id, ProfilePage(blocks=blocks))
    variants = (Variant(name="a", weight=0), Variant(name="b", weight=1, title="Play", position=1))
    id_ = await lab.run(kind="page", variants=variants, link_id=None, block_id="h")
    (page,) = await lab.visits(1, b"/@shop")
    text = page.body.decode()
    assert "Work" not in text
    assert text.index("/shop/spring?") < text.index("Play")
    assert lab.recorded(EXPOSURES) == [[VariantRef(id_, 1, 1)]]
    lab.edge.journal.records.clear()
    await lab.visits(1, b"/shop/summer?wp_t=page")
    assert lab.recorded(OUTCOMES) == [[VariantRef(id_, 1, 1)]]


async def test_nobody_is_exposed_to_what_the_page_does_not_show(lab: Lab) -> None:
    ids = {slug: str(await lab.link(slug)) for slug in ("spring", "summer", "autumn")}
    later, earlier = (datetime(year, 1, 1, tzinfo=UTC) for year in (2200, 2000))
    blocks = (
        HeadingBlock(id="shown", text="Work"),
        HeadingBlock(id="hidden", text="Work", hidden=True),
        HeadingBlock(id="early", text="Work", shown_from=later),
        HeadingBlock(id="late", text="Work", shown_until=earlier),
        HeadingBlock(id="other", text="Work"),
        LinkBlock(id="l1", link_id=ids["spring"]),
        LinkBlock(id="l2", link_id=ids["summer"], hidden=True),
    )
    german = Translation(language="de", blocks=(BlockChange(block="other", hidden=True),))
    page = ProfilePage(blocks=blocks, translations=(german,))
    await lab.edge.publish(lab.profile_id, page)
    titles = (Variant(name="a", weight=0), Variant(name="b", weight=1, title="Play"))
    on_blocks = {
        name: await lab.run(kind="page", variants=titles, link_id=None, block_id=name)
        for name in ("shown", "hidden", "early", "late", "other")
    }
    shown_link = await lab.run(kind="page", variants=titles, slug="spring")
    await lab.run(kind="page", variants=titles, slug="summer")
    lab.edge.journal.records.clear()
    await lab.visits(1, b"/@shop")
    await lab.visits(1, b"/@shop", CHROME, b"Accept-Language: de")
    in_english, in_german = (
        {variant.experiment_id for variant in exposures} for exposures in lab.recorded(EXPOSURES)
    )
    assert in_english == {on_blocks["shown"], on_blocks["other"], shown_link}
    assert in_german == {on_blocks["shown"], shown_link}
    lab.edge.journal.records.clear()
    await lab.visits(1, b"/shop/summer?wp_t=page")
    (outcomes,) = lab.recorded(OUTCOMES)
    assert on_blocks["hidden"] not in {variant.experiment_id for variant in outcomes}


async def test_a_cookie_is_set_where_an_experiment_asks_for_it_and_keeps_the_variant(
    lab: Lab,
) -> None:
    assert "set-cookie" not in (await lab.visits(1))[0].headers
    id_ = await lab.run(cookie=True)
    lab.edge.journal.records.clear()
    visitor = await lab.edge.visitor()
    jar: dict[int, tuple[bytes, str | None]] = {}
    for number in range(40):
        response = await visit_as(visitor, b"/shop/spring", 7)  # all from one address
        cookie_text, _, attributes = response.headers["set-cookie"].partition("; ")
        assert attributes == "Path=/; Max-Age=15552000; SameSite=Lax; HttpOnly"
        jar[number] = cookie_text.encode(), response.location
    assert len({location for _, location in jar.values()}) == 2
    for number, (cookie, location) in jar.items():
        for head in (b"Cookie: x=1; %b; y=2" % cookie, b"cookie:" + cookie):
            second = await visit_as(visitor, b"/shop/spring", number, CHROME, head)
            assert second.location == location
            assert "set-cookie" not in second.headers
    pseudonyms = [items(click.items)[COOKIE] for click in lab.edge.journal.clicks]
    assert pseudonyms[40:] == [p for p in pseudonyms[:40] for _ in range(2)]
    assert {p[8:] for p in pseudonyms} == {b"\x01\x00"}
    assert len(set(pseudonyms)) == 40
    assert not any(cookie[5:] in b"".join(lab.edge.journal.records) for cookie, _ in jar.values())
    (bot,) = await lab.visits(1, b"/shop/spring", BOT)
    assert "set-cookie" not in bot.headers
    await lab.move(id_, "decided", "a")
    assert "set-cookie" not in (await lab.visits(1))[0].headers


async def test_both_parsers_find_the_same_cookie(lab: Lab) -> None:
    await lab.run(cookie=True)
    visitor = await lab.edge.visitor()
    good = b"wp_v=" + b"A" * 22
    for head, has_cookie in (
        (b"Cookie: " + good, True),
        (b"COOKIE:\t" + good + b" ; z=1", True),
        (b"Cookie: a=b\r\nCookie: " + good, True),
        (b"Cookie: xwp_v=" + b"A" * 22, False),
        (b"Cookie: " + good + b"; " + good, False),
        (b"Cookie: wp_v=short", False),
        (b"X-Cookie: " + good, False),
    ):
        for purpose in (b"X-Other: 1", b"X-urpose: 1"):  # the second one goes to the strict parser
            response = await visit_as(visitor, b"/shop/spring", 1, CHROME, head, purpose)
            assert ("set-cookie" not in response.headers) == has_cookie, (head, purpose)


async def test_a_target_gets_the_id_of_the_click(lab: Lab) -> None:
    link = await lab.link("spring")
    draft = LinkDraft(slug="spring", target="https://spring.example/?a=1#top", click_id=True)
    _, change = await lab.edge.profiles.update_link(TENANT, link, draft)
    await lab.apply(change)
    (without_id,) = await lab.visits(1)
    assert without_id.location == "https://spring.example/?a=1#top"  # the secret is not known yet
    assert lab.edge.registry.click_ids.missing == 1
    cipher = lab.edge.registry.click_ids.cipher = ClickIdCipher(bytes(range(32)))
    id_ = await lab.run()
    lab.edge.journal.records.clear()
    responses = await lab.visits(20)
    for response, click in zip(responses, lab.edge.journal.clicks, strict=True):
        target, _, text = response.location.partition("?wp_click=")
        click_id = cipher.open(text)
        (exposure,) = unpack_variant_refs(items(click.items)[EXPOSURES])
        assert click_id == (
            1, lab.profile_id, link, click.at_us, id_, 1, exposure.variant, False, click.visitor_id
        )  # fmt: skip
        assert target == ("https://a.example/", "https://b.example/")[exposure.variant]
    (bot,) = await lab.visits(1, b"/shop/spring", BOT)
    assert bot.location == A.target
    await lab.move(id_, "paused")
    (plain,) = await lab.visits(1)
    start, _, rest = plain.location.partition("&wp_click=")
    assert (start, rest[91:]) == ("https://spring.example/?a=1", "#top")
    click_id = cipher.open(rest[:91])
    assert click_id is not None
    assert (click_id.experiment_id, click_id.visitor_id) == (
        0,
        lab.edge.journal.clicks[-1].visitor_id,
    )
