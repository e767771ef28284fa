"""Visitors of the page itself, of a page with the script and of a server's: one variant, and exact results.

What is counted by hand is what the visitors saw: titles in HTML and JSON, and where their clicks led.
"""

import json
import re
from collections import Counter, defaultdict
from random import Random
from typing import NamedTuple

import pytest

from api.visits.client_resolver import ClientResolver
from api.visits.server_hits import ServerHits
from engine.clicks.click import CLASS_MASK, COUNTED_CLASSES
from engine.clicks.record_items import items
from engine.experiments.experiment import Namespace, Targeting, Variant
from engine.experiments.increments import ExperimentCounter
from engine.visits.hit import HitAnswer
from engine.visits.hit_draft import HitDraft, hit_of_event, validate_event
from storage.experiments.memory_counts import MemoryExperimentCounts
from tests.kit.delayed_profiles import TENANT
from tests.kit.experiment_labs import BOT, CHROME, Lab, experiment_lab
from tests.kit.hosted import hosted_run
from tests.kit.visitor_servers import Visitor, get

pytestmark = pytest.mark.trio(run=hosted_run)

SLUGS = "spring", "summer", "autumn"
PHONE = (
    b"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 "
    b"Mobile Safari/537.36"
)
BRAVE = b'"Brave";v="141", "Chromium";v="141"'
AGENTS = (
    (CHROME, b""),
    (PHONE, b""),
    (PHONE, BRAVE),
    (CHROME, BRAVE),
    (BOT, b""),
    (b"curl/8.0", b""),
)
TITLE = re.compile("T([0-9])v([0-9])t")


class Person(NamedTuple):
    address: str
    agent: bytes
    brands: bytes
    language: str

    @property
    def counts(self) -> bool:
        return self.agent not in (BOT, b"curl/8.0")


class World:
    """A lab with five random experiments, and what its visitors saw."""

    def __init__(self, lab: Lab, visitor: Visitor, random: Random) -> None:
        self.lab, self.visitor, self.random = lab, visitor, random
        self.server = ServerHits(
            lab.edge.registry,
            lab.edge.journal,
            ClientResolver(lab.edge.places.place, 0),
            lab.edge.keys,
            lambda: lab.edge.wall_us,
        )
        self.ids: list[int] = []
        self.goals: list[str | None] = []  # slug; None: any link
        self.seen: dict[Person, frozenset[tuple[int, int]]] = {}
        self.exposures: Counter[tuple[int, int]] = Counter()
        self.outcomes: Counter[tuple[int, int]] = Counter()
        self.visitors: dict[tuple[int, int], set[Person]] = defaultdict(set)
        self.converted: dict[tuple[int, int], set[Person]] = defaultdict(set)
        self._reported = 0

    async def start(self) -> None:
        """Start four experiments on the page and one on a target."""
        low, high = Namespace(id="n", low=0, high=0.4), Namespace(id="n", low=0.4, high=1)
        phones, germans = Targeting(devices=("phone",)), Targeting(countries=("DE",))
        english = Targeting(languages=("en",))
        for slug, more in (
            ("spring", {"namespace": low}),
            ("spring", {"namespace": high, "coverage": 0.7}),
            ("summer", {"targeting": phones, "goal": "page"}),
            ("autumn", {"targeting": english}),
        ):
            number = len(self.ids)
            variants = tuple(
                Variant(name=f"v{each}", weight=self.random.random(), title=f"T{number}v{each}t")
                for each in range(self.random.randint(2, 4))
            )
            self.goals.append(None if "goal" in more else slug)
            self.ids.append(await self.lab.run(slug=slug, kind="page", variants=variants, **more))
        targets = (
            Variant(name=f"v{n}", weight=1, target=f"https://t.example/T4v{n}t") for n in (0, 1, 2)
        )
        self.ids.append(
            await self.lab.run(variants=tuple(targets), coverage=0.8, targeting=germans)
        )

    # ---- three places where a visitor sees the page -----------------------------------------------

    async def door(self, person: Person, slug: str | None) -> tuple[str, str]:
        page = await self.visitor.request(self.head(b"/@shop", person))
        if slug is None:
            return page.body.decode(), ""
        path = f"/shop/{slug}?wp_t=page".encode()
        return page.body.decode(), (await self.visitor.request(self.head(path, person))).location

    async def script(self, person: Person, slug: str | None) -> tuple[str, str]:
        answer = await self.visitor.request(self.head(b"/@shop/variants.json", person))
        variants = json.loads(answer.body)["variants"]
        refs = "%2C".join(variant["ref"] or "" for variant in variants).encode()
        await self.visitor.request(self.head(b"/@shop/pixel.gif?x=" + refs, person))
        if slug is not None:
            path = b"/shop/" + slug.encode()
            await self.visitor.request(self.head(path + b"/pixel.gif?x=" + refs, person))
        return answer.body.decode(), ""

    async def api(self, person: Person, slug: str | None) -> tuple[str, str]:
        view = await self.report(person, "")
        titles = " ".join(variant.title or "" for variant in view.variants)
        return titles, "" if slug is None else (await self.report(person, slug)).target or ""

    def head(self, path: bytes, person: Person) -> bytes:
        fields = [b"X-Forwarded-For: " + person.address.encode(), b"User-Agent: " + person.agent]
        fields += [b"Sec-CH-UA: " + person.brands] if person.brands else []
        return get(path, *fields, b"Accept-Language: " + person.language.encode())

    async def report(self, person: Person, slug: str) -> HitAnswer:
        self._reported += 1
        draft, errors = validate_event(
            HitDraft(
                id=str(self._reported),
                address=person.address,
                type="click" if slug else "view",
                slug=slug,
                user_agent=person.agent.decode(),
                sec_ch_ua=person.brands.decode(),
                language=person.language,
                experiments=True,
            )
        )
        assert draft is not None, errors
        hit = hit_of_event(draft, TENANT.tenant_id, self.lab.profile_id, "shop")
        (answer,) = await self.server.record([hit])
        return answer

    # ---- counting by hand -------------------------------------------------------------------------

    async def visit(self, person: Person) -> None:
        place = self.random.choice((self.door, self.script, self.api))
        slug = self.random.choice((None, *SLUGS))
        page, target = await place(person, slug)
        shown = frozenset((int(e), int(v)) for e, v in TITLE.findall(page))
        if (
            not person.counts
        ):  # gets the controls of both experiments on `spring`: the later one is seen
            shown = frozenset(variant for variant in shown if variant[0] != 0)
        assert self.seen.setdefault(person, shown) == shown, place
        if slug is not None and target:
            assert target == f"https://{slug}.example/" or slug == "spring"
        if not person.counts:
            return
        led = frozenset((int(e), int(v)) for e, v in TITLE.findall(target))
        for variant in shown | led:
            self.exposures[variant] += 1
            self.visitors[variant].add(person)
        for number, variant_number in shown:
            if slug is not None and self.goals[number] in (None, slug):
                self.outcomes[number, variant_number] += 1
                self.converted[number, variant_number].add(person)

    def counted(self) -> dict[tuple[int, int], tuple[int, int, int, int]]:
        """Return (exposures, outcomes, visitors, converted) by experiment and variant, from the records."""
        counter, counts = ExperimentCounter(), MemoryExperimentCounts()
        for click in self.lab.edge.journal.clicks:
            if click.classification & CLASS_MASK in COUNTED_CLASSES:
                counter.add(click, items(click.items))
        counts.store(counter.increments())
        return {
            (number, variant): (c.exposures, c.outcomes, c.visitors, c.converted_visitors)
            for number, id_ in enumerate(self.ids)
            for (_, variant), c in counts.of(id_, 1).items()
        }

    def by_hand(self) -> dict[tuple[int, int], tuple[int, int, int, int]]:
        return {
            key: (
                self.exposures[key],
                self.outcomes[key],
                len(self.visitors[key]),
                len(self.converted[key]),
            )
            for key in self.exposures
        }


@pytest.mark.parametrize("seed", [1, 2])
async def test_visitors_keep_their_variant_everywhere_and_results_are_exact(seed: int) -> None:
    await compared(seed, 300)


@pytest.mark.large
@pytest.mark.parametrize("seed", range(3, 13))
async def test_many_visitors_keep_their_variant_and_results_are_exact(seed: int) -> None:
    await compared(seed, 3_000)


async def compared(seed: int, visits: int) -> None:
    random = Random(seed)
    async with experiment_lab() as lab:
        world = World(lab, await lab.edge.visitor(), random)
        await world.start()
        people = []
        for number in range(visits // 5):
            address = f"203.0.113.{number % 40}"
            lab.edge.places.set_place(address, ("DE", "FR")[number % 2])
            people.append(Person(address, *random.choice(AGENTS), random.choice(("en", "de-DE"))))
        # A visitor is an address and a browser: the language is not part of it.
        by_identity = {person[:3]: person for person in people}
        people = list(by_identity.values())
        for _ in range(visits):
            await world.visit(random.choice(people))
        counted = world.counted()
        assert counted == world.by_hand()
        assert {number for number, _ in counted} == set(range(5)), seed
