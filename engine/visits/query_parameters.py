"""Parameters of a visitor's query: the trigger (`wp_t`) and the campaign (`utm_…`)."""

import re
from typing import Final

from engine.clicks import utm
from engine.clicks.record_items import Trigger

PARAMETER: Final = b"wp_t="
_WHOLE: Final = {b"wp_t=page": Trigger.PAGE, b"wp_t=qr": Trigger.QR}
_UTM: Final = re.compile(
    rb"(?i)(?:^|(?<=&))utm_(?:%s)=[^&]*" % "|".join(utm.NAMES).encode()
).findall


def take_trigger(query: bytes) -> tuple[Trigger, bytes]:
    """Return (the trigger that the first `wp_t` names, the query without `wp_t`)."""
    # Runs for every visit with a query: `find` and a plain loop are several times faster than `in` and a
    # generator.
    if (whole := _WHOLE.get(query)) is not None:
        return whole, b""
    if query.find(PARAMETER) < 0:
        return Trigger.LINK, query
    trigger, rest = None, []
    for part in query.split(b"&"):
        if part[:5] != PARAMETER:
            rest.append(part)
        elif trigger is None:
            trigger = _WHOLE.get(part, Trigger.LINK)
    return trigger or Trigger.LINK, b"&".join(rest)


def names_campaign(query: bytes) -> bool:
    """Return whether the query may have `utm_…` parameters, in any case."""
    return query.lower().find(b"utm_") >= 0


def campaign(query: bytes, max_bytes: int) -> bytes:
    """Return the `utm_…` parameters as they came, joined by `&`, cut to `max_bytes` but in no escape."""
    parameters = b"&".join(_UTM(query))
    if len(parameters) > max_bytes:
        parameters = parameters[: max(0, max_bytes)]
        escape = parameters.rfind(b"%", -2)
        if escape >= 0:
            parameters = parameters[:escape]
    return parameters
