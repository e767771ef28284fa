"""The route of one path: the actor that answers its visits, and the fixed parts of response and record."""

from typing import Protocol

from actors.visits.variants import LinkExperiments, VariantDestination
from engine.clicks.record_layout import pack_ids
from engine.visits.edge_assignment import VariantAssigner
from engine.visits.request import Visit


class VisitHandler(Protocol):
    """A profile actor, as its routes and the visitor server know it."""

    tenant_id: int
    profile_id: int

    def visit(self, route: "VisitRoute", visit: Visit) -> tuple[bytes, bytes]:
        """Return (the response after its status line and date, the record to journal)."""


class VisitRoute:
    """A link of a profile, or its page (`link_id` 0, status 200).

    `tail` is the response after its status line and date, for visitors whom no experiment sends elsewhere.
    `plain`: the link is in no experiment and gives no click ids. `sole_assigner`: it is in one experiment that
    is live, asks for no cookie, and nothing is added to the target.
    """

    __slots__ = (
        "actor", "click_id", "experiments", "ids", "kind", "link_id", "passthrough", "paths", "plain",
        "sole_assigner", "sole_destinations", "status", "tail", "target",
    )  # fmt: skip

    def __init__(
        self, actor: VisitHandler, link_id: int, kind: int, status: int, tail: bytes
    ) -> None:
        self.actor = actor
        self.ids = pack_ids(actor.tenant_id, actor.profile_id, link_id)
        self.link_id = link_id
        self.kind = kind
        self.status = status
        self.tail = tail
        self.target: bytes = b""
        self.passthrough = False
        self.click_id = False
        self.paths: tuple[bytes, ...] = ()
        self.experiments: LinkExperiments | None = None
        self.plain = True
        self.sole_assigner: VariantAssigner | None = None
        self.sole_destinations: tuple[VariantDestination, ...] = ()

    def set_experiments(self, experiments: LinkExperiments | None) -> None:
        """Replace the link's experiments; call it once passthrough and click_id are set."""
        self.experiments = experiments
        self.plain = experiments is None and not self.click_id
        self.sole_assigner, self.sole_destinations = None, ()
        if experiments is not None and not self.passthrough and not self.click_id:
            self.sole_assigner, self.sole_destinations = experiments.sole()
