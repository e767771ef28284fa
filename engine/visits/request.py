"""A visitor's request, its client, and both as one visit: what an edge reads and its actors decide by."""

from typing import Any

import msgspec

from engine.visits.pseudonym import Pseudonymiser


class VisitRequest(msgspec.Struct, gc=False):
    """A visitor's request. `path` starts with `/`; `query` has no `?`; texts are cut to their bounds;
    `host` is in lower case, without a port."""

    path: bytes
    query: bytes
    user_agent: bytes
    referrer: bytes
    language: bytes
    head_only: bool
    keep_alive: bool
    prefetch: bool = False
    forwarded_for: bytes = b""  # only read behind trusted proxies
    host: bytes = b""
    cookie: bytes = b""  # the value of `wp_v`; empty when the visitor sent none
    form_bytes: int = 0  # of a POST with a form: the length of its body
    form: bytes = b""  # that body
    password_is_right: bool | None = None  # None: the visitor has given none
    form_outcome: str = ""  # what became of an address that the form had; empty while nobody looked
    coding: bytes = b""  # of a page: engine/visits/content_coding.py; empty: none
    known_tags: bytes = b""  # of a page or an asset: the value of If-None-Match
    byte_range: bytes = b""  # of an asset: the value of Range, where there is no If-Range
    extra: bytes = b""  # the raw path behind the link's address
    # engine/visits/paths/readings.py; None: not needed so far
    readings: list[tuple[bytes, bytes]] | None = None
    path_at_domain: bytes = b""  # the path as it came; empty at the default domain
    has_waited: bool = False  # for a page to be rendered


class ClientInfo(msgspec.Struct, gc=False, frozen=True):
    """The client of a request.

    `network` is made by engine/visits/client_address.py, `place` is a record item or empty
    (engine/clicks/record_items.py). Both are for use in memory; only the place is recorded.
    """

    network: bytes
    place: bytes = b""
    rate_limit_subject: str | None = None  # None: the client is not rate limited
    address: bytes = b""  # packed; only compared with rules of links


UNKNOWN_CLIENT = ClientInfo(b"\0")


class Visit(msgspec.Struct, gc=False):
    """A visit to be answered: the request, its client and what the edge knows of the moment.

    `classification` is the record's byte (engine/visits/classifier.py), `at_us` Unix time in microseconds,
    `pseudonymiser` that of the UTC day of `at_us`; None while the day has no key. The actor that answers it
    sets `not_modified` if the visitor has the page already, and `wanted_page` if it has to be rendered first.
    """

    request: VisitRequest
    client: ClientInfo
    classification: int
    at_us: int
    pseudonymiser: Pseudonymiser | None
    not_modified: bool = False
    wanted_page: Any = None
