"""Reports of links by visitors: what they say, from whom, and what the operator makes of them."""

from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol, get_args
from urllib.parse import parse_qs

import msgspec

from engine.accounts.access import Caller
from engine.common.list_page import ListPage
from engine.links.abuse.quarantine import EngineQuarantine

MAX_DETAILS_CHARS: Final = 500
MAX_REPORTS: Final = 1_000  # of one link
KEPT_DAYS: Final = 90
MAX_SHOWN_DETAILS: Final = 10
Category = Literal["phishing", "malware", "spam", "illegal", "other"]
CATEGORIES: Final[tuple[str, ...]] = get_args(Category)


class ReportForm(NamedTuple):
    """A visitor's form. `token` proves that this visitor was shown it."""

    category: str
    details: str
    token: str


class LinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report, as members of the link's profile see it."""

    id: int
    category: Category
    reported_at: datetime
    reviewed_at: datetime | None


class ReportedLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link with reports that the operator has not reviewed. `categories` are their numbers, `details` the
    last of what visitors wrote."""

    id: int
    version: int
    profile_id: int
    handle: str
    slug: str
    target: str
    engine_quarantine: EngineQuarantine | None
    reports: int
    categories: dict[str, int]
    details: tuple[str, ...]
    last_reported_at: datetime


class ReportSink(Protocol):
    """Reports that visitors send to an edge."""

    async def report(
        self, tenant_id: int, link_id: int, reporter: bytes, category: str, details: str
    ) -> bool:
        """Keep a report; another one of the same reporter changes nothing.

        Returns False, keeping nothing, when the link is gone or has MAX_REPORTS. Raises UnavailableError.
        """


class ReportStore(Protocol):
    """Reports, for members and for the operator; errors as in ProfileStore."""

    async def list_reports(
        self, caller: Caller, link_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def reported_links(self, caller: Caller, after: int, limit: int) -> ListPage:
        """List ReportedLinks of all tenants by id; empty for whoever is not the operator."""

    async def review(
        self, caller: Caller, link_id: int, reason: str | None, if_version: int | None = None
    ) -> None:
        """Quarantine a link of any tenant, or without a reason release it; its reports are reviewed.

        A link that was released is left alone by rules for as long as it leads to the same targets. Raises
        NotFoundError, also for whoever is not the operator, and LostUpdateError if the link has another version
        than `if_version`.
        """


def parse_form(form: bytes) -> ReportForm | None:
    """Return the form of a body; None for one that is incomplete or no report."""
    try:
        fields = parse_qs(form.decode("utf-8", "replace"), True, max_num_fields=20)
    except ValueError:
        return None
    values = {name: each[0] for name, each in fields.items() if len(each) == 1}
    category, token = values.get("category", ""), values.get("token", "")
    if category not in CATEGORIES or not token:
        return None
    text = values.get("details", "").replace("\r\n", "\n")
    details = "".join(each if each.isprintable() or each == "\n" else " " for each in text)
    return ReportForm(category, details.strip()[:MAX_DETAILS_CHARS], token)
