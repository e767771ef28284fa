"""What a visitor's query tells: what led here (`wp_t`), and the campaign (`utm_…`)."""

from typing import Final
from urllib.parse import urlsplit

from engine.extra import Trigger

PARAMETER: Final = b"wp_t="
PAGE_QUERY: Final = "wp_t=page"  # of the links on a page
UTM: Final = (b"utm_source=", b"utm_medium=", b"utm_campaign=", b"utm_term=", b"utm_content=")
_TRIGGERS: Final = {b"page": Trigger.PAGE, b"qr": Trigger.QR}


def take_trigger(query: bytes) -> tuple[Trigger, bytes]:
    """The trigger that `wp_t` names (the first one, if several do), and the query without it."""
    if PARAMETER not in query:
        return Trigger.LINK, query
    parts = query.split(b"&")
    named = [part[len(PARAMETER) :] for part in parts if part.startswith(PARAMETER)]
    if not named:
        return Trigger.LINK, query
    rest = b"&".join([part for part in parts if not part.startswith(PARAMETER)])
    return _TRIGGERS.get(named[0], Trigger.LINK), rest


def campaign(query: bytes, room: int) -> bytes:
    """The `utm_…` parameters as they came, joined by `&`, at most `room` bytes; never half an escape."""
    if b"utm_" not in query or room <= 0:
        return b""
    found = b"&".join([part for part in query.split(b"&") if part.startswith(UTM)])
    if len(found) > room:
        found = found[:room]
        escape = found.rfind(b"%", -2)
        if escape >= 0:
            found = found[:escape]
    return found


def is_from_page(referrer: bytes, host: bytes, page: bytes) -> bool:
    """Whether the referrer is the profile's own page, `page` its path, on the host that was asked for."""
    if b"/@" not in referrer:
        return False
    try:
        parts = urlsplit(referrer)
        return parts.path == page and parts.hostname == host
    except ValueError:
        return False
