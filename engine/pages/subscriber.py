"""A subscriber: an e-mail address that a visitor entered into a form of a profile's page."""

from datetime import datetime
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from engine.accounts.access import Caller
from engine.accounts.account import email_errors
from engine.common.list_page import ListPage

MAX_SUBSCRIBERS: Final = 50_000
SUBSCRIBER_COLUMNS: Final = ("email", "block", "subscribed_at")
# Mails that ask to confirm an address (storage/migrations/0012_pages.sql repeats the first two).
MAX_MAILS_OF_ADDRESS: Final = 3  # an hour, of one profile
MAX_MAILS_OF_PROFILE: Final = 500  # an hour
UNCONFIRMED_KEPT_S: Final = 2 * 86_400
CONFIRM_JOB: Final = "subscriptions.confirm"

RequestOutcome = Literal["waiting", "busy", "full", "gone"]
ConfirmOutcome = Literal["confirmed", "full", "gone"]


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

    async def request(
        self, tenant_id: int, profile_id: int, block: str, email: str
    ) -> RequestOutcome:
        """Have an address confirmed by mail: its visitor then opens a link with the request's id.

        Returns `waiting`, for an address that is on the list or gets no further mail within the hour, too;
        `busy` beyond the profile's mails, `full` with MAX_SUBSCRIBERS, `gone` without the profile.
        Raises UnavailableError.
        """

    async def confirm(self, tenant_id: int, profile_id: int, request_id: int) -> ConfirmOutcome:
        """Put the address of a request on the list; `gone` if there is no such request any more.

        Raises UnavailableError.
        """

    async def unsubscribe(self, tenant_id: int, profile_id: int, request_id: int) -> None:
        """Take the address of a request off the list, if it is there. Raises UnavailableError."""

    async def token_secret(self) -> bytes:
        """Return what the tokens of links are signed with. Raises UnavailableError."""


class UnconfirmedAddress(NamedTuple):
    """An address that is to be mailed, and the handle of the profile that it was given to."""

    email: str
    handle: str


class UnconfirmedAddresses(Protocol):
    """Requests as workers see them. Both methods raise UnavailableError."""

    async def unconfirmed(
        self, tenant_id: int, profile_id: int, request_id: int
    ) -> UnconfirmedAddress | None:
        """Return the address of a request; None once it is confirmed, taken back or deleted."""

    async def token_secret(self) -> bytes:
        """Return what the tokens of links are signed with."""


def normalised_email(text: str) -> str | None:
    """Return an address as it is kept, with its domain in lower case; None for a text that is none."""
    email = text.strip()
    if email_errors(email):
        return None
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain.lower()}"
