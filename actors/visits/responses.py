"""How a profile actor gets its responses written, without knowing HTTP."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from engine.links.preview_card import PreviewCard
from engine.visits.content_coding import names_tag
from engine.visits.request import Visit


class PageTails(NamedTuple):
    """A page after the status line and date: for each content coding (empty: none), and for a visitor whose
    browser has it already. `tag` is its entity tag. `size` is in bytes. `subjects` are the links (by id) and
    blocks that it shows, of which experiments may be."""

    by_coding: Mapping[bytes, bytes]
    not_modified: bytes
    tag: bytes
    size: int
    subjects: frozenset[str] = frozenset()


def page_response(visit: Visit, tails: PageTails | None) -> bytes:
    """Return the page as this visitor gets it, or that the browser has it; empty without a page."""
    if tails is None:
        return b""
    request = visit.request
    if request.known_tags and names_tag(request.known_tags, tails.tag):
        visit.not_modified = True
        return tails.not_modified
    return tails.by_coding[request.coding]


class VisitResponses(NamedTuple):
    """Functions of api/visits/responses.py, and the address of the visitors' server.

    A tail is a response after its status line and date.

    `redirect_tail(status, location)` raises ValueError for a location that no header may carry;
    `page_tails(html, policy)` compresses a page, so it is for a thread; `visitors_url` begins its address;
    `visitor_cookie(value)` returns a header field;
    `refusal_tail(status)` is of a page that says what is wrong;
    `password_tail(wrong)` is of the form that asks for a link's password;
    `card_tail(card, location)` is of the page that messengers get of a link with a preview card;
    `warning_tail(location)` is of the page that warns of a link's target.
    """

    redirect_tail: Callable[[int, bytes], bytes]
    page_tails: Callable[[bytes, bytes], PageTails]
    visitor_cookie: Callable[[bytes], bytes]
    refusal_tail: Callable[[int], bytes]
    password_tail: Callable[[bool], bytes]
    card_tail: Callable[[PreviewCard, bytes], bytes]
    warning_tail: Callable[[bytes], bytes]
    visitors_url: str
