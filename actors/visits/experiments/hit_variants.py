"""Experiments in hits of pages elsewhere: which variants a page has to show, and what its hits record of them.

The visitor is assigned as at the visitors' door, by network and user agent. No page elsewhere has the cookie of
an experiment that assigns by it: such an experiment gives its control and counts nobody.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from actors.visits.experiments.variants import ASSIGNED, EXPOSED, PageExperiments, subject_of
from actors.visits.profile_page import PageSource
from engine.clicks.click import CLASS_MASK
from engine.clicks.record_items import (
    EXPOSURES,
    OUTCOMES,
    VariantRef,
    item,
    pack_variant_refs,
    unpack_variant_refs,
)
from engine.visits.edge_assignment import (
    UNASSIGNED,
    AssignedVariant,
    VariantAssigner,
    take_preview_token,
)
from engine.visits.hit import Hit
from engine.visits.page_variant import PageVariant, ref_text
from engine.visits.request import Visit

_NO_COOKIE: Final = b""


class HitVariants(NamedTuple):
    """The part of a hit in experiments: the record items of its exposures and outcomes, the variants that the
    page has to show, where a click leads, and how many variants the page named that its visitor does not have.
    """

    items: bytes = b""
    variants: tuple[PageVariant, ...] = ()
    target: str | None = None
    refused: int = 0


NO_HIT_VARIANTS: Final = HitVariants()


class PageElsewhere(NamedTuple):
    """The experiments on a profile's page, for those who show it elsewhere."""

    experiments: PageExperiments
    page: PageSource
    visitors_url: str

    def variants(self, visit: Visit) -> tuple[PageVariant, ...]:
        """Return the variants that the visitor gets, in the order in which the page applies them; the one that
        a member previews, if the query has its token."""
        previewed = self._previewed(visit)
        return self._variants(self._assigned(visit), None) if previewed is None else previewed

    def of_hit(self, visit: Visit, link_id: int, hit: Hit) -> HitVariants:
        """Return what the experiments make of a view (`link_id` 0) or of a click on a link.

        A page that shows what the answer says is taken at its word; of the variants that a page names, those
        are recorded that its visitor is assigned.
        """
        if hit.experiments and not link_id and (previewed := self._previewed(visit)) is not None:
            return HitVariants(b"", previewed)
        experiments, assigned = self.experiments, self._assigned(visit)
        variants = self._variants(assigned, hit.shows) if hit.experiments and not link_id else ()
        if visit.classification & CLASS_MASK not in EXPOSED:
            return HitVariants(b"", variants)
        if link_id:
            packed, _ = experiments.outcomes(link_id, visit, _NO_COOKIE)
        else:
            every = frozenset(map(subject_of, experiments.live))
            packed, _ = experiments.exposures(assigned, every if hit.shows is None else hit.shows)
        refused = 0
        if not hit.experiments:
            refused = len(hit.refs.difference(_refs(assigned)))
            packed = pack_variant_refs(r for r in unpack_variant_refs(packed) if r in hit.refs)
        return HitVariants(
            item(OUTCOMES if link_id else EXPOSURES, packed), variants, None, refused
        )

    def _variants(
        self, assignments: Iterable[AssignedVariant], shows: Collection[str] | None
    ) -> tuple[PageVariant, ...]:
        pairs = zip(self.experiments.live, assignments, strict=True)
        return tuple(
            self._variant(assigner, assignment.variant, assignment)
            for assigner, assignment in pairs
            if assignment.variant is not None and (shows is None or subject_of(assigner) in shows)
        )

    def _previewed(self, visit: Visit) -> tuple[PageVariant, ...] | None:
        """Return the variant that the page's query previews, which counts nobody; None without one."""
        token, _ = take_preview_token(visit.request.query)
        previewed = self.experiments.previewed(token, visit.at_us) if token else None
        if previewed is None:
            return None
        return (self._variant(*previewed, UNASSIGNED),)

    def _assigned(self, visit: Visit) -> list[AssignedVariant]:
        visitor_class = visit.classification & CLASS_MASK
        return self.experiments.assign(visit, visitor_class in ASSIGNED, _NO_COOKIE)

    def _variant(
        self, assigner: VariantAssigner, number: int, assignment: AssignedVariant
    ) -> PageVariant:
        experiment, variant = assigner.experiment, assigner.variants[number]
        return PageVariant(
            experiment_id=str(experiment.id),
            variant=variant.name,
            ref=next(map(ref_text, _refs([assignment])), None),
            link_id=None if experiment.link_id is None else str(experiment.link_id),
            block_id=experiment.block_id,
            title=variant.title,
            picture_url=self.page.picture_url(variant.picture, self.visitors_url),
            position=variant.position,
            style=variant.style,
        )


def _refs(assignments: Iterable[AssignedVariant]) -> Iterable[VariantRef]:
    """Yield the variants that the visitor is exposed to."""
    for assignment in assignments:
        yield from unpack_variant_refs(assignment.packed_exposure)
