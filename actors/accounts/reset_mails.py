"""Mails that reset passwords, sent by jobs.

The token is made when the mail is sent, so no job and no table holds it. An attempt that failed after the mail
server took the message is repeated with another token; both work.
"""

import secrets
from typing import Final

from engine.accounts.ports import ResetTokenStore
from engine.accounts.recovery import RESET_JOB, IssuedToken
from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import GiveUpError
from engine.mail.message import MailMessage
from engine.mail.ports import Mailer, MailRefusedError

TIME_LIMIT_S: Final = 60.0

_TEXT: Final = """\
Somebody, probably you, asked for a new password for your account at
{console_url}

To set one, open this page within an hour. It works once.

{url}

If it was not you, ignore this mail: your password stays as it is.
"""


class ResetMails:
    """Handler of the jobs that mail reset tokens. Without a `mailer` the engine sends no mail."""

    def __init__(self, tokens: ResetTokenStore, mailer: Mailer | None, console_url: str) -> None:
        self._tokens = tokens
        self._mailer = mailer
        self._console_url = console_url.rstrip("/")

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of the jobs, by kind."""
        return {RESET_JOB: Handler(run=self.send, time_limit_s=TIME_LIMIT_S)}

    async def send(self, context: JobContext) -> None:
        """Make a token for the job's user and mail it. Raises GiveUpError and UnavailableError."""
        if self._mailer is None:
            raise GiveUpError("this engine sends no mail: WAYPOST_SMTP_URL is not set")
        if not self._console_url:
            raise GiveUpError("WAYPOST_CONSOLE_URL is not set where this worker runs")
        job = context.job
        issued = await self._tokens.issue_reset_token(job.tenant_id, int(job.payload["user_id"]))
        if issued is None:  # the user was deleted meanwhile
            return
        try:
            await self._mailer.send(self._message(issued))
        except MailRefusedError as error:
            raise GiveUpError(str(error)) from None

    def _message(self, issued: IssuedToken) -> MailMessage:
        url = f"{self._console_url}/reset#{issued.token}"
        return MailMessage(
            to=issued.email,
            subject="Set a new password",
            text=_TEXT.format(console_url=self._console_url, url=url),
            message_id=f"reset-{secrets.token_hex(16)}",
        )
