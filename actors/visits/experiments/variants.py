"""Experiments of one profile: prepared for each snapshot, applied to each visit.

A link's experiments choose its target; those of the page choose what it shows.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from actors.visits.page_renders import Look
from actors.visits.profile_page import ShownVariant, Subject
from engine.clicks.click import VisitorClass
from engine.clicks.record_items import COOKIE, EXPOSURES, OUTCOMES, item
from engine.experiments.experiment import EdgeExperiment, Variant
from engine.visits.edge_assignment import AssignedVariant, VariantAssigner
from engine.visits.request import Visit

logger = logging.getLogger("waypost.variants")

# Visitor classes whose exposures and outcomes are recorded.
EXPOSED: Final = frozenset((VisitorClass.UNCLASSIFIED, VisitorClass.HUMAN))
# Visitor classes that get the variant that a human would; the others get the control.
ASSIGNED: Final = EXPOSED | {VisitorClass.HEAD, VisitorClass.PREFETCH}
_PREVIEW: Final = -1  # no variant's number: begins the look of a preview


class VariantDestination(NamedTuple):
    """A variant's target, and the redirect to it after its status line and date."""

    location: bytes
    tail: bytes


class LinkExperiments:
    """Experiments on the target of one link: running ones first, then decided ones, the newest first.

    The first that assigns the visitor a variant answers; at most one of those that run does.
    """

    __slots__ = ("_all", "_live", "asks_for_cookie")

    def __init__(
        self, assigners: Iterable[VariantAssigner], status: int, tail: Callable[[int, bytes], bytes]
    ) -> None:
        self._all: list[tuple[VariantAssigner, tuple[VariantDestination, ...]]] = []
        for assigner in assigners:
            try:
                destinations = [
                    _destination(variant, status, tail) for variant in assigner.variants
                ]
            except ValueError as error:
                logger.error(
                    "experiment %d: %s", assigner.id, error, extra={"event": "unsafe_target"}
                )
                continue
            self._all.append((assigner, tuple(destinations)))
        live = [pair for pair in self._all if pair[0].live]
        live.sort(key=lambda pair: (not pair[0].running, -pair[0].id))
        self._live = tuple(live)
        self.asks_for_cookie = any(assigner.cookie and assigner.running for assigner, _ in live)

    def sole(self) -> tuple[VariantAssigner | None, tuple[VariantDestination, ...]]:
        """Return the assigner and destinations of the only live experiment, if it asks for no cookie: nearly
        all links with experiments have one such, and it takes a shorter way."""
        return self._live[0] if len(self._live) == 1 and not self.asks_for_cookie else (None, ())

    def assign(
        self, visit: Visit, is_human: bool, cookie: bytes
    ) -> tuple[VariantDestination | None, bytes, bool]:
        """Return (destination or None for the link's own target, packed exposure, whether it is by cookie)."""
        for assigner, destinations in self._live:
            variant, packed, _ = assigner.assign(visit, is_human, cookie)
            if variant is not None:
                return destinations[variant], packed, assigner.cookie
        return None, b"", False

    def preview(self, token: bytes, at_us: int) -> VariantDestination | None:
        """Return the destination that a preview token names; None when it is for no variant of the link."""
        for assigner, destinations in self._all:
            variant = assigner.assign_preview(token, at_us).variant
            if variant is not None and destinations[variant].location:
                return destinations[variant]
        return None


class PageExperiments:
    """Experiments on what the page shows."""

    __slots__ = ("_all", "asks_for_cookie", "live")

    def __init__(self, assigners: Iterable[VariantAssigner], subjects: Collection[Subject]) -> None:
        self._all = tuple(a for a in assigners if subject_of(a) in subjects)
        self.live = tuple(assigner for assigner in self._all if assigner.live)
        self.asks_for_cookie = any(assigner.cookie and assigner.running for assigner in self.live)

    def assign(self, visit: Visit, is_human: bool, cookie: bytes) -> list[AssignedVariant]:
        """Return the assignment of each live experiment."""
        return [assigner.assign(visit, is_human, cookie) for assigner in self.live]

    def exposures(
        self, assignments: Iterable[AssignedVariant], shown: Collection[Subject]
    ) -> tuple[bytes, int]:
        """Return (packed exposures of a page that shows these subjects, a bit for each exposure by cookie, the
        lowest for the first). An experiment on what the page does not show exposes nobody."""
        packed, by_cookie = b"", 0
        for assigner, assignment in zip(self.live, assignments, strict=True):
            if assignment.packed_exposure and subject_of(assigner) in shown:
                by_cookie |= assigner.cookie << len(packed) // len(assignment.packed_exposure)
                packed += assignment.packed_exposure
        return packed, by_cookie

    def outcomes(self, link_id: int, visit: Visit, cookie: bytes) -> tuple[bytes, int]:
        """Return (packed outcomes of a click on a link of the page, bits as of exposures())."""
        packed, by_cookie = b"", 0
        for assigner in self.live:
            experiment = assigner.experiment
            is_goal = experiment.goal == "page" or experiment.link_id in (None, link_id)
            if not (assigner.running and is_goal) or (assigner.cookie and not cookie):
                continue
            assignment = assigner.assign(visit, True, cookie)
            if assignment.packed_exposure:
                by_cookie |= assigner.cookie << len(packed) // len(assignment.packed_exposure)
                packed += assignment.packed_exposure
        return packed, by_cookie

    def shown(self, numbers: Iterable[int | None]) -> list[ShownVariant]:
        """Return the variants of these numbers, one for each live experiment."""
        pairs = zip(self.live, numbers, strict=True)
        return [_shown(assigner, number) for assigner, number in pairs if number is not None]

    def preview(self, token: bytes, at_us: int) -> tuple[Look, list[ShownVariant]] | None:
        """Return the look with the variant that a preview token names; None when it is for none of them."""
        if (previewed := self.previewed(token, at_us)) is None:
            return None
        assigner, number = previewed
        return (_PREVIEW, assigner.id, number), [_shown(assigner, number)]

    def previewed(self, token: bytes, at_us: int) -> tuple[VariantAssigner, int] | None:
        """Return the experiment and variant that a preview token names; None when it is for none of them."""
        for assigner in self._all:
            number = assigner.assign_preview(token, at_us).variant
            if number is not None:
                return assigner, number
        return None


def _shown(assigner: VariantAssigner, number: int) -> ShownVariant:
    return subject_of(assigner), assigner.variants[number]


def subject_of(assigner: VariantAssigner) -> Subject:
    """Return the link or block that a page's experiment is on."""
    experiment = assigner.experiment
    return str(experiment.link_id) if experiment.block_id is None else experiment.block_id


NO_PAGE_EXPERIMENTS: Final = PageExperiments((), ())


def exposure_items(packed: bytes, pseudonym: bytes, by_cookie: int) -> bytes:
    """Return the record items of exposures. `pseudonym` is the visitor's by cookie, `by_cookie` the bits of the
    exposures that are by cookie."""
    if not packed:
        return b""
    items = item(EXPOSURES, packed)
    return items + item(COOKIE, pseudonym + bytes((by_cookie, 0))) if by_cookie else items


def outcome_items(
    exposures: bytes,
    exposures_by_cookie: int,
    outcomes: bytes,
    outcomes_by_cookie: int,
    pseudonym: bytes,
) -> bytes:
    """Return the record items of a click with exposures and outcomes, each packed and with its bits."""
    items = item(EXPOSURES, exposures) + item(OUTCOMES, outcomes)
    if exposures_by_cookie or outcomes_by_cookie:
        items += item(COOKIE, pseudonym + bytes((exposures_by_cookie, outcomes_by_cookie)))
    return items


def experiments_by_subject(
    experiments: Iterable[EdgeExperiment],
) -> tuple[dict[int, list[VariantAssigner]], list[VariantAssigner]]:
    """Return (assigners of links' experiments by link id, assigners of the page's experiments)."""
    by_link: dict[int, list[VariantAssigner]] = {}
    of_page: list[VariantAssigner] = []
    for edge in experiments:
        assigner = VariantAssigner(edge)
        link_id = edge.experiment.link_id
        if edge.experiment.kind == "page":
            of_page.append(assigner)
        elif link_id is not None:
            by_link.setdefault(link_id, []).append(assigner)
    return by_link, of_page


def _destination(
    variant: Variant, status: int, tail: Callable[[int, bytes], bytes]
) -> VariantDestination:
    location = variant.target.encode("ascii", "replace")
    return VariantDestination(location, tail(status, location) if location else b"")
