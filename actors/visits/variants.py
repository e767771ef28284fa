"""What a profile's experiments make of its answers: prepared per snapshot, decided per visit.

A link's experiments choose where it leads; those of the page, what it shows. A page's variants are rendered
when somebody first gets them, and kept, a bounded number.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from engine.clicks.record_items import COOKIE, EXPOSURES, OUTCOMES, item
from engine.experiments.experiment import EdgeExperiment, Variant
from engine.visits.edge_assignment import UNASSIGNED, AssignedVariant, VariantAssigner
from engine.visits.request import ClientInfo, VisitRequest
from engine.visits.snapshot import PageLink

logger = logging.getLogger("waypost.trials")

MAX_PAGES: Final = 64  # variants of one page that are kept rendered


class VariantDestination(NamedTuple):
    """Where a variant leads, and the answer that says so."""

    location: bytes
    tail: bytes


class LinkExperiments:
    """Experiments on where one link leads: those that run first, then those that are decided, the newest
    first. Whichever has the visitor answers; of those that run that is one at most."""

    __slots__ = ("_all", "_live", "cookie", "destinations", "only")

    def __init__(
        self, trials: Iterable[VariantAssigner], status: int, tail: Callable[[int, bytes], bytes]
    ) -> None:
        self._all: list[tuple[VariantAssigner, tuple[VariantDestination, ...]]] = []
        for trial in trials:
            try:
                made = [_destination(variant, status, tail) for variant in trial.variants]
            except ValueError as error:
                logger.error("experiment %d: %s", trial.id, error, extra={"event": "unsafe_target"})
                continue
            self._all.append((trial, tuple(made)))
        live = [pair for pair in self._all if pair[0].live]
        live.sort(key=lambda pair: (not pair[0].running, -pair[0].id))
        self._live = tuple(live)
        self.cookie = any(trial.cookie and trial.running for trial, _ in live)
        # By far the most: one, which asks for no cookie. The rest takes a longer way.
        self.only: VariantAssigner | None = None
        self.destinations: tuple[VariantDestination, ...] = ()
        if len(live) == 1 and not self.cookie:
            ((self.only, self.destinations),) = live

    def assign(
        self, request: VisitRequest, origin: ClientInfo, human: bool, at_us: int, cookie: bytes
    ) -> tuple[VariantDestination | None, bytes, bool]:
        """Where to lead (None: where the link does), the exposure as packed, and whether the cookie told
        who it was."""
        for trial, destinations in self._live:
            arm, packed, _ = trial.assign(request, origin, human, at_us, cookie)
            if arm is not None:
                return destinations[arm], packed, trial.cookie
        return None, b"", False

    def forced(self, token: bytes, at_us: int) -> VariantDestination | None:
        """Where a preview's token leads."""
        for trial, destinations in self._all:
            arm = trial.assign_preview(token, at_us).variant
            if arm is not None and destinations[arm].location:
                return destinations[arm]
        return None


class PageExperiments:
    """Experiments on what the page shows."""

    __slots__ = ("_all", "_links", "_pages", "_render", "cookie", "live")

    def __init__(
        self,
        trials: Iterable[VariantAssigner],
        links: tuple[PageLink, ...],
        render: Callable[[tuple[PageLink, ...]], bytes],
    ) -> None:
        shown = {link.id for link in links}
        self._all = tuple(t for t in trials if t.experiment.link_id in shown)
        self.live = tuple(t for t in self._all if t.live)
        self.cookie = any(trial.cookie and trial.running for trial in self.live)
        self._links = links
        self._render = render
        self._pages: dict[tuple[int | None, ...], bytes] = {}

    def assign(
        self, request: VisitRequest, origin: ClientInfo, human: bool, at_us: int, cookie: bytes
    ) -> tuple[list[AssignedVariant], bytes, int]:
        """The choice of each that is live, exposures as packed, and bits for those that the cookie told."""
        choices, packed, by_cookie = [], b"", 0
        for trial in self.live:
            choice = trial.assign(request, origin, human, at_us, cookie)
            choices.append(choice)
            if choice.packed_exposure:
                by_cookie |= trial.cookie << len(packed) // len(choice.packed_exposure)
                packed += choice.packed_exposure
        return choices, packed, by_cookie

    def outcomes(
        self, link_id: int, request: VisitRequest, origin: ClientInfo, at_us: int, cookie: bytes
    ) -> tuple[bytes, int]:
        """What a click on a link of the page decides for: arms as packed, and bits as above."""
        packed, by_cookie = b"", 0
        for trial in self.live:
            experiment = trial.experiment
            counts = experiment.goal == "page" or experiment.link_id == link_id
            if not (trial.running and counts) or (trial.cookie and not cookie):
                continue
            choice = trial.assign(request, origin, True, at_us, cookie)
            if choice.packed_exposure:
                by_cookie |= trial.cookie << len(packed) // len(choice.packed_exposure)
                packed += choice.packed_exposure
        return packed, by_cookie

    def page(self, choices: Sequence[AssignedVariant]) -> bytes:
        """The page with these choices of those that are live."""
        key = tuple(choice.variant for choice in choices)
        page = self._pages.get(key)
        if page is None:
            page = self._rendered(zip(self.live, key, strict=True))
            if len(self._pages) >= MAX_PAGES:
                self._pages.clear()
            self._pages[key] = page
        return page

    def forced(self, token: bytes, at_us: int) -> bytes | None:
        """The page as a preview's token has it."""
        for trial in self._all:
            choice = trial.assign_preview(token, at_us)
            if choice != UNASSIGNED:
                return self._rendered([(trial, choice.variant)])
        return None

    def _rendered(self, chosen: Iterable[tuple[VariantAssigner, int | None]]) -> bytes:
        links = self._links
        for trial, arm in chosen:
            if arm is not None:
                links = with_variant(links, trial.experiment.link_id, trial.variants[arm])
        return self._render(links)


NO_PAGE_TRIALS: Final = PageExperiments((), (), lambda _: b"")


def with_variant(
    links: tuple[PageLink, ...], link_id: int | None, variant: Variant
) -> tuple[PageLink, ...]:
    """The page's links with one of them as the variant has it; its position counts from 0."""
    found = next((n for n, link in enumerate(links) if link.id == link_id), None)
    if found is None:
        return links
    link = links[found]
    changes = {
        name: value
        for name, value in (("title", variant.title), ("thumbnail", variant.thumbnail))
        if value is not None
    }
    others = [*links[:found], *links[found + 1 :]]
    position = found if variant.position is None else variant.position
    others.insert(position, msgspec.structs.replace(link, **changes))
    return tuple(others)


def exposure_items(packed: bytes, cookie: bytes, by_cookie: int) -> bytes:
    """The items of a record that say who was shown what. `cookie`: the visitor's pseudonym by it."""
    if not packed:
        return b""
    items = item(EXPOSURES, packed)
    return items + item(COOKIE, cookie + bytes((by_cookie, 0))) if by_cookie else items


def outcome_items(
    shown: bytes, shown_by_cookie: int, packed: bytes, by_cookie: int, cookie: bytes
) -> bytes:
    """The same of a click that decides for arms, too."""
    items = item(EXPOSURES, shown) + item(OUTCOMES, packed)
    if shown_by_cookie or by_cookie:
        items += item(COOKIE, cookie + bytes((shown_by_cookie, by_cookie)))
    return items


def experiments_by_subject(
    experiments: Iterable[EdgeExperiment],
) -> tuple[dict[int, list[VariantAssigner]], list[VariantAssigner]]:
    """Those of links by the link's id, and those of the page."""
    links: dict[int, list[VariantAssigner]] = {}
    page: list[VariantAssigner] = []
    for edge in experiments:
        trial = VariantAssigner(edge)
        link_id = edge.experiment.link_id
        if edge.experiment.kind == "page":
            page.append(trial)
        elif link_id is not None:
            links.setdefault(link_id, []).append(trial)
    return links, page


def _destination(
    variant: Variant, status: int, tail: Callable[[int, bytes], bytes]
) -> VariantDestination:
    location = variant.target.encode("ascii", "replace")
    return VariantDestination(location, tail(status, location) if location else b"")
