"""Ready responses of the visitor server: status lines with the date, redirects, pages and refusals."""

import base64
import hashlib
from email.utils import formatdate
from html import escape
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from engine.links.target import is_location_safe

_COMMON: Final = (
    b"X-Content-Type-Options: nosniff\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n"
)
_PAGES: Final = {
    400: ("Bad request", "Your browser sent something that is not a valid request."),
    404: ("Not found", "There is no link here. Check the address, or ask whoever gave it to you."),
    405: ("Method not allowed", "Links can be followed (GET, HEAD), nothing else."),
    408: ("Request timeout", "The request took too long to arrive."),
    410: ("This link is over", "It led somewhere once, and whoever made it has ended it."),
    413: ("Content too large", "Requests to a link must not have a body."),
    414: ("Address too long", "This address is longer than any link can be."),
    429: ("Too many requests", "So many requests came from your network that this one must wait."),
    431: (
        "Request header fields too large",
        "The request's header, cookies included, is too large.",
    ),
    503: (
        "Try again shortly",
        "The server is busy. Your link is safe: please try again in a moment.",
    ),
    505: ("HTTP version not supported", "This server speaks HTTP/1.1."),
}
REDIRECTS: Final = (301, 302, 303, 307, 308)
_STATUSES: Final = (200, 206, *REDIRECTS, 304, 403, 416, *_PAGES)


def html(title: str, body: str, head: str = "") -> bytes:
    """Return a whole, valid page; all arguments are HTML already, `head` whole lines."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n{head}<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    ).encode("utf-8", "replace")


_STYLE: Final = (
    "body{font:1.05rem/1.5 system-ui,sans-serif;margin:0;background:#fafafa;color:#1b1b1f}"
    "main{max-width:34rem;margin:12vh auto;padding:0 1.25rem}"
    "h1{font-size:1.6rem;line-height:1.2;overflow-wrap:anywhere}"
    "ul{list-style:none;padding:0}li{margin:.6rem 0}"
    "a{display:block;padding:.8rem 1rem;border:1px solid #c9c9d2;border-radius:.6rem;"
    "color:inherit;text-decoration:none;overflow-wrap:anywhere}a:hover,a:focus{border-color:#3d5afe}"
    "label,input,button,select,textarea{display:block;font:inherit}label{margin:.6rem 0 .3rem}"
    "input,button,select,textarea{box-sizing:border-box;width:100%;padding:.7rem 1rem;border:1px solid #8a8a94;"
    "border-radius:.6rem;background:none;color:inherit}"
    "button{margin-top:.8rem;background:#3d5afe;border-color:#3d5afe;color:#fff;cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{background:#17171b;color:#ececf1}a{border-color:#44444d}}"
)
# Only this style is allowed, by its hash.
CONTENT_SECURITY_POLICY: Final = (
    b"default-src 'none'; style-src 'sha256-%b'; img-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'"
    % base64.b64encode(hashlib.sha256(_STYLE.encode()).digest())
)


def response_tail(fields: bytes, body: bytes) -> bytes:
    """Return a response after its status line and date: `fields` (each ended by CRLF), the length, the body."""
    return response_head(fields, len(body)) + body


def response_head(fields: bytes, size: int) -> bytes:
    """Return a response after its status line and date, up to its body of `size` bytes."""
    return fields + _COMMON + b"Content-Length: %d\r\n\r\n" % size


def page_tail(body: bytes, fields: bytes = b"Cache-Control: private, no-store\r\n") -> bytes:
    """Return an HTML response after its status line and date; `fields` are more header fields."""
    return response_tail(
        fields
        + b"Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: "
        + CONTENT_SECURITY_POLICY
        + b"\r\n",
        body,
    )


def redirect_tail(status: int, location: bytes) -> bytes:
    """Return a redirect after its status line and date.

    Browsers cache 301 and 308 for ever by default; 90 seconds spare repeated visits and still let an edited
    link take effect. Raises ValueError for a location with control bytes or blanks. The API refuses those too;
    this keeps rows written by hand from getting out.
    """
    if not is_location_safe(location):
        raise ValueError("a location must be printable ASCII without blanks")
    cache = b"private, max-age=90" if status in (301, 308) else b"private, no-store"
    return response_tail(b"Location: " + location + b"\r\nCache-Control: " + cache + b"\r\n", b"")


COOKIE_AGE_S: Final = 180 * 86_400


def visitor_cookie(value: bytes, *, secure: bool) -> bytes:
    """Return the header field that sets the cookie of experiments that ask for one."""
    return b"Set-Cookie: wp_v=%b; Path=/; Max-Age=%d; SameSite=Lax; HttpOnly%b\r\n" % (
        value,
        COOKIE_AGE_S,
        b"; Secure" if secure else b"",
    )


def warning_tail(location: bytes) -> bytes:
    """Return the page that warns of a target, after its status line and date. It names the target's host, and
    leads on without telling the target from where."""
    target = location.decode("ascii", "replace")
    is_web = target.startswith(("http://", "https://"))
    host = escape((urlsplit(target).hostname if is_web else None) or target)
    body = (
        f"<h1>Careful with this link</h1>\n<p>It leads to <strong>{host}</strong>. There are signs that this "
        "is not what it seems to be: a site that asks for passwords, money or downloads in another's name. "
        "If you do not know it, close this page.</p>\n"
        f'<ul><li><a href="{escape(target)}" rel="noreferrer nofollow">Go on to {host} all the same</a>'
        "</li></ul>"
    )
    return page_tail(
        html("Careful with this link", body),
        b"Cache-Control: private, no-store\r\nX-Robots-Tag: noindex\r\n",
    )


def password_tail(wrong: bool) -> bytes:
    """Return the form that asks for a link's password, after its status line and date."""
    remark = "<p role=alert>This password is not the right one.</p>\n" if wrong else ""
    body = (
        f"<h1>This link asks for a password</h1>\n{remark}<form method=post>\n"
        "<label for=password>Password</label>\n<input id=password name=password type=password "
        "autocomplete=current-password maxlength=200 required autofocus>\n"
        "<button>Open the link</button>\n</form>"
    )
    tail = page_tail(
        html("Password", body), b"Cache-Control: no-store\r\nX-Robots-Tag: noindex\r\n"
    )
    # Browsers apply form-action to the redirect that follows, too, and that leads anywhere.
    return tail.replace(b"form-action 'none'; ", b"")


def _refusal(status: int) -> bytes:
    title, sentence = _PAGES[status]
    fields = {
        405: b"Allow: GET, HEAD\r\n",
        429: b"Retry-After: 1\r\n",
        503: b"Retry-After: 1\r\n",
    }.get(status, b"")
    return page_tail(
        html(f"{status} {title}", f"<h1>{title}</h1>\n<p>{sentence}</p>"),
        b"Cache-Control: no-store\r\n" + fields,
    )


REFUSALS: Final = {status: _refusal(status) for status in _PAGES}


def without_body(response: bytes) -> bytes:
    """Return a response as HEAD gets it: up to the blank line, which is included."""
    return response[: response.index(b"\r\n\r\n") + 4]


class StatusLines:
    """Status lines with the current date, made once a second.

    RFC 9110 6.6.1 wants a Date from every server with a clock; formatting one for each response would cost
    more than the rest of it.
    """

    def __init__(self) -> None:
        self._second = -1
        self.keep: dict[int, bytes] = {}
        self.close: dict[int, bytes] = {}

    def at(self, now_us: int) -> None:
        """Update the lines to this time; cheap when the second has not changed."""
        second = now_us // 1_000_000
        if second == self._second:
            return
        self._second = second
        date = formatdate(second, usegmt=True).encode("ascii")
        for status in _STATUSES:
            line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: ".encode("ascii")
            self.keep[status] = line + date + b"\r\n"
            self.close[status] = line + date + b"\r\nConnection: close\r\n"
