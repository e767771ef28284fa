"""Comparison of a visit with a link's rules, prepared once for each change of the link.

A fact of a visit is found when the first rule asks for it, and parsed texts are
remembered: of 20 rules on a link, a visit pays for those conditions that it reaches.
"""

import ipaddress
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from engine.clicks.agents.device import DEVICES
from engine.clicks.language import preferred_language
from engine.clicks.referrer import referrer_host, source_of_host, source_of_utm
from engine.clicks.user_agent import UserAgent, parse
from engine.links.options import LinkOptions
from engine.links.rules import WEEKDAYS, LinkRule, RuleConditions, TimeWindow, minutes
from engine.visits.place import unpack_place
from engine.visits.request import Visit

_ITEM_HEAD_BYTES: Final = 2
_MINUTE_US: Final = 60_000_000
MAX_PARAMETERS: Final = 100
NO_RULE: Final = -1


# Visitors whose device opens apps get the target of a link of the kind app, the others its web target.
APP_DEVICES: Final = ("phone", "tablet")
_OTHER_DEVICES: Final = tuple(name for name in DEVICES if name not in APP_DEVICES)


def all_rules(options: LinkOptions) -> tuple[LinkRule, ...]:
    """Return a link's rules, and behind them the one that leads visitors to its web target, if it has one."""
    if not options.web_target:
        return options.rules
    when = RuleConditions(device=_OTHER_DEVICES)
    return (*options.rules, LinkRule(when=when, target=options.web_target))


class VisitFacts:
    """The facts of one visit that rules compare, each found once."""

    __slots__ = ("_agent", "_language", "_place", "_query", "_source", "visit")

    def __init__(self, visit: Visit, agent: UserAgent | None = None) -> None:
        self.visit = visit
        self._agent = agent
        self._place: tuple[str, str, str, str] | None = None
        self._language: str | None = None
        self._source: str | None = None
        self._query: dict[str, list[str]] | None = None

    @property
    def agent(self) -> UserAgent:
        if self._agent is None:
            self._agent = parse(self.visit.request.user_agent.decode("utf-8", "replace"))
        return self._agent

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Continent, country, region and city, in lower case."""
        if self._place is None:
            self._place = _place(self.visit.client.place)
        return self._place

    @property
    def language(self) -> str:
        if self._language is None:
            self._language = preferred_language(self.visit.request.language.decode("latin-1"))
        return self._language

    @property
    def source(self) -> str:
        if self._source is None:
            request = self.visit.request
            utm_source = next(iter(self.query.get("utm_source", ())), "")
            self._source = (
                _source_of_referrer(request.referrer) or self.agent.app or source_of_utm(utm_source)
            ).lower()
        return self._source

    @property
    def query(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = {}
            text = self.visit.request.query.decode("utf-8", "replace")
            pairs = (
                parse_qsl(text, keep_blank_values=True) if text.count("&") < MAX_PARAMETERS else ()
            )
            for name, value in pairs:
                self._query.setdefault(name, []).append(value)
        return self._query


Test = Callable[[VisitFacts], bool]


class _PreparedRule(NamedTuple):
    """A rule's conditions by name, the cheapest first."""

    names: tuple[str, ...]
    tests: tuple[Test, ...]


class RuleMatcher:
    """The rules of one link. `seed` (the link's id) makes shares of visitors independent between links."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[LinkRule], seed: bytes) -> None:
        self._rules = tuple(_prepared(rule.when, seed + rule.target.encode()) for rule in rules)

    def choose(self, visit: Visit) -> int:
        """Return the number of the first rule that the visit meets, from 0; NO_RULE for none."""
        facts = VisitFacts(visit)
        for number, rule in enumerate(self._rules):
            for test in rule.tests:
                if not test(facts):
                    break
            else:
                return number
        return NO_RULE

    def unmet(self, facts: VisitFacts) -> list[str]:
        """Return for each rule the name of the first condition that the visit does not meet, '' for none."""
        return [
            next((name for name, test in zip(*rule, strict=True) if not test(facts)), "")
            for rule in self._rules
        ]


def packed_address(address: str) -> bytes:
    """Return an address as its 4 or 16 bytes; empty for other text."""
    try:
        return ipaddress.ip_address(address).packed
    except ValueError:
        return b""


def _prepared(when: RuleConditions, seed: bytes) -> _PreparedRule:
    tests: dict[str, Test] = {}
    if when.percentage is not None:
        tests["percentage"] = _share(when.percentage, seed)
    if when.time is not None:
        tests["time"] = _window(when.time)
    if when.ip:
        tests["ip"] = _networks(when.ip)
    for name, position in (("continent", 0), ("country", 1), ("region", 2), ("city", 3)):
        if values := getattr(when, name):
            tests[name] = _placed(position, frozenset(value.lower() for value in values))
    if when.language:
        tests["language"] = _languages(frozenset(when.language))
    for name in ("device", "os", "browser"):
        if values := getattr(when, name):
            tests[name] = _agents(name, frozenset(value.lower() for value in values))
    if when.query:
        tests["query"] = _parameters(when.query)
    if when.source:
        tests["source"] = _sources(frozenset(value.lower() for value in when.source))
    return _PreparedRule(tuple(tests), tuple(tests.values()))


def _agents(name: str, values: frozenset[str]) -> Test:
    return lambda facts: getattr(facts.agent, name).lower() in values


def _placed(position: int, values: frozenset[str]) -> Test:
    return lambda facts: facts.place[position] in values


def _languages(values: frozenset[str]) -> Test:
    def test(facts: VisitFacts) -> bool:
        language = facts.language
        return language in values or language.partition("-")[0] in values

    return test


def _sources(values: frozenset[str]) -> Test:
    return lambda facts: facts.source in values


def _parameters(wanted: dict[str, tuple[str, ...]]) -> Test:
    def test(facts: VisitFacts) -> bool:
        query = facts.query
        return all(
            name in query and (not values or not set(values).isdisjoint(query[name]))
            for name, values in wanted.items()
        )

    return test


def _networks(texts: Sequence[str]) -> Test:
    networks = [ipaddress.ip_network(text) for text in texts]
    masks = {
        size: [
            (int(n.network_address), int(n.netmask))
            for n in networks
            if n.max_prefixlen == 8 * size
        ]
        for size in (4, 16)
    }

    def test(facts: VisitFacts) -> bool:
        address = facts.visit.client.address
        number = int.from_bytes(address, "big")
        return any(number & mask == network for network, mask in masks.get(len(address), ()))

    return test


def _share(percentage: float, seed: bytes) -> Test:
    keyed = blake2b(seed, digest_size=8)
    limit = int(percentage / 100 * 2**64)

    def test(facts: VisitFacts) -> bool:
        visitor = keyed.copy()
        visitor.update(facts.visit.client.network + facts.visit.request.user_agent)
        return int.from_bytes(visitor.digest(), "big") < limit

    return test


def _window(window: TimeWindow) -> Test:
    zone = ZoneInfo(window.zone)
    days = frozenset(WEEKDAYS.index(day) for day in window.weekdays or WEEKDAYS)
    since, until = minutes(window.since), minutes(window.until)

    @lru_cache(2)
    def is_within(minute: int) -> bool:
        local = datetime.fromtimestamp(minute * 60, UTC).astimezone(zone)
        clock, day = local.hour * 60 + local.minute, local.weekday()
        if since < until:
            return since <= clock < until and day in days
        return (clock >= since and day in days) or (clock < until and (day - 1) % 7 in days)

    return lambda facts: is_within(facts.visit.at_us // _MINUTE_US)


@lru_cache(16_384)
def _place(item: bytes) -> tuple[str, str, str, str]:
    continent, country, region, city = unpack_place(item[_ITEM_HEAD_BYTES:])
    return continent.lower(), country.lower(), region.lower(), city.lower()


@lru_cache(16_384)
def _source_of_referrer(referrer: bytes) -> str:
    return source_of_host(referrer_host(referrer.decode("utf-8", "replace")))
