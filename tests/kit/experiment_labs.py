"""An edge with a profile whose links and page are in experiments, and visitors of it by address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from engine.clicks.record_items import VariantRef, items, unpack_variant_refs
from engine.experiments.experiment import ExperimentDraft, Variant, validate_draft
from engine.links.profile import ProfileChange
from engine.operations.settings import Settings
from storage.experiments.memory_experiments import MemoryExperimentStore
from tests.kit.delayed_profiles import TENANT
from tests.kit.visitor_servers import Response, ServedEdge, Visitor, get, served_edge

CHROME = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36"
BOT = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
A = Variant(name="a", weight=0.5, target="https://a.example/")
B = Variant(name="b", weight=0.5, target="https://b.example/")


class Lab:
    """An edge with the profile `shop` and its link `spring`, behind a proxy that names addresses."""

    def __init__(
        self, edge: ServedEdge, experiments: MemoryExperimentStore, profile_id: int
    ) -> None:
        self.edge = edge
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
        experiment, change = await self.experiments.create_experiment(
            TENANT, self.profile_id, draft
        )
        if state != "draft":
            _, change = await self.experiments.move_experiment(TENANT, experiment.id, "running")
        await self.apply(change)
        return experiment.id

    async def move(self, id_: int, state: Any, winner: str | None = None) -> None:
        _, change = await self.experiments.move_experiment(TENANT, id_, state, winner)
        await self.apply(change)

    async def apply(self, change: ProfileChange) -> None:
        self.edge.registry.changed([change])
        actor = self.edge.registry.profiles[self.profile_id]
        await self.edge.until(lambda: actor.version >= change.version)

    async def link(self, slug: str) -> int:
        page = await self.edge.profiles.list_links(TENANT, self.profile_id, 0, 100)
        link_id: int = next(link.id for link in page.items if link.slug == slug)
        return link_id

    async def visits(
        self, count: int, path: bytes = b"/shop/spring", agent: bytes = CHROME, *fields: bytes
    ) -> list[Response]:
        """Return the responses to one visit each of `count` visitors."""
        visitor = await self.edge.visitor()
        return [await visit_as(visitor, path, n, agent, *fields) for n in range(count)]

    def recorded(self, tag: int) -> list[list[VariantRef]]:
        return [
            list(unpack_variant_refs(items(click.items).get(tag, b"")))
            for click in self.edge.journal.clicks
        ]


async def visit_as(
    visitor: Visitor, path: bytes, number: int, agent: bytes = CHROME, *fields: bytes
) -> Response:
    address = b"X-Forwarded-For: 198.51.%d.%d" % divmod(number, 256)
    return await visitor.request(get(path, b"User-Agent: " + agent, address, *fields))


@asynccontextmanager
async def experiment_lab() -> AsyncIterator[Lab]:
    """Serve an edge that has the profile `shop` with three links."""
    async with served_edge(Settings(trusted_hops=1, visits_per_second=0)) as edge:
        profile_id = await edge.profiles.add_profile("shop", "spring", "summer", "autumn")
        experiments = MemoryExperimentStore(edge.profiles)
        await edge.warm(b"/shop/spring", b"/@shop")
        edge.journal.records.clear()
        yield Lab(edge, experiments, profile_id)
