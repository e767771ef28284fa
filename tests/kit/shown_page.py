"""A rendered page in Chromium, served from memory: what it loads, how it is laid out, whether it moves."""

from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from engine.links.codes.qr import QrLook, qr_image
from engine.pages.html.document import PageDocument
from tests.kit.drawn_pictures import rendition_file
from tests.kit.sample_page import SOURCES

_TYPES: Final = {"jpg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}
# Counts how far things move, and what the policy of contents refused.
_OBSERVER: Final = """
window.shift = 0; window.refused = [];
new PerformanceObserver(list => { for (const e of list.getEntries()) window.shift += e.value })
  .observe({type: "layout-shift", buffered: true});
document.addEventListener("securitypolicyviolation", e => window.refused.push(e.violatedDirective));
"""


class ShownPage(NamedTuple):
    """A page of Playwright that shows a rendered page, and the URLs that it has asked for."""

    page: Any
    requests: list[str]

    @property
    def outside(self) -> list[str]:
        """Requests to other hosts."""
        host = urlsplit(SOURCES.url).netloc
        return [url for url in self.requests if urlsplit(url).netloc != host]

    def number(self, script: str) -> float:
        return float(self.page.evaluate(script))

    def overflow(self, width: int, height: int = 900) -> float:
        """Return by how many pixels the page is wider than a window of this width."""
        self.page.set_viewport_size({"width": width, "height": height})
        return self.number("document.documentElement.scrollWidth - window.innerWidth")


def show(browser: Any, rendered: PageDocument, **options: Any) -> ShownPage:
    """Open a rendered page as its own server would answer. `options` are those of a browser's context."""
    context = browser.new_context(**({"viewport": {"width": 1_280, "height": 900}} | options))
    page = context.new_page()
    requests: list[str] = []
    page.add_init_script(_OBSERVER)
    page.on("request", lambda request: requests.append(request.url))
    page.route("**/*", lambda route: _answer(route, rendered))
    page.goto(SOURCES.url, wait_until="load")
    return ShownPage(page, requests)


def _answer(route: Any, rendered: PageDocument) -> None:
    parts = urlsplit(route.request.url)
    if parts.netloc != urlsplit(SOURCES.url).netloc:
        route.abort()
    elif parts.path == SOURCES.path:
        policy = rendered.content_security_policy().decode()
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": policy,
        }
        route.fulfill(body=rendered.body, headers=headers)
    elif parts.path == SOURCES.file_path("qr"):
        route.fulfill(body=qr_image(SOURCES.url, QrLook()), content_type="image/svg+xml")
    elif parts.path.startswith("/a/"):
        name = parts.path.removeprefix("/a/")
        route.fulfill(body=rendition_file(name), content_type=_TYPES[name.rpartition(".")[2]])
    else:
        route.fulfill(status=404)
