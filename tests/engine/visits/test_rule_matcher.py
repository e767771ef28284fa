"""Rules of links: prepared ones decide as a naive interpreter does."""

import os
import random
from datetime import UTC, datetime

import pytest

from engine.clicks.record_items import PLACE, item
from engine.clicks.user_agent import parse
from engine.common.continent import continent_of
from engine.links.rules import (
    MAX_RULES,
    WEEKDAYS,
    LinkRule,
    RuleConditions,
    TimeWindow,
    normalised_rules,
)
from engine.visits.client_address import packed_network
from engine.visits.place import pack_place
from engine.visits.request import ClientInfo, Visit, VisitRequest
from engine.visits.rule_matcher import NO_RULE, RuleMatcher, VisitFacts, packed_address
from tests.kit.naive_rules import NaiveVisit, chosen, utc

AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Safari/537.36",
    "curl/8.5.0",
    "",
)
PLACES = (("DE", "BE", "Berlin"), ("IT", "RM", "Rome"), ("US", "CA", "Los Angeles"), ("", "", ""))
LANGUAGES = {
    "de-AT,en;q=0.8": "de-at",
    "en;q=0.5,it;q=0.9": "it",
    "": "",
    "*": "",
    "pt-BR": "pt-br",
}
REFERRERS = {
    b"https://l.instagram.com/x": "Instagram",
    b"https://www.google.de/": "Google",
    b"": "",
}
ADDRESSES = ("203.0.113.7", "198.51.100.1", "2001:db8::7", "")
QUERIES = ("", "a=1", "a=2&b=", "a=1&a=3", "%C3%A9=x")
SEED = b"12345678"
EXAMPLES = 300


def some(dice: random.Random, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dice.sample(values, dice.randint(1, len(values))))


def random_rule(dice: random.Random) -> LinkRule:
    pools: dict[str, tuple[str, ...]] = {
        "device": ("phone", "desktop", "tv"), "os": ("iOS", "windows"), "browser": ("chrome", "Mobile Safari"),
        "language": ("de", "it", "pt-br", "en"), "continent": ("EU", "NA"), "country": ("DE", "US"),
        "region": ("be", "CA"), "city": ("ROME", "berlin"), "source": ("instagram", "Google"),
        "ip": ("203.0.113.0/24", "2001:db8::/32", "198.51.100.1"),
    }  # fmt: skip
    names = dice.sample(list(pools), dice.randint(0, 2))
    fields: dict[str, object] = {name: some(dice, pools[name]) for name in names}
    if dice.random() < 0.2:
        fields["query"] = {dice.choice("aé"): some(dice, ("1", "2", "x")) * dice.randint(0, 1)}
    if dice.random() < 0.3:
        fields["time"] = TimeWindow(
            zone=dice.choice(("UTC", "Europe/Rome", "Asia/Kolkata")),
            weekdays=some(dice, WEEKDAYS) * dice.randint(0, 1),
            since=f"{dice.randrange(24):02}:{dice.choice((0, 30)):02}",
            until=dice.choice(("24:00", f"{dice.randrange(24):02}:15")),
        )
    if dice.random() < 0.2 or not fields:
        fields["percentage"] = dice.choice((1.0, 50.0, 99.0))
    return LinkRule(when=RuleConditions(**fields), target=f"https://{dice.randrange(9)}.example/")  # type: ignore[arg-type]


def random_visit(dice: random.Random) -> tuple[Visit, NaiveVisit]:
    agent, place, address = dice.choice(AGENTS), dice.choice(PLACES), dice.choice(ADDRESSES)
    language, referrer = dice.choice(list(LANGUAGES)), dice.choice(list(REFERRERS))
    query = dice.choice(QUERIES)
    at = utc(dice.randrange(1_767_225_600, 1_798_761_600))
    network = packed_network(address) if address else b""
    request = VisitRequest(
        b"/x", query.encode(), agent.encode(), referrer, language.encode(), False, True
    )
    client = ClientInfo(
        network, item(PLACE, pack_place("", *place)), address=packed_address(address)
    )
    parsed = parse(agent)
    naive = NaiveVisit(
        parsed.device, parsed.os, parsed.browser, LANGUAGES[language], continent_of(place[0]), *place,
        REFERRERS[referrer] or parsed.app, address, query, at, network + agent.encode(),
    )  # fmt: skip
    return Visit(request, client, 0, int(at.timestamp()) * 1_000_000, None), naive


def normalised(rules: tuple[LinkRule, ...]) -> tuple[LinkRule, ...]:
    kept, errors = normalised_rules(rules, True)
    assert errors == []
    return kept


def agree(dice: random.Random, rules: tuple[LinkRule, ...], visitors: int) -> None:
    matcher = RuleMatcher(rules, SEED)
    for _ in range(visitors):
        visit, naive = random_visit(dice)
        expected = chosen(rules, naive, SEED)
        assert matcher.choose(visit) == expected, (rules, naive)
        unmet = matcher.unmet(VisitFacts(visit))
        assert expected == next((n for n, name in enumerate(unmet) if not name), NO_RULE)


def test_prepared_rules_decide_as_a_naive_interpreter() -> None:
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        agree(dice, normalised(tuple(random_rule(dice) for _ in range(dice.randint(1, 20)))), 3)


@pytest.mark.large
@pytest.mark.timeout(600)
def test_prepared_rules_decide_as_a_naive_interpreter_on_100_000_links() -> None:
    # Links take their rules from a pool, as to make and normalise a rule costs more than to compare it.
    dice = random.Random(os.urandom(8))
    pool = [
        rule
        for _ in range(200)
        for rule in normalised(tuple(random_rule(dice) for _ in range(MAX_RULES)))
    ]
    for _ in range(100_000):
        agree(dice, tuple(dice.choices(pool, k=dice.randint(1, 20))), 2)


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    window = TimeWindow(weekdays=("fri",), since="22:00", until="02:00")
    rule = LinkRule(when=RuleConditions(time=window), target="https://night.example/")
    matcher = RuleMatcher((rule,), SEED)
    visit, _ = random_visit(random.Random(1))

    def is_met(*moment: int) -> bool:
        visit.at_us = int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]
        return matcher.choose(visit) == 0

    assert is_met(2026, 5, 1, 22, 0)  # a Friday
    assert is_met(2026, 5, 2, 1, 59)
    assert not is_met(2026, 5, 2, 2, 0)
    assert not is_met(2026, 5, 1, 1, 0)
    assert not is_met(2026, 5, 2, 23, 0)


def test_a_share_of_visitors_is_stable_and_near_its_size() -> None:
    rule = LinkRule(when=RuleConditions(percentage=30.0), target="https://some.example/")
    matcher = RuleMatcher((rule,), SEED)
    request = VisitRequest(b"/x", b"", b"agent", b"", b"", False, True)

    def met() -> list[int]:
        clients = (ClientInfo(b"\x04" + number.to_bytes(4, "big")) for number in range(5_000))
        return [matcher.choose(Visit(request, client, 0, 0, None)) for client in clients]

    assert met() == met()
    assert 0.27 < met().count(0) / 5_000 < 0.33
