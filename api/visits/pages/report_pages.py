"""Pages about reports of links: the form, and what became of it."""

from html import escape
from typing import Final

from api.visits.responses import html, page_tail
from engine.links.abuse.report import MAX_DETAILS_CHARS

_FIELDS: Final = b"Cache-Control: no-store\r\nX-Robots-Tag: noindex\r\n"
_CATEGORIES: Final = {
    "phishing": "It asks for passwords or money in another's name",
    "malware": "It spreads harmful programs",
    "spam": "It came without being wanted",
    "illegal": "It leads to something illegal",
    "other": "Something else",
}
_OPTIONS: Final = "".join(
    f"<option value={category}>{words}</option>" for category, words in _CATEGORIES.items()
)


def report_form(token: str) -> str:
    """Return the form that reports a link, in HTML, with the visitor's token."""
    return (
        "\n<h2>Report this link</h2>\n<form method=post>\n"
        f'<input type=hidden name=token value="{escape(token)}">\n'
        f"<p><label for=category>What is wrong with it?</label>\n"
        f"<select id=category name=category>{_OPTIONS}</select></p>\n"
        f"<p><label for=details>What else should be known? (no need to say)</label>\n"
        f"<textarea id=details name=details rows=3 maxlength={MAX_DETAILS_CHARS}></textarea></p>\n"
        "<button>Report it</button>\n</form>"
    )


_REPORTS: Final = {
    "kept": (200, "Thank you", "Whoever runs this service will look at the link."),
    "full": (200, "Thank you", "The link was reported often and is being looked at."),
    "invalid": (
        400,
        "This report was not sent",
        "Open the page with the form again, and send it from there.",
    ),
}


def report_answer(outcome: str) -> tuple[int, bytes]:
    """Return (the status, the response after its status line and date) for a form that reports a link."""
    status, title, sentence = _REPORTS[outcome]
    return status, page_tail(html(title, f"<h1>{title}</h1>\n<p>{sentence}</p>"), _FIELDS)
