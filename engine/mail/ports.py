"""Port of mail."""

from typing import Protocol

from engine.common.errors import WaypostError
from engine.mail.message import MailMessage


class MailRefusedError(WaypostError):
    """A message that the mail server refuses for good, or whose address cannot be mailed. No retry helps."""


class Mailer(Protocol):
    """The sender of mail."""

    async def send(self, message: MailMessage) -> None:
        """Hand a message to the mail server.

        Raises MailRefusedError, and UnavailableError if the server does not answer, refuses for now, or
        refuses the engine's login: then a later attempt helps. After UnavailableError the server may have
        taken the message all the same.
        """
