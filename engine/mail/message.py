"""Messages that the engine mails, as plain text and optionally HTML."""

import msgspec

from engine.common.text_rules import printable


class MailMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to one address.

    `message_id` is the part of its Message-ID before the `@`: of two mails with one id, receivers may show one.
    `html` may be empty. `unsubscribe_url`, if any, is named in the header List-Unsubscribe; `one_click`: a POST
    there is enough (RFC 8058).
    """

    to: str
    subject: str
    text: str
    message_id: str
    html: str = ""
    unsubscribe_url: str = ""
    one_click: bool = False


def header_text(text: str, max_chars: int = 200) -> str:
    """Return a text as one line for a header: no line end, no control character, at most `max_chars`."""
    return printable(text)[:max_chars]
