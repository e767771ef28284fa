"""The functions that write responses for profile actors."""

from functools import partial

from actors.visits.responses import VisitResponses
from api.visits.pages.look_pages import card_tail
from api.visits.pages.profile_page import page_tails
from api.visits.responses import (
    REFUSALS,
    password_tail,
    redirect_tail,
    visitor_cookie,
    warning_tail,
)


def visit_responses(visitors_url: str) -> VisitResponses:
    """Return the functions that write responses for profile actors of the server at this address."""
    cookie = partial(visitor_cookie, secure=visitors_url.startswith("https://"))
    return VisitResponses(
        redirect_tail,
        page_tails,
        cookie,
        REFUSALS.__getitem__,
        password_tail,
        card_tail,
        warning_tail,
        visitors_url.rstrip("/"),
    )
