"""What visitors get of experiments at the door, and what is recorded of it."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

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
from engine.experiments.experiment import ExperimentDraft, Namespace, Variant, validate_draft
from engine.experiments.increments import ExperimentCounter
from engine.links.link import LinkDraft
from engine.links.profile import ProfileChange
from engine.operations.settings import Settings
from engine.visits.edge_assignment import preview_token
from storage.experiments.memory_experiments import MemoryExperimentStore
from tests.kit.delayed_profiles import TENANT
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import Answer, OpenDoor, Visitor, get, opened

pytestmark = pytest.mark.trio(run=hosted_run)

CHROME = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36"
BOT = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
A = Variant(name="a", weight=0.5, target="https://a.example/")
B = Variant(name="b", weight=0.5, target="https://b.example/")


class Lab:
    """A door with the profile `shop` and its link `spring`, behind a proxy that tells addresses."""

    def __init__(self, door: OpenDoor, experiments: MemoryExperimentStore, profile_id: int) -> None:
        self.door = door
        self.experiments = experiments
        self.profile_id = profile_id

    async def run(self, state: Any = "running", slug: str = "spring", **changes: Any) -> int:
        """Start an experiment on a link, and let the edge know."""
        link = await self.link(slug)
        fields: dict[str, Any] = {
            "name": "x",
            "kind": "destination",
            "variants": (A, B),
            "link_id": link,
        }
        draft, errors = validate_draft(ExperimentDraft(**fields | changes))
        assert draft is not None, errors
        made, change = await self.experiments.create_experiment(TENANT, self.profile_id, draft)
        if state != "draft":
            _, change = await self.experiments.move_experiment(TENANT, made.id, "running")
        await self.told(change)
        return made.id

    async def move(self, id_: int, state: Any, winner: str | None = None) -> None:
        _, change = await self.experiments.move_experiment(TENANT, id_, state, winner)
        await self.told(change)

    async def told(self, change: ProfileChange) -> None:
        self.door.registry.changed([change])
        actor = self.door.registry.profiles[self.profile_id]
        await self.door.until(lambda: actor.version >= change.version)

    async def link(self, slug: str) -> int:
        page = await self.door.profiles.list_links(TENANT, self.profile_id, 0, 100)
        link_id: int = next(link.id for link in page.items if link.slug == slug)
        return link_id

    async def visits(
        self, count: int, path: bytes = b"/shop/spring", agent: bytes = CHROME, *fields: bytes
    ) -> list[Answer]:
        """One visit each of so many people."""
        visitor = await self.door.visitor()
        return [await ask(visitor, path, n, agent, *fields) for n in range(count)]

    def recorded(self, tag: int) -> list[list[VariantRef]]:
        return [
            list(unpack_variant_refs(items(click.items).get(tag, b"")))
            for click in self.door.journal.clicks
        ]


async def ask(
    visitor: Visitor, path: bytes, number: int, agent: bytes = CHROME, *fields: bytes
) -> Answer:
    address = b"X-Forwarded-For: 198.51.%d.%d" % divmod(number, 256)
    return await visitor.asks(get(path, b"User-Agent: " + agent, address, *fields))


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with opened(Settings(trusted_hops=1, visits_per_second=0)) as door:
        profile_id = await door.profiles.made("shop", "spring", "summer", "autumn")
        experiments = MemoryExperimentStore(door.profiles)
        await door.warm(b"/shop/spring", b"/@shop")
        door.journal.records.clear()
        yield Lab(door, experiments, profile_id)


async def test_a_destination_splits_people_and_records_each_exposure(lab: Lab) -> None:
    id_ = await lab.run()
    first = [answer.location for answer in await lab.visits(200)]
    assert 70 < Counter(first)["https://a.example/"] < 130
    assert set(first) == {"https://a.example/", "https://b.example/"}
    again = [answer.location for answer in await lab.visits(200)]
    assert again == first
    wanted = [[VariantRef(id_, 1, location == "https://b.example/")] for location in first + again]
    assert lab.recorded(EXPOSURES) == wanted
    observer = ExperimentCounter()
    for click in lab.door.journal.clicks:
        observer.add(click, items(click.items))
    units, sums = observer.increments()
    assert len(units) == 200
    assert sum(exposures for _, exposures, _ in sums) == 400
    assert not any(unit.crossed for unit in units)


async def test_machines_get_the_control_and_are_not_exposed(lab: Lab) -> None:
    await lab.run()
    for agent in (BOT, b"curl/8.0"):
        assert {a.location for a in await lab.visits(20, b"/shop/spring", agent)} == {A.target}
    assert lab.recorded(EXPOSURES) == [[]] * 40


async def test_a_head_and_a_prefetch_get_the_same_and_do_not_count(lab: Lab) -> None:
    await lab.run()
    locations = [answer.location for answer in await lab.visits(30)]
    lab.door.journal.records.clear()
    visitor = await lab.door.visitor()
    for number, location in enumerate(locations):
        fields = b"User-Agent: " + CHROME, b"X-Forwarded-For: 198.51.0.%d" % number
        head = await visitor.asks(get(b"/shop/spring", *fields, method=b"HEAD"))
        prefetch = await visitor.asks(get(b"/shop/spring", *fields, b"Sec-Purpose: prefetch"))
        assert head.location == prefetch.location == location
    assert lab.recorded(EXPOSURES) == [[]] * 60


async def test_coverage_and_states(lab: Lab) -> None:
    id_ = await lab.run(coverage=0.5)
    got = Counter(answer.location for answer in await lab.visits(100))
    assert got.keys() == {"https://spring.example/", A.target, B.target}
    assert sum(map(bool, lab.recorded(EXPOSURES))) == got[A.target] + got[B.target]
    await lab.move(id_, "paused")
    assert {a.location for a in await lab.visits(9)} == {"https://spring.example/"}
    await lab.move(id_, "running")
    assert Counter(answer.location for answer in await lab.visits(100)) == got
    lab.door.journal.records.clear()
    await lab.move(id_, "decided", "b")
    for agent in (CHROME, BOT):
        assert {a.location for a in await lab.visits(9, b"/shop/spring", agent)} == {B.target}
    assert lab.recorded(EXPOSURES) == [[]] * 18
    await lab.move(id_, "archived")
    assert {a.location for a in await lab.visits(9)} == {"https://spring.example/"}


async def test_exclusive_experiments_share_a_link(lab: Lab) -> None:
    c, d = (Variant(name=n, weight=0.5, target=f"https://{n}.example/") for n in "cd")
    one = await lab.run(namespace=Namespace(id="n", low=0, high=0.5))
    two = await lab.run(namespace=Namespace(id="n", low=0.5, high=1), variants=(c, d))
    await lab.visits(100)
    found = [seen[0].experiment_id for seen in lab.recorded(EXPOSURES)]
    assert len(found) == 100
    assert set(found) == {one, two}


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
        for changes in ({"title": "Frühling <3", "thumbnail": "https://i.example/s.png"}, {"position": 0})
    )  # fmt: skip
    one = await lab.run(kind="page", variants=title)
    two = await lab.run(kind="page", variants=place, slug="autumn")
    pages = [answer.body.decode() for answer in await lab.visits(60, b"/@shop")]
    assert {("Frühling &lt;3" in page, page.index("autumn") < page.index("spring?"))
            for page in pages} == {(x, y) for x in (True, False) for y in (True, False)}  # fmt: skip
    shown = lab.recorded(EXPOSURES)
    assert shown == [
        [
            VariantRef(one, 1, "Frühling" in page),
            VariantRef(two, 1, page.index("autumn") < page.index("spring?")),
        ]
        for page in pages
    ]
    lab.door.journal.records.clear()
    await lab.visits(60, b"/shop/spring?wp_t=page")
    assert lab.recorded(OUTCOMES) == [
        [arm for arm in seen if arm.experiment_id == one] for seen in shown
    ]
    lab.door.journal.records.clear()
    await lab.visits(5, b"/shop/spring")
    await lab.visits(5, b"/shop/summer?wp_t=page")
    await lab.visits(5, b"/shop/spring?wp_t=page", BOT)
    assert lab.recorded(OUTCOMES) == [[]] * 15


async def test_a_thumbnail_is_allowed_where_it_is_shown_only(lab: Lab) -> None:
    (plain,) = await lab.visits(1, b"/@shop")
    assert "img-src 'self';" in plain.headers["content-security-policy"]
    b = Variant(name="b", weight=1, thumbnail="https://i.example/s.png")
    await lab.run(kind="page", variants=(Variant(name="a", weight=0), b))
    (shown,) = await lab.visits(1, b"/@shop")
    assert '<img src="https://i.example/s.png"' in shown.body.decode()
    assert "img-src 'self' https:;" in shown.headers["content-security-policy"]


async def test_a_cookie_is_set_where_it_is_asked_for_and_tells_who_comes_back(lab: Lab) -> None:
    assert "set-cookie" not in (await lab.visits(1))[0].headers
    id_ = await lab.run(cookie=True)
    lab.door.journal.records.clear()
    visitor = await lab.door.visitor()
    jar: dict[int, tuple[bytes, str | None]] = {}
    for number in range(40):
        answer = await ask(visitor, b"/shop/spring", 7)  # all from one address
        cookie_text, _, attributes = answer.headers["set-cookie"].partition("; ")
        assert attributes == "Path=/; Max-Age=15552000; SameSite=Lax; HttpOnly"
        jar[number] = cookie_text.encode(), answer.location
    assert len({location for _, location in jar.values()}) == 2
    for number, (cookie, location) in jar.items():
        for head in (b"Cookie: x=1; %b; y=2" % cookie, b"cookie:" + cookie):
            back = await ask(visitor, b"/shop/spring", number, CHROME, head)
            assert back.location == location
            assert "set-cookie" not in back.headers
    pseudonyms = [items(click.items)[COOKIE] for click in lab.door.journal.clicks]
    assert pseudonyms[40:] == [p for p in pseudonyms[:40] for _ in range(2)]
    assert {p[8:] for p in pseudonyms} == {b"\x01\x00"}
    assert len(set(pseudonyms)) == 40
    assert not any(cookie[5:] in b"".join(lab.door.journal.records) for cookie, _ in jar.values())
    (bot,) = await lab.visits(1, b"/shop/spring", BOT)
    assert "set-cookie" not in bot.headers
    await lab.move(id_, "decided", "a")
    assert "set-cookie" not in (await lab.visits(1))[0].headers


async def test_both_ways_of_reading_find_the_same_cookie(lab: Lab) -> None:
    await lab.run(cookie=True)
    visitor = await lab.door.visitor()
    good = b"wp_v=" + b"A" * 22
    for head, known in (
        (b"Cookie: " + good, True),
        (b"COOKIE:\t" + good + b" ; z=1", True),
        (b"Cookie: a=b\r\nCookie: " + good, True),
        (b"Cookie: xwp_v=" + b"A" * 22, False),
        (b"Cookie: " + good + b"; " + good, False),
        (b"Cookie: wp_v=short", False),
        (b"X-Cookie: " + good, False),
    ):
        for purpose in (b"X-Other: 1", b"X-urpose: 1"):  # the second one takes the careful way
            answer = await ask(visitor, b"/shop/spring", 1, CHROME, head, purpose)
            assert ("set-cookie" not in answer.headers) == known, (head, purpose)


async def test_a_target_is_handed_an_id_that_tells_of_the_click(lab: Lab) -> None:
    link = await lab.link("spring")
    draft = LinkDraft(slug="spring", target="https://spring.example/?a=1#top", click_id=True)
    _, change = await lab.door.profiles.update_link(TENANT, link, draft)
    await lab.told(change)
    (unsealed,) = await lab.visits(1)
    assert unsealed.location == "https://spring.example/?a=1#top"  # nobody knows the secret yet
    assert lab.door.registry.click_ids.missing == 1
    seal = lab.door.registry.click_ids.cipher = ClickIdCipher(bytes(range(32)))
    id_ = await lab.run()
    lab.door.journal.records.clear()
    answers = await lab.visits(20)
    for answer, click in zip(answers, lab.door.journal.clicks, strict=True):
        target, _, text = answer.location.partition("?wp_click=")
        found = seal.open(text)
        (shown,) = unpack_variant_refs(items(click.items)[EXPOSURES])
        assert found == (
            1, lab.profile_id, link, click.at_us, id_, 1, shown.arm, False, click.visitor_id
        )  # fmt: skip
        assert target == ("https://a.example/", "https://b.example/")[shown.arm]
    (bot,) = await lab.visits(1, b"/shop/spring", BOT)
    assert bot.location == A.target
    await lab.move(id_, "paused")
    (plain,) = await lab.visits(1)
    start, _, rest = plain.location.partition("&wp_click=")
    assert (start, rest[91:]) == ("https://spring.example/?a=1", "#top")
    opened_ = seal.open(rest[:91])
    assert opened_ is not None
    assert (opened_.experiment_id, opened_.visitor) == (0, lab.door.journal.clicks[-1].visitor_id)
