"""A naive interpreter of rules: each condition spelt out, nothing prepared, nothing remembered."""

import ipaddress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from engine.links.rules import WEEKDAYS, LinkRule, RuleConditions, TimeWindow


class NaiveVisit(NamedTuple):
    """A visit as its facts: what the matcher has to find out."""

    device: str
    os: str
    browser: str
    language: str
    continent: str
    country: str
    region: str
    city: str
    source: str
    address: str
    query: str
    at: datetime
    identity: bytes


def chosen(rules: tuple[LinkRule, ...], visit: NaiveVisit, seed: bytes) -> int:
    """Return the number of the first rule that the visit meets, -1 for none."""
    for number, rule in enumerate(rules):
        if meets(rule.when, visit, seed + rule.target.encode()):
            return number
    return -1


def meets(when: RuleConditions, visit: NaiveVisit, seed: bytes) -> bool:
    for name in ("device", "os", "browser", "continent", "country", "region", "city", "source"):
        values = [value.casefold() for value in getattr(when, name)]
        if values and getattr(visit, name).casefold() not in values:
            return False
    if when.language and not {visit.language, visit.language.split("-")[0]} & set(when.language):
        return False
    if when.ip and not any(_is_in(visit.address, network) for network in when.ip):
        return False
    pairs = parse_qsl(visit.query, keep_blank_values=True)
    for name, wanted in when.query.items():
        if not any(name == key and (not wanted or value in wanted) for key, value in pairs):
            return False
    if when.time is not None and not _is_within(when.time, visit.at):
        return False
    if when.percentage is not None:
        digest = blake2b(seed + visit.identity, digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64 < when.percentage / 100
    return True


def _is_in(address: str, network: str) -> bool:
    if not address:
        return False
    parsed = ipaddress.ip_address(address)
    return parsed.version == ipaddress.ip_network(
        network
    ).version and parsed in ipaddress.ip_network(network)


def _is_within(window: TimeWindow, at: datetime) -> bool:
    """Look at every minute of the window that began today or yesterday."""
    local = at.astimezone(ZoneInfo(window.zone))
    for days_ago in (0, 1):
        day = local.date() - timedelta(days=days_ago)
        if window.weekdays and WEEKDAYS[day.weekday()] not in window.weekdays:
            continue
        clock = local.strftime("%H:%M")
        over_midnight = window.until <= window.since
        if days_ago == 0 and window.since <= clock and (over_midnight or clock < window.until):
            return True
        if days_ago == 1 and over_midnight and clock < window.until:
            return True
    return False


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
