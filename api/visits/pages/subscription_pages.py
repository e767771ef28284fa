"""Pages about an address that a visitor left in a form: what became of it, and what a link of a mail does."""

from html import escape
from typing import Final

from actors.visits.forms.subscriptions import SubscriptionLink
from api.visits.responses import html, page_tail

# A token is in the address, and no other page is to learn it.
_FIELDS: Final = (
    b"Cache-Control: no-store\r\nX-Robots-Tag: noindex\r\nReferrer-Policy: no-referrer\r\n"
)
_ANSWERS: Final = {
    "kept": (200, "Thank you", "Your address is on the list."),
    "invalid": (400, "This is no e-mail address", "Go back and check what you have typed."),
    "full": (503, "This list takes no more addresses", "Please try again another day."),
    "waiting": (
        200,
        "One more step",
        "If this address can get mail, you find a message with a link there: open it to be on the list.",
    ),
    "busy": (503, "Too many addresses at the moment", "Please try again in an hour."),
    "confirmed": (200, "Thank you", "Your address is on the list."),
    "left": (
        200,
        "Your address is not on the list",
        "It is deleted, and gets no more mail from it.",
    ),
    "gone": (
        410,
        "This link has no use any more",
        "It was used for an address that is deleted, or it is too old. Fill in the form once more.",
    ),
}
_QUESTIONS: Final = {
    "confirm": ("Be on the list?", "Put my address on the list"),
    "leave": ("Leave the list?", "Delete my address from the list"),
}


def subscription_answer(outcome: str, page_path: bytes) -> tuple[int, bytes]:
    """Return (the status, the response after its status line and date) for a form that was carried out.

    `page_path` leads back to the page.
    """
    status, title, sentence = _ANSWERS[outcome]
    href = escape(page_path.decode("ascii"))
    body = f'<h1>{title}</h1>\n<p>{sentence}</p>\n<ul><li><a href="{href}">Back to the page</a></li></ul>'
    return status, page_tail(html(title, body), _FIELDS)


def subscription_question(link: SubscriptionLink, page_path: bytes) -> bytes:
    """Return the page that a link of a mail leads to, after its status line and date.

    It asks first, because programs that look for viruses follow all links of a mail.
    """
    title, button = _QUESTIONS[link.purpose]
    action = escape(page_path.decode("ascii") + "/subscribe")
    body = (
        f'<h1>{title}</h1>\n<form method=post action="{action}">\n'
        f'<input type=hidden name={link.purpose} value="{escape(link.token)}">\n'
        f"<button>{button}</button>\n</form>"
    )
    tail = page_tail(html(title, body), _FIELDS).replace(
        b"form-action 'none'", b"form-action 'self'"
    )
    # Its address has the token.
    return tail.replace(b"Policy: strict-origin-when-cross-origin", b"Policy: no-referrer")
