"""Mail in memory: the twin of storage.mail.smtp."""

import trio

from engine.mail.message import MailMessage
from engine.mail.ports import MailRefusedError
from engine.mail.server import is_mailable


class MemoryMailer:
    """Mailer that keeps messages in `sent`. It raises `error` instead, if that is set."""

    def __init__(self) -> None:
        self.sent: list[MailMessage] = []
        self.error: Exception | None = None

    async def send(self, message: MailMessage) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        if not is_mailable(message.to):
            raise MailRefusedError("the address cannot be mailed")
        self.sent.append(message)
