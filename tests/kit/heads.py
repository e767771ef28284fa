"""Heads of a connection, read by an edge's parser as its server feeds it."""

from collections.abc import Iterable
from itertools import pairwise

from api.visits.head import HeadParser
from api.visits.head_memory import HeadMemory
from api.visits.strict_head import RefusedHead
from engine.visits.request import VisitRequest

Heads = list[VisitRequest | RefusedHead]


def head_parser(*, behind_proxies: bool = False) -> HeadParser:
    return HeadParser(HeadMemory(), behind_proxies=behind_proxies)


def read_heads(
    pieces: Iterable[bytes], *, behind_proxies: bool = False, fast: bool = True
) -> Heads:
    """Return the heads of a connection whose bytes come in these pieces, up to the one that ends it.

    `fast`: whether each piece goes through the fast way first, as in the server.
    """
    parser = head_parser(behind_proxies=behind_proxies)
    heads: Heads = []
    for piece in pieces:
        request = parser.parse_fast(piece) if fast else None
        if request is None:
            parser.feed(piece)
            head = parser.take()
        else:
            head = request
        while head is not None:
            heads.append(head)
            if isinstance(head, RefusedHead) or not head.keep_alive:
                assert parser.kept_bytes == 0
                return heads
            head = parser.take()
    return heads


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Return the data in pieces, cut at these places."""
    edges = sorted({0, len(data), *places})
    return [data[start:end] for start, end in pairwise(edges)]
