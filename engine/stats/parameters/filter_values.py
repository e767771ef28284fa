"""Values of filters as callers write them: normalised to what counts have, or refused.

`de` is the country DE and `https://Instagram.com/` the host instagram.com. `Germany` is no country's code, and
an answer of 0 would hide the mistake. Dimensions whose names no list here has, browsers for one, are compared
without regard to the case of A to Z (CASELESS). A campaign's values are what visitors bring: they stand for
themselves.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from engine.clicks.agents.device import DEVICES
from engine.clicks.dimension import OTHER, SPECS, Dimension
from engine.clicks.dimension_values import TRIGGERS
from engine.clicks.own_event import MAX_NAME_CHARS
from engine.clicks.referrer import referrer_host
from engine.common.continent import CONTINENTS, continent_of
from engine.stats.dimension_counts import KINDS

MAX_VALUE_CHARS: Final = 255
MAX_VALUES: Final = 50  # of one filter
CASELESS: Final = frozenset(
    {
        Dimension.BROWSER, Dimension.OS, Dimension.SOURCE, Dimension.REGION, Dimension.CITY,
        Dimension.DOMAIN,
    }
)  # fmt: skip
# A backslash with what it stands before, a comma that separates, or other text.
_PIECE: Final = re.compile(r"(\\[\\, ])|(,(?! ))|([^\\,]+|[\\,])")
_REGION: Final = re.compile(r"[A-Za-z]{2}-.+")  # a code, or a name where the geo file has no codes
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
_HOST: Final = re.compile(r"[^\s/:@?#]+|\[[0-9a-f:.]+\]")
_DOMAIN: Final = re.compile(r"[^\s/@?#]+")
_VARIANT: Final = re.compile(r"[0-9]{1,19}\.[0-9]{1,10}\.[0-9]{1,5}")
_LINK: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_MAX_ID: Final = 2**63 - 1


def split_values(text: str) -> list[str]:
    """Return the values between commas. A comma before a blank is part of its value (`Munich, DE`), and so is a
    comma or blank behind a backslash; two backslashes are one."""
    values = [""]
    for escaped, comma, plain in _PIECE.findall(text):
        if comma:
            values.append("")
        else:
            values[-1] += escaped[1:] or plain
    return values


def joined_values(values: Iterable[str]) -> str:
    """Return the text that split_values() reads as these values."""
    escaped = (value.replace("\\", "\\\\").replace(",", "\\,") for value in values)
    return ",".join(f"\\{value}" if value.startswith(" ") else value for value in escaped)


def filter_value(dimension: Dimension, value: str) -> str:
    """Return the value as counts have it; '': not known. Raises ValueError, which says what is allowed."""
    if len(value) > MAX_VALUE_CHARS or not value.isprintable():
        raise ValueError(f"must be at most {MAX_VALUE_CHARS} printable characters")
    if not value and dimension is not Dimension.LINK:
        return value
    if value == OTHER and SPECS[dimension].cap is not None:
        return value
    rule = _RULES.get(dimension)
    return value if rule is None else rule(value)


def _link(value: str) -> str:
    if _LINK.fullmatch(value) is None or int(value) > _MAX_ID:
        raise ValueError("must be the id of a link, or 0 for the page")
    return value


def _country(value: str) -> str:
    if not continent_of(value.upper()):
        raise ValueError("must be a country's code of ISO 3166-1, such as DE")
    return value.upper()


def _shaped(shape: re.Pattern[str], hint: str, case: Callable[[str], str]) -> Callable[[str], str]:
    def rule(value: str) -> str:
        if shape.fullmatch(case(value)) is None:
            raise ValueError(hint)
        return case(value)

    return rule


def _one_of(names: list[str], case: Callable[[str], str]) -> Callable[[str], str]:
    def rule(value: str) -> str:
        if case(value) not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return case(value)

    return rule


def _host(value: str) -> str:
    host = referrer_host(value if "://" in value else f"https://{value}")
    return _shaped(_HOST, "must be a host, such as instagram.com", str.lower)(host)


def _event(value: str) -> str:
    if len(value) > MAX_NAME_CHARS:
        raise ValueError(f"must be an own event's name, of at most {MAX_NAME_CHARS} characters")
    return value


def _property(value: str) -> str:
    if "=" not in value and value != OTHER:
        raise ValueError("must be a property and its value, such as plan=pro")
    return value


_RULES: Final[Mapping[Dimension, Callable[[str], str]]] = {
    Dimension.LINK: _link,
    Dimension.COUNTRY: _country,
    Dimension.CONTINENT: _one_of(sorted(CONTINENTS), str.upper),
    Dimension.REGION: _shaped(_REGION, "must be a country's code and a region, such as DE-BY", str),
    Dimension.LANGUAGE: _shaped(_LANGUAGE, "must be a language's code, such as it", str.lower),
    Dimension.REFERRER: _host,
    Dimension.DOMAIN: _shaped(_DOMAIN, "must be a domain, such as go.example.com", str),
    Dimension.DEVICE: _one_of(list(DEVICES), str.lower),
    Dimension.TRIGGER: _one_of(list(TRIGGERS.values()), str.lower),
    Dimension.KIND: _one_of(list(dict.fromkeys(KINDS.values())), str.lower),
    Dimension.VARIANT: _shaped(
        _VARIANT, "must be experiment.phase.variant, such as 12.1.0", str.lower
    ),
    Dimension.EVENT: _event,
    Dimension.PROPERTY: _property,
}
