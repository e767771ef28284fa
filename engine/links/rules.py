"""Rules of a link: the first one whose conditions a visit meets chooses the target.

A condition is a list of values, of which the visit must have one; a rule is met when all of its conditions are.
engine/visits/rule_matcher.py compares them with a visit.
"""

import ipaddress
import re
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec

from engine.clicks.agents.device import DEVICES
from engine.common.continent import CONTINENTS, continent_of
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors
from engine.links import target

MAX_RULES: Final = 50
MAX_VALUES: Final = 100
MAX_VALUE_CHARS: Final = 100
MAX_PARAMETERS: Final = 10
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*")
_CLOCK: Final = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")

Values = Annotated[tuple[str, ...], msgspec.Meta(extra_json_schema={"maxItems": MAX_VALUES})]


class TimeWindow(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Times of the week in a zone. `since` and `until` are `HH:MM`; a window whose end is not after its
    beginning goes over midnight and belongs to the day on which it begins."""

    zone: str = "UTC"
    weekdays: Values = ()
    since: str = "00:00"
    until: str = "24:00"


class RuleConditions(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Conditions of a rule; an empty one is met by every visit.

    `language` has the one that the visitor prefers, with or without its region; `ip` addresses and networks,
    which are compared in memory and never stored with a visit; `query` values by parameter, of which an empty
    list is met by any value; `percentage` the share of visitors, the same ones at each visit.
    """

    device: Values = ()
    os: Values = ()
    browser: Values = ()
    language: Values = ()
    continent: Values = ()
    country: Values = ()
    region: Values = ()
    city: Values = ()
    source: Values = ()
    ip: Values = ()
    query: dict[str, tuple[str, ...]] = {}
    time: TimeWindow | None = None
    percentage: float | None = None


class LinkRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule: visitors who meet `when` are led to `target`."""

    when: RuleConditions
    target: str


def normalised_rules(
    rules: tuple[LinkRule, ...], private_hosts: bool
) -> tuple[tuple[LinkRule, ...], list[FieldError]]:
    """Return the rules normalised, and all errors, each with the number of its rule from 0."""
    if len(rules) > MAX_RULES:
        return rules, [FieldError("rules", f"must have at most {MAX_RULES} rules")]
    normalised, errors = [], []
    for number, rule in enumerate(rules):
        field = f"rules[{number}]"
        conditions, found = _normalised(rule.when, f"{field}.when")
        errors += found
        location = rule.target
        try:
            location = target.check(rule.target, private_hosts=private_hosts)
        except target.TargetError as error:
            errors.append(FieldError(f"{field}.target", str(error)))
        normalised.append(LinkRule(when=conditions, target=location))
    return tuple(normalised), errors


def _normalised(conditions: RuleConditions, field: str) -> tuple[RuleConditions, list[FieldError]]:
    if conditions == RuleConditions():
        return conditions, [FieldError(field, "must have at least one condition")]
    changed: dict[str, object] = {}
    errors: list[FieldError] = []
    for name, normalise in _NORMALISE.items():
        values = getattr(conditions, name)
        if len(values) > MAX_VALUES:
            errors.append(FieldError(f"{field}.{name}", f"must have at most {MAX_VALUES} values"))
            continue
        kept = []
        for value in values:
            try:
                kept.append(normalise(value))
            except ValueError as error:
                errors.append(FieldError(f"{field}.{name}", str(error)))
        changed[name] = tuple(dict.fromkeys(kept))
    errors += _query_errors(conditions.query, f"{field}.query")
    if conditions.time is not None:
        errors += _time_errors(conditions.time, f"{field}.time")
    if conditions.percentage is not None and not 0 < conditions.percentage < 100:
        errors.append(FieldError(f"{field}.percentage", "must be above 0 and below 100"))
    return msgspec.structs.replace(conditions, **changed), errors


def _query_errors(query: dict[str, tuple[str, ...]], field: str) -> list[FieldError]:
    errors = []
    if len(query) > MAX_PARAMETERS:
        errors.append(FieldError(field, f"must have at most {MAX_PARAMETERS} parameters"))
    for name, values in query.items():
        if not 1 <= len(name) <= MAX_VALUE_CHARS or len(values) > MAX_VALUES:
            reason = (
                f"must have names of 1 to {MAX_VALUE_CHARS} characters and {MAX_VALUES} values each"
            )
            errors.append(FieldError(field, reason))
        for value in (name, *values):
            errors += text_errors(value, field, MAX_VALUE_CHARS)
    return errors


def _time_errors(window: TimeWindow, field: str) -> list[FieldError]:
    errors = []
    try:
        ZoneInfo(window.zone)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        errors.append(FieldError(f"{field}.zone", "must be a zone such as Europe/Rome"))
    except KeyError:
        errors.append(FieldError(f"{field}.zone", "must be a zone such as Europe/Rome"))
    if not set(window.weekdays) <= set(WEEKDAYS):
        errors.append(FieldError(f"{field}.weekdays", f"must be of {', '.join(WEEKDAYS)}"))
    if _CLOCK.fullmatch(window.since) is None:
        errors.append(FieldError(f"{field}.since", "must be a time such as 09:00"))
    if window.until != "24:00" and _CLOCK.fullmatch(window.until) is None:
        errors.append(FieldError(f"{field}.until", "must be a time such as 17:30, or 24:00"))
    return errors


def minutes(clock: str) -> int:
    """Return the minutes since midnight of `HH:MM`; 24:00 is 1,440."""
    return int(clock[:2]) * 60 + int(clock[3:])


def _text(value: str) -> str:
    text = value.strip()
    if not text or text_errors(text, "", MAX_VALUE_CHARS):
        raise ValueError(f"must have values of 1 to {MAX_VALUE_CHARS} visible characters")
    return text


def _device(value: str) -> str:
    if value.lower() not in DEVICES:
        raise ValueError(f"must be of {', '.join(DEVICES)}")
    return value.lower()


def _language(value: str) -> str:
    text = value.lower().replace("_", "-")
    if _LANGUAGE.fullmatch(text) is None:
        raise ValueError("must be languages such as de or pt-br")
    return text


def _continent(value: str) -> str:
    if value.upper() not in CONTINENTS:
        raise ValueError(f"must be of {', '.join(sorted(CONTINENTS))}")
    return value.upper()


def _country(value: str) -> str:
    if not continent_of(value.upper()):
        raise ValueError("must be codes of countries (ISO 3166-1), such as DE")
    return value.upper()


def _ip(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError:
        raise ValueError("must be addresses or networks, such as 203.0.113.0/24") from None


_NORMALISE: Final = {
    "device": _device,
    "os": _text,
    "browser": _text,
    "language": _language,
    "continent": _continent,
    "country": _country,
    "region": _text,
    "city": _text,
    "source": _text,
    "ip": _ip,
}
