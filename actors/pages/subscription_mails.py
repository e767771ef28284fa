"""Mails that ask visitors to confirm the address which they entered into a form of a page, sent by jobs.

The tokens are made when the mail is sent, so no job and no table holds them. An attempt that failed after the
mail server took the message is repeated with another token; both work. A mail says nothing that a member has
written, so that nobody can send texts of their own to other people's addresses.
"""

import secrets
from collections.abc import Callable
from typing import Final

from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import GiveUpError
from engine.mail.message import MailMessage
from engine.mail.ports import Mailer, MailRefusedError
from engine.operations.metrics import Metric, Sample
from engine.pages.shown_links import page_path
from engine.pages.subscriber import CONFIRM_JOB, UnconfirmedAddress, UnconfirmedAddresses
from engine.pages.subscription_token import (
    CONFIRM_LIFETIME_S,
    NEVER,
    Purpose,
    SubscriptionTokens,
    TokenScope,
)

TIME_LIMIT_S: Final = 60.0
CONFIRMATION_MAILS: Final = Metric(
    "waypost_confirmation_mails_total",
    "Mails that ask to confirm an address, by result (sent, refused: by the mail server for good)",
    ("result",),
)
_TEXT: Final = """\
Somebody, probably you, entered this address into a form of the page
{page}

To be on its list, open this link within a day and confirm:
{confirm}

If it was not you, ignore this mail: the address is deleted in two days.
To have it deleted at once, now or when you are on the list:
{leave}
"""


class SubscriptionMails:
    """Handler of the jobs that mail visitors. Without a `mailer` the engine sends no mail. `now_s` is the Unix
    time in seconds."""

    def __init__(
        self,
        addresses: UnconfirmedAddresses,
        mailer: Mailer | None,
        visitors_url: str,
        now_s: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._mailer = mailer
        self._visitors_url = visitors_url.rstrip("/")
        self._now_s = now_s
        self.results = dict.fromkeys(("sent", "refused"), 0)

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of the jobs, by kind."""
        return {CONFIRM_JOB: Handler(run=self.send, time_limit_s=TIME_LIMIT_S)}

    async def send(self, context: JobContext) -> None:
        """Mail the visitor of the job's request. Raises GiveUpError and UnavailableError."""
        if self._mailer is None:
            raise GiveUpError("this engine sends no mail: WAYPOST_SMTP_URL is not set")
        job, request_id = context.job, int(context.job.payload["request_id"])
        key = job.tenant_id, job.profile_id or 0
        address = await self._addresses.unconfirmed(*key, request_id)
        if address is None:
            return
        tokens = SubscriptionTokens(await self._addresses.token_secret())
        until_s = int(self._now_s()) + CONFIRM_LIFETIME_S
        confirm = tokens.token(TokenScope("confirm", *key), request_id, until_s)
        leave = tokens.token(TokenScope("leave", *key), request_id, NEVER)
        try:
            await self._mailer.send(self._message(address, confirm, leave))
        except MailRefusedError as error:
            self.results["refused"] += 1
            raise GiveUpError(str(error)) from None
        self.results["sent"] += 1

    def _message(self, address: UnconfirmedAddress, confirm: str, leave: str) -> MailMessage:
        page = self._visitors_url + page_path(address.handle)
        leave_url = link(page, "leave", leave)
        return MailMessage(
            to=address.email,
            subject=f"Confirm your address for @{address.handle}",
            text=_TEXT.format(page=page, confirm=link(page, "confirm", confirm), leave=leave_url),
            message_id=f"confirm-{secrets.token_hex(16)}",
            unsubscribe_url=leave_url,
            one_click=True,
        )

    def samples(self) -> list[Sample]:
        return CONFIRMATION_MAILS.by_label(self.results)


def link(page_url: str, purpose: Purpose, token: str) -> str:
    """Return the address by which a visitor confirms, or takes the address off the list."""
    return f"{page_url}/subscribe?{purpose}={token}"
