"""A visitor's request, and where it comes from: what a door has read, and what actors decide by."""

import msgspec


class VisitRequest(msgspec.Struct, gc=False):
    """One request to answer. `path` starts with `/`; `query` has no `?`; texts are cut to their bounds;
    `host` is in lower case, without a port."""

    path: bytes
    query: bytes
    user_agent: bytes
    referrer: bytes
    language: bytes
    head_only: bool
    keep_alive: bool
    prefetch: bool = False
    forwarded_for: bytes = b""  # only looked for behind trusted proxies
    host: bytes = b""
    cookie: bytes = b""  # what `wp_v` is, where a visitor has one


class ClientInfo(msgspec.Struct, gc=False, frozen=True):
    """Where a request comes from: what is left of its address once that was looked at.

    `network` is of `engine.visits.client_address.packed_network`, `place` an item of engine/clicks/record_items.py or empty.
    Both are for use in memory; only the place is recorded.
    """

    network: bytes
    place: bytes = b""
    rate_limit_subject: str | None = None  # whom the visitors' limit counts; None: nobody


UNKNOWN_CLIENT = ClientInfo(b"\0")
