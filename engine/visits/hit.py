"""Hits: views, clicks and own events of pages elsewhere, which a pixel reports to an edge.

    GET /@{handle}/pixel.gif          a view of the profile, on whatever page it is shown
    GET /{handle}/{slug}/pixel.gif    a click on a link, to whose target the page leads by itself

| parameter | meaning |
|---|---|
| `u` | the page's URL; without it, the request's Referer, which is the page that has the pixel |
| `r` | the page's own referrer, `document.referrer` |
| `event` | the name of an own event, which is recorded instead of a view or click |
| `p.NAME` | a property of the own event |
| `x` | the variants of experiments that the page shows, by their `ref`, joined by commas |

A server reports hits of its own pages over the API (`POST /v1/profiles/{id}/events`), each with an id, so that
a hit that it sends again is recorded once.

The page's host becomes the domain, its query names the campaign. Nothing here trusts what it reads: of both
URLs only printable ASCII is kept, cut to the bounds of a visit's own fields. A variant that `x` names is
recorded only if the edge assigns it to the visitor, too.
"""

import re
from hashlib import blake2b
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote_plus, unquote_to_bytes

import msgspec
from msgspec.structs import replace

from engine.clicks.click import MAX_LANGUAGE_BYTES, MAX_REFERRER_BYTES, MAX_USER_AGENT_BYTES
from engine.clicks.own_event import event_text, own_event
from engine.clicks.record_items import (
    HIT_ID_BYTES,
    MAX_HOST_BYTES,
    MAX_VARIANT_REFS,
    VariantRef,
)
from engine.visits.page_variant import PageVariant, parse_ref
from engine.visits.request import VisitRequest

PIXEL: Final = b"/pixel.gif"
_PROPERTY: Final = b"p."
_UNSAFE: Final = re.compile(rb"[^\x21-\x7e]")
_URL: Final = re.compile(rb"(?is)https?://([a-z0-9.-]+)(?::\d*)?(?:/[^?#]*)?(?:\?([^#]*))?").match


class Hit(NamedTuple):
    """A hit. `request` is the pixel's with host, query and referrer of the page; `is_inside`: the visitor came
    from a page of the same site, so `request` has no referrer. `event` is the text of an own event
    (engine/clicks/own_event.py).

    `refs` are the variants that the page says it shows. `experiments`: it shows what the answer to the hit
    says; with `shows`, only of experiments on these links and blocks.
    """

    request: VisitRequest
    is_inside: bool
    event: bytes = b""
    refs: frozenset[VariantRef] = frozenset()
    experiments: bool = False
    shows: frozenset[str] | None = None

    @property
    def takes_part(self) -> bool:
        """Whether the visitor may take part in experiments."""
        return self.experiments or bool(self.refs)


class ServerHit(msgspec.Struct, frozen=True, array_like=True):
    """A hit that a server reports, as the console hands it to an edge. `id` is hit_id(); `path` the canonical
    path of the page or link; `address` the visitor's, used and forgotten by the edge. The last three fields are
    as in Hit."""

    id: bytes
    path: bytes
    address: str
    user_agent: bytes
    language: bytes
    url: bytes
    referrer: bytes
    event: bytes = b""
    experiments: bool = False
    shows: frozenset[str] | None = None


HitOutcome = Literal["recorded", "duplicate", "unknown"]


class HitAnswer(msgspec.Struct, frozen=True, array_like=True):
    """The answer of an edge to a server's hit. Of a hit with `experiments`, `variants` are those that the page
    has to show, and `target` is where a click leads; None where only Waypost may lead there."""

    outcome: HitOutcome
    variants: tuple[PageVariant, ...] = ()
    target: str | None = None


def hit_id(tenant_id: int, profile_id: int, id_: str) -> bytes:
    """Return HIT_ID_BYTES that stand for a profile's id of a hit."""
    text = f"{tenant_id}:{profile_id}:{id_}".encode()
    return blake2b(text, digest_size=HIT_ID_BYTES).digest()


def hit_of(request: VisitRequest) -> Hit:
    """Return what the request of a pixel says of the page."""
    values: dict[bytes, bytes] = {}
    for part in request.query.split(b"&"):
        name, _, value = part.partition(b"=")
        values.setdefault(name, value)
    page = unquote_to_bytes(values[b"u"]) if b"u" in values else request.referrer
    hit = page_hit(request, page, unquote_to_bytes(values.get(b"r", b"")))
    if b"event" in values:
        return hit._replace(event=_event(values))
    return hit._replace(refs=_refs(values[b"x"])) if values.get(b"x") else hit


def _refs(value: bytes) -> frozenset[VariantRef]:
    """Return the first MAX_VARIANT_REFS references of a parameter, without those that are none."""
    texts = [text for text in _decoded(value).split(",") if text][:MAX_VARIANT_REFS]
    return frozenset(ref for text in texts if (ref := parse_ref(text)) is not None)


def _event(values: dict[bytes, bytes]) -> bytes:
    """Return the text of the own event that a pixel's parameters name; b"" if it has no name."""
    properties = {
        _decoded(name[len(_PROPERTY) :]): _decoded(value)
        for name, value in values.items()
        if name.startswith(_PROPERTY)
    }
    event = own_event(_decoded(values[b"event"]), properties)
    return b"" if event is None else event_text(event).encode()


def _decoded(value: bytes) -> str:
    return unquote_plus(value.decode("ascii", "replace"), errors="replace")


def server_hit(hit: ServerHit) -> Hit:
    """Return what a server says of the page."""
    request = VisitRequest(
        hit.path,
        b"",
        hit.user_agent[:MAX_USER_AGENT_BYTES],
        b"",
        hit.language[:MAX_LANGUAGE_BYTES],
        False,
        False,
    )
    return page_hit(request, hit.url, hit.referrer)._replace(
        event=hit.event, experiments=hit.experiments, shows=hit.shows
    )


def page_hit(request: VisitRequest, url: bytes, referrer: bytes) -> Hit:
    """Return the hit of the page with this URL, to which the visitor came from `referrer`."""
    match = _URL(_printable(url))
    host, query = (match[1].lower(), match[2] or b"") if match is not None else (b"", b"")
    referrer = _printable(referrer)[:MAX_REFERRER_BYTES]
    from_page = _URL(referrer)
    is_inside = from_page is not None and bool(host) and from_page[1].lower() == host
    page_request = replace(
        request,
        host=host.rstrip(b".")[:MAX_HOST_BYTES],
        query=query,
        referrer=b"" if is_inside else referrer,
        cookie=b"",  # some browsers send it with a pixel, none with the script's requests
    )
    return Hit(page_request, is_inside)


def _printable(url: bytes) -> bytes:
    """Return the URL with `%20` and the like for bytes that no record may hold."""
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], url)
