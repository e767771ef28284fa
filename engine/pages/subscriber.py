"""A subscriber: an e-mail address that a visitor entered into a form of a profile's page."""

from datetime import datetime
from typing import Final, Protocol

import msgspec

from engine.accounts.access import Caller
from engine.accounts.account import email_errors
from engine.common.list_page import ListPage

MAX_SUBSCRIBERS: Final = 50_000
SUBSCRIBER_COLUMNS: Final = ("email", "block", "subscribed_at")


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's address in one of the page's forms; `block` is the form's block."""

    id: int
    block: str
    email: str
    subscribed_at: datetime


class SubscriberStore(Protocol):
    """Addresses of a page's forms, for members who may see them; errors as in ProfileStore."""

    async def list_subscribers(
        self, caller: Caller, profile_id: int, after: int, limit: int
    ) -> ListPage: ...

    async def delete_subscriber(
        self, caller: Caller, profile_id: int, subscriber_id: int
    ) -> None: ...


class SubscriptionSink(Protocol):
    """Addresses that visitors leave at an edge."""

    async def subscribe(self, tenant_id: int, profile_id: int, block: str, email: str) -> bool:
        """Keep an address. One that is kept already stays as it is.

        Returns False, keeping nothing, when the profile is gone or has MAX_SUBSCRIBERS.
        Raises UnavailableError.
        """


def normalised_email(text: str) -> str | None:
    """Return an address as it is kept, with its domain in lower case; None for a text that is none."""
    email = text.strip()
    if email_errors(email):
        return None
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.lower()}"
