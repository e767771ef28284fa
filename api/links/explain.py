"""`GET /v1/links/{id}/explain`: the target that a visit would be led to, and why."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from quart import Response

from api.http.auth import current_caller
from api.http.bodies import json_response, utc
from api.http.query import parameters, path_id
from api.http.routes import Doc, Parameter, ResponseDoc, Route
from api.links.explained_options import OptionEffect, effects_of
from engine.clicks.record_items import PLACE, item
from engine.clicks.user_agent import UserAgent, parse
from engine.common.errors import FieldError, InvalidError
from engine.links.link import Link
from engine.links.link_query import LinkState, state_of
from engine.links.ports import ProfileStore
from engine.links.targets.extra_path import extended
from engine.visits.client_address import packed_network, parse_address
from engine.visits.place import pack_place
from engine.visits.request import ClientInfo, Visit, VisitRequest
from engine.visits.rule_matcher import (
    NO_RULE,
    RuleMatcher,
    VisitFacts,
    all_rules,
    packed_address,
)

MAX_TEXT: Final = 2_048
_AGENT: Final = ("browser", "os", "device")
_PLACE: Final = ("continent", "country", "region", "city")
_NAMES: Final = (
    "user_agent", "address", "language", "referrer", "query", "path", "at", *_AGENT, *_PLACE,
)  # fmt: skip


class RuleVerdict(msgspec.Struct, frozen=True):
    """A rule and whether the visit meets it. `unmet` is the first condition that is not met, else null."""

    rule: int
    met: bool
    unmet: str | None


class LinkExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """The target of a visit, null if it is led nowhere. `rule` is the number, from 0, of the rule that chose
    it, or null. The variant of an experiment and a limit of clicks are not considered. `effects` are what the
    link's options do, whether or not they decide this visit."""

    target: str | None
    state: LinkState
    rule: int | None
    sentence: str
    rules: list[RuleVerdict]
    effects: list[OptionEffect]


class LinkExplainRoutes:
    """Route of explanations. `now` returns an aware time."""

    def __init__(self, store: ProfileStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def routes(self) -> list[Route]:
        return [Route("GET", "/v1/links/<link_id>/explain", self.explain, _DOC)]

    async def explain(self, link_id: str) -> Response:
        given, errors = parameters(*_NAMES)
        for name, text in given.items():
            if len(text) > MAX_TEXT:
                errors.append(FieldError(name, f"must have at most {MAX_TEXT:,} characters"))
        at = _time(given, errors) or self._now()
        if not given.get("path", "/").startswith("/"):
            errors.append(FieldError("path", "must begin with a slash"))
        if "address" in given and parse_address(given["address"]) is None:
            errors.append(FieldError("address", "must be an IP address"))
        if errors:
            raise InvalidError(errors)
        link = await self._store.link(current_caller(), path_id(link_id))
        return json_response(explain(link, given, at))


def explain(link: Link, given: Mapping[str, str], at: datetime) -> LinkExplanation:
    """Return where a visit with these properties is led at a time."""
    state = state_of(link, at)
    unmet = RuleMatcher(all_rules(link), link.id.to_bytes(8, "big")).unmet(_facts(given, at))
    chosen = next((number for number, name in enumerate(unmet) if not name), NO_RULE)
    own_rules = unmet[: len(link.rules)]
    rules = [RuleVerdict(n, not name, name or None) for n, name in enumerate(own_rules)]
    if state == "quarantined":
        target, rule = None, None
        sentence = "The link is quarantined: visitors get a page that warns them."
    elif state != "active":
        is_quarantined = link.quarantined or link.engine_quarantine is not None
        target, rule = None if is_quarantined else link.fallback_target or None, None
        sentence = f"The link is {_STATES[state]}: " + (
            "visitors are led to its fallback target."
            if target
            else f"visitors get {410 if state == 'over' else 404}."
        )
    elif chosen == NO_RULE:
        target, rule = link.target, None
        sentence = "No rule is met: " if rules else "The link has no rules: "
        sentence += "visitors are led to its target."
        if link.web_target:
            sentence += " It opens an app, and the visitor is on a phone or tablet."
        target, further = _extended(link, given.get("path", ""))
        sentence += further
    elif chosen == len(link.rules):
        target, rule = link.web_target, None
        sentence = "The visitor is on no phone or tablet: the link leads to its web target."
    else:
        target, rule = link.rules[chosen].target, chosen
        sentence = f"Rule {chosen} is the first one that the visit meets."
    return LinkExplanation(
        target=target,
        state=state,
        rule=rule,
        sentence=sentence,
        rules=rules,
        effects=effects_of(link),
    )


def _extended(link: Link, path: str) -> tuple[str | None, str]:
    """Return where the link's own target leads with a path behind the link's address, and why."""
    if not link.extra_path:
        return (
            (None, f" With {path} behind it, its address is none: 404.")
            if path
            else (link.target, "")
        )
    location = extended(link.target.encode("ascii"), path.encode("utf-8", "replace"))
    if location is None:
        return None, " Names for its arguments are missing, too many or unfit: visitors get 404."
    return location.decode("ascii"), " Names behind its address go on there." if path else ""


_STATES: Final = {"paused": "paused", "scheduled": "not active yet", "over": "over"}


def _facts(given: Mapping[str, str], at: datetime) -> VisitFacts:
    """Return what rules compare of the visit."""
    address = parse_address(given.get("address", "")) or ""
    place = pack_place(*(given.get(name, "") for name in _PLACE))
    request = VisitRequest(
        b"/",
        given.get("query", "").encode("utf-8", "replace"),
        given.get("user_agent", "").encode("utf-8", "replace")[:255],
        given.get("referrer", "").encode("utf-8", "replace"),
        given.get("language", "").encode("latin-1", "replace"),
        False,
        True,
    )
    client = ClientInfo(
        packed_network(address) if address else b"",
        item(PLACE, place),
        address=packed_address(address),
    )
    visit = Visit(request, client, 0, round(at.timestamp() * 1_000_000), None)
    known = parse(given.get("user_agent", ""))
    named = {name: given[name] for name in _AGENT if name in given}
    return VisitFacts(visit, UserAgent(**known._asdict() | named))


def _time(given: Mapping[str, str], errors: list[FieldError]) -> datetime | None:
    if "at" not in given:
        return None
    try:
        time = msgspec.convert(given["at"], datetime, strict=False)
    except msgspec.ValidationError:
        time = None
    if time is None or time.tzinfo is None or not _YEARS.match(given["at"]):
        errors.append(FieldError("at", "must be a time with a zone, such as 2026-05-01T10:00:00Z"))
        return None
    return utc(time)


_YEARS: Final = re.compile(r"(?:19[7-9]|20|21)[0-9]")
_DOC: Final = Doc(
    id="explainLink",
    summary="Explain where a visit is led",
    tag="Links",
    description="Which rule of the link a visit with these properties meets, and why those before it are not "
    "met; and what each option of the link does. Address and user agent are neither stored nor logged.",
    query=(
        Parameter("user_agent", "The visitor's user agent."),
        Parameter(
            "address", "The visitor's IP address, for rules with networks.", example="203.0.113.7"
        ),
        Parameter("language", "The header Accept-Language.", example="it-IT,it;q=0.9"),
        Parameter("referrer", "The header Referer.", example="https://l.instagram.com/"),
        Parameter("query", "The query of the visited URL, without `?`.", example="utm_source=ig"),
        Parameter("path", "What is behind the link's address.", example="/issues/17"),
        Parameter("at", "The time of the visit; now, if left out.", example="2026-05-01T10:00:00Z"),
        Parameter(
            "browser", "A family of browsers, instead of the user agent's.", example="Chrome"
        ),
        Parameter("os", "A system, instead of the user agent's.", example="iOS"),
        Parameter("device", "A class of device, instead of the user agent's.", example="phone"),
        Parameter(
            "continent", "A continent's code; that of the country, if left out.", example="EU"
        ),
        Parameter("country", "An ISO 3166-1 code.", example="IT"),
        Parameter("region", "A region, as geo files name it.", example="RM"),
        Parameter("city", "A city.", example="Rome"),
    ),
    responses={
        200: ResponseDoc(
            "The target, and why.",
            LinkExplanation,
            {
                "target": "https://example.com/app",
                "state": "active",
                "rule": 0,
                "sentence": "Rule 0 is the first one that the visit meets.",
                "rules": [{"rule": 0, "met": True, "unmet": None}],
                "effects": [
                    {
                        "option": "rules",
                        "effect": "The first of 1 rules that a visit meets chooses the target.",
                    }
                ],
            },
        )
    },
)
