"""Pages about a link: the card for messengers, and where it leads."""

from html import escape

from api.visits.pages.report_pages import report_form
from api.visits.responses import html, page_tail
from engine.links.preview_card import PreviewCard

_FIELDS = b"Cache-Control: no-store\r\nX-Robots-Tag: noindex\r\n"


def card_tail(card: PreviewCard, location: bytes) -> bytes:
    """Return the page with Open Graph fields that a messenger gets, after its status line and date.

    `location` is empty for a link that does not tell where it leads: the page then leads to the link itself.
    """
    fields = (
        ("property", "og:title", card.title),
        ("property", "og:description", card.text),
        ("property", "og:image", card.image),
        ("name", "twitter:card", "summary_large_image" if card.image else "summary"),
        ("name", "description", card.text),
    )
    head = "".join(
        f'<meta {kind}="{name}" content="{escape(value)}">\n'
        for kind, name, value in fields
        if value
    )
    address = location.decode("ascii", "replace")
    title = card.title or address or "A link"
    body = f'<h1>{escape(title)}</h1>\n<p>{escape(card.text)}</p>\n<p><a href="{escape(address)}">Open</a></p>'
    return page_tail(html(escape(title), body, head), _FIELDS)


def destination_tail(title: str, location: bytes | None, *, varies: bool, token: str = "") -> bytes:
    """Return the page that says where a link leads, after its status line and date.

    `location` is None for a link that does not tell; `varies`: some visitors are led elsewhere. With a token
    there is a form to report the link.
    """
    body = "<h1>Where this link leads</h1>\n"
    body += f"<p>{escape(title)}</p>\n" if title else ""
    if location is None:
        body += "<p>It does not tell: not everybody may pass.</p>"
    else:
        address = escape(location.decode("ascii", "replace"))
        body += f'<p><a href="{address}" rel="nofollow noreferrer">{address}</a></p>'
        body += "\n<p>Some visitors are led elsewhere.</p>" if varies else ""
    body += report_form(token) if token else ""
    tail = page_tail(html("Where this link leads", body), _FIELDS)
    return tail.replace(b"form-action 'none'", b"form-action 'self'") if token else tail
