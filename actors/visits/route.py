"""The route of one path: the actor that answers its visits, and the fixed parts of response and record."""

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from actors.visits.experiments.hit_variants import HitVariants, PageElsewhere
from actors.visits.experiments.variants import LinkExperiments, VariantDestination
from actors.visits.link_gate import LinkGate
from actors.visits.profile_page import PageSource
from engine.clicks.record_layout import pack_ids
from engine.pages.files import PageFile
from engine.visits.edge_assignment import VariantAssigner
from engine.visits.hit import Hit
from engine.visits.request import Visit

USUAL_BYTES: Final = 2_048


class VisitHandler(Protocol):
    """A profile actor, as its routes and the visitor server know it."""

    tenant_id: int
    profile_id: int
    page: PageSource

    def visit(self, route: "VisitRoute", visit: Visit) -> tuple[bytes, bytes]:
        """Return (the response after its status line and date, the record to journal)."""

    def page_file(self, name: str, at_us: int) -> PageFile | None:
        """Return a file of the page, as it is at a Unix time in microseconds; None if there is none."""

    def page_elsewhere(self) -> PageElsewhere:
        """Return the experiments on the page for those who show it elsewhere."""

    def hit_variants(self, route: "VisitRoute", visit: Visit, hit: Hit) -> HitVariants:
        """Return what experiments make of a hit that takes part in them. Changes nothing."""

    def hit(
        self, route: "VisitRoute", visit: Visit, hit: Hit, hit_id: bytes, variant_items: bytes
    ) -> bytes:
        """Return the record of a hit; `visit` has its request, and `hit_id` is empty for a pixel's.
        `variant_items` are the items of hit_variants()."""


class VisitRoute(msgspec.Struct, gc=False, eq=False):
    """A link of a profile, or its page (`link_id` 0, status 200).

    `tail` is the response after its status line and date, for visitors whom no experiment sends elsewhere; it
    and `ids`, as records keep them, are empty until the first visit, for which most of an edge's links wait.
    `plain`: the link is in no experiment, gives no click ids and has no gate. `robots` is a header field of its
    redirects. `sole_assigner`: it is in one experiment that
    is live, asks for no cookie, and nothing is added to the target.

    The garbage collector does not look at routes, as there may be a million of them: ProfileActor.close()
    breaks their circle.
    """

    actor: VisitHandler
    link_id: int
    kind: int
    status: int
    tail: bytes = b""
    target: bytes = b""
    passthrough: bool = False
    click_id: bool = False
    path: bytes = b""
    short_path: bytes = b""
    ids: bytes = b""
    experiments: LinkExperiments | None = None
    plain: bool = True
    gate: LinkGate | None = None
    robots: bytes = b""
    sole_assigner: VariantAssigner | None = None
    sole_destinations: tuple[VariantDestination, ...] = ()

    @property
    def paths(self) -> tuple[bytes, ...]:
        """Return the paths that lead to it."""
        return (self.path, self.short_path) if self.short_path else (self.path,)

    def make_ready(self, redirect_tail: Callable[[int, bytes], bytes]) -> None:
        """Make what the first visit needs, for all further ones. A page has no tail of its own."""
        if self.link_id:
            self.tail = self.robots + redirect_tail(self.status, self.target)
        self.ids = pack_ids(self.actor.tenant_id, self.actor.profile_id, self.link_id)

    def set_experiments(self, experiments: LinkExperiments | None) -> None:
        """Replace the link's experiments; call it once passthrough, click_id and gate are set."""
        self.experiments = experiments
        self.plain = experiments is None and not self.click_id and self.gate is None
        self.sole_assigner, self.sole_destinations = None, ()
        adds = self.passthrough or self.click_id
        if experiments is not None and not adds and self.gate is None:
            self.sole_assigner, self.sole_destinations = experiments.sole()


def extra_weight(route: VisitRoute) -> int:
    """Return how many links of usual size have the memory of this one, beyond itself."""
    size = 2 * len(route.target)  # once it was visited
    return (size if route.gate is None else size + route.gate.size) // USUAL_BYTES


def is_closed(route: VisitRoute, at_us: int) -> bool:
    """Return whether the route's link is closed at a Unix time in microseconds. Takes no click of its limit."""
    return route.gate is not None and route.gate.closed_at(at_us) is not None
