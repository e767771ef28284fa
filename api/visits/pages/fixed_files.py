"""Fixed files at the visitor server: its script, icon, and what it tells crawlers and finders of weaknesses.

They are not counted; no link may have one of these paths (engine/links/name.py).
"""

from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Final

from api.visits.pages.elsewhere import ANYWHERE
from api.visits.responses import response_tail
from engine.common.json_forms import time_text

_PUBLIC: Final = b"Cache-Control: public, max-age=3600\r\n"
_FOLDER: Final = resources.files(__package__)
# Crawlers may follow links: previews need that, and `noindex` is only seen by those who do.
_ROBOTS: Final = (
    b"User-agent: *\nDisallow: /*/pixel.gif$\nDisallow: /*/variants.json$\nDisallow: /*+$\n"
)
SECURITY_TXT: Final = b"/.well-known/security.txt"
_VALID_FOR: Final = timedelta(days=90)
_DAY_US: Final = 86_400_000_000


def _text(kind: bytes, body: bytes, fields: bytes = b"") -> bytes:
    return response_tail(b"Content-Type: %b\r\n" % kind + _PUBLIC + fields, body)


class FixedFiles:
    """The fixed files of one server. Without a `security_contact` (a URL) there is no security.txt."""

    def __init__(self, security_contact: str) -> None:
        self._contact = security_contact
        self._security_day = -1
        script = (_FOLDER / "waypost.js").read_bytes()
        self.responses = {
            b"/waypost.js": _text(b"text/javascript; charset=utf-8", script, ANYWHERE),
            b"/robots.txt": _text(b"text/plain; charset=utf-8", _ROBOTS),
            b"/favicon.ico": _text(b"image/png", (_FOLDER / "favicon.png").read_bytes()),
        }

    def response(self, path: bytes, now_us: int) -> bytes | None:
        """Return the response for a canonical path after its status line and date; None if it is no file's.

        `now_us` is Unix time in microseconds: security.txt is always valid for 90 days from today.
        """
        if path == SECURITY_TXT and self._contact and now_us // _DAY_US != self._security_day:
            self._security_day = now_us // _DAY_US
            self.responses[SECURITY_TXT] = self._security_txt()
        return self.responses.get(path)

    def _security_txt(self) -> bytes:
        day = datetime.fromtimestamp(self._security_day * 86_400, UTC) + _VALID_FOR
        text = f"Contact: {self._contact}\nExpires: {time_text(day)}\n"
        return _text(b"text/plain; charset=utf-8", text.encode("ascii"))
