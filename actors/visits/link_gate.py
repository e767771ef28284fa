"""The gate of a link with options: whether it is open at a moment, and where a visit is led.

A link without a gate costs a visit nothing: its route is plain.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from actors.visits.click_quotas import ClickPermit, ClickQuotas
from actors.visits.experiments.variants import VariantDestination
from actors.visits.forms.password_checks import PasswordChecks
from actors.visits.responses import VisitResponses
from engine.clicks.click import BOT_CLASSES, CLASS_MASK, VisitorClass
from engine.links.options import NO_OPTIONS, LinkOptions
from engine.links.preview_card import PreviewCard
from engine.links.target import add_utm
from engine.links.targets.extra_path import extended
from engine.visits.request import ClientInfo, Visit, VisitRequest
from engine.visits.rule_matcher import NO_RULE, RuleMatcher, all_rules
from engine.visits.snapshot import EdgeLink

_FOUND: Final = 302
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
NOT_ALLOWED: Final = 405
GONE: Final = 410


class GateParts(NamedTuple):
    """The parts that all gates of an edge share."""

    click_quotas: ClickQuotas
    password_checks: PasswordChecks


class ClosedResponse(NamedTuple):
    """The response of a link that leads nowhere at the moment, after its status line and date. Such a visit is
    not recorded, unless it got the link's preview card."""

    status: int
    tail: bytes
    recorded: bool = False


UNDECIDED: Final = ClosedResponse(0, b"")


class LinkGate:
    """The options of one link, prepared. Raises ValueError for a target that no header may carry.

    `card_picture` returns the address of the picture that is drawn of a link, as its page looks by then.
    """

    __slots__ = (
        "_card_picture",
        "_decorated",
        "_early",
        "_form",
        "_from_us",
        "_matcher",
        "_over",
        "_passwords",
        "_paused",
        "_permit",
        "_preview",
        "_preview_target",
        "_quotas",
        "_responses",
        "_rules",
        "_until_us",
        "_warning",
        "_wrong",
        "password_hash",
        "takes_extra",
    )

    def __init__(
        self,
        link: EdgeLink,
        tenant_id: int,
        status: int,
        responses: VisitResponses,
        parts: GateParts,
        card_picture: Callable[[EdgeLink], str] = lambda link: "",
    ) -> None:
        options, link_id = link.options or NO_OPTIONS, link.id
        self._quotas = quotas = parts.click_quotas
        self._passwords = parts.password_checks
        self.password_hash = link.password_hash
        if link.password_hash is not None:
            self._form = ClosedResponse(200, responses.password_tail(False))
            self._wrong = ClosedResponse(FORBIDDEN, responses.password_tail(True))
        self._permit = None if options.click_limit is None else quotas.permit(tenant_id, link_id)
        self._paused = options.paused
        self._from_us = 0 if options.active_from is None else _us(options.active_from.timestamp())
        self._until_us = (
            None if options.active_until is None else _us(options.active_until.timestamp())
        )
        self.takes_extra = options.extra_path
        self._decorated = b""
        if options.extra_path:
            self._decorated = decorated(link.target.encode("ascii"), options)
        self._responses = responses
        self._preview = options.preview
        # A user agent is a claim: the card of a link with a password or limit leads to the link itself.
        self._preview_target = b"" if self.is_secret else own_location(link)
        self._card_picture = partial(card_picture, link)
        self._warning = None
        if options.quarantined:
            self._warning = ClosedResponse(200, responses.warning_tail(own_location(link)))
        # Of a quarantined link nothing leads on without a warning.
        if options.fallback_target and not options.quarantined:
            location = options.fallback_target.encode("ascii")
            fallback = ClosedResponse(_FOUND, responses.redirect_tail(_FOUND, location))
            self._early = self._over = fallback
        else:
            self._early = ClosedResponse(NOT_FOUND, responses.refusal_tail(NOT_FOUND))
            self._over = ClosedResponse(GONE, responses.refusal_tail(GONE))
        rules = all_rules(options)
        self._matcher = RuleMatcher(rules, link_id.to_bytes(8, "big")) if rules else None
        self._rules = tuple(_destination(rule.target, options, status, responses) for rule in rules)

    def extended(self, extra: bytes) -> bytes | None:
        """Return where the link leads with a path behind its address, which may be empty. None: nowhere."""
        return extended(self._decorated, extra)

    @property
    def size(self) -> int:
        """The bytes of its own targets and pages."""
        pages = [] if self._warning is None else [self._warning]
        if self._over.status == _FOUND:
            pages.append(self._over)
        return sum(len(each.tail) for each in pages) + sum(
            len(each.location) + len(each.tail) for each in self._rules
        )

    def closed(
        self, request: VisitRequest, at_us: int, classification: int
    ) -> ClosedResponse | None:
        """Return the response of a closed link, None while it is open, and UNDECIDED if the visitor has to wait
        for a click of the link's limit. With a limit, a visitor who may pass takes a click of it."""
        if (closed := self.closed_at(at_us)) is not None:
            return closed
        is_preview = classification & CLASS_MASK == VisitorClass.PREVIEW
        if self._preview is not None and is_preview and self._warning is None:
            return self._card(self._preview)
        if self.password_hash is not None and not request.password_is_right:
            return self._form if request.password_is_right is None else self._wrong
        if self._warning is not None:
            return self._warning
        if self.takes_extra and self.extended(request.extra) is None:
            return self._early
        return None if self._permit is None else self._taken(self._permit, classification)

    def _card(self, preview: PreviewCard) -> ClosedResponse:
        """Return the page with the preview; without an image of its own it has the one that is drawn."""
        if not preview.image:
            preview = msgspec.structs.replace(preview, image=self._card_picture())
        return ClosedResponse(200, self._responses.card_tail(preview, self._preview_target), True)

    @property
    def is_secret(self) -> bool:
        """Whether only visitors who pass may know where the link leads."""
        return self.password_hash is not None or self._permit is not None

    @property
    def leads_on(self) -> bool:
        """Whether it leads visitors to a target, and at once: without a password, limit or warning, and with
        nothing behind the link's address."""
        if self.is_secret or self._warning is not None:
            return False
        return not self.takes_extra or self.extended(b"") is not None

    @property
    def has_rules(self) -> bool:
        return self._matcher is not None

    def closed_at(self, at_us: int) -> ClosedResponse | None:
        """Return the response of a link that is paused or outside its time."""
        if self._until_us is not None and at_us >= self._until_us:
            return self._over
        return self._early if self._paused or at_us < self._from_us else None

    def _taken(self, permit: ClickPermit, classification: int) -> ClosedResponse | None:
        visitor_class = classification & CLASS_MASK
        if visitor_class in BOT_CLASSES:  # a messenger's preview must not use up a link
            return self._early
        takes = visitor_class != VisitorClass.HEAD  # a HEAD is told what a visit would get
        taken = self._quotas.take(permit, count=int(takes))
        return None if taken else UNDECIDED if taken is None else self._over

    def wait(self, waiter: Any, route: Any) -> bool:
        """Have the visitor wait for a click of the limit. Returns False when too many wait."""
        return self._permit is not None and self._quotas.wait(self._permit, waiter, route)

    def check_password(
        self, waiter: Any, route: Any, request: VisitRequest, client: ClientInfo
    ) -> int:
        """Have the password of a form checked. Returns 0, or the status to refuse the request with."""
        if self.password_hash is None:
            return NOT_ALLOWED
        return self._passwords.wait(waiter, route, request, client, self.password_hash)

    def destination(self, visit: Visit) -> VariantDestination | None:
        """Return where the first rule that the visit meets leads, None if it meets none."""
        if self._matcher is None:
            return None
        number = self._matcher.choose(visit)
        return None if number == NO_RULE else self._rules[number]


def needs_gate(link: EdgeLink) -> bool:
    """Return whether visits of the link need more than its redirect."""
    options = link.options
    if link.password_hash is not None or options is None:
        return link.password_hash is not None
    timed = options.active_from is not None or options.active_until is not None
    limited = options.click_limit is not None
    closed = options.paused or options.quarantined or timed or limited
    return closed or options.extra_path or bool(all_rules(options)) or options.preview is not None


def own_location(link: EdgeLink) -> bytes:
    """Return where a link leads by itself, with defaults for its arguments; as it is where one has none."""
    location = decorated(link.target.encode("ascii", "replace"), link.options)
    if link.options is None or not link.options.extra_path:
        return location
    return extended(location, b"") or location


def decorated(location: bytes, options: LinkOptions | None) -> bytes:
    """Return a target with the link's campaign parameters."""
    if options is None or options.utm is None:
        return location
    utm = {name: getattr(options.utm, name) for name in options.utm.__struct_fields__}
    return add_utm(location, utm)


def _destination(
    target: str, options: LinkOptions, status: int, responses: VisitResponses
) -> VariantDestination:
    location = decorated(target.encode("ascii"), options)
    return VariantDestination(location, robots(options) + responses.redirect_tail(status, location))


def robots(options: LinkOptions | None) -> bytes:
    """Return the header field for search engines, empty for a link that they may list."""
    return b"X-Robots-Tag: noindex\r\n" if options is not None and options.noindex else b""


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
