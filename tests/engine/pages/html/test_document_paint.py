"""How soon a page is painted on a slow phone: 1.6 Mbit/s, 150 ms, a quarter of the processor."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.pages.html.document import render_page
from tests.kit.browser import BrowserThread
from tests.kit.drawn_pictures import rendition_file
from tests.kit.sample_page import NOW, PICTURES, SOURCES, sample_page

BLANK = b"<!doctype html><title>a</title><h1>a</h1>"
MAX_PAINT_MS = 1_500
MAX_BYTES_ABOVE_THE_FOLD = 80_000
_OBSERVER = """
window.paint = 0;
new PerformanceObserver(list => { for (const e of list.getEntries()) window.paint = e.startTime })
  .observe({type: "largest-contentful-paint", buffered: true});
"""
# Browsers load pictures ahead that are not in sight yet; those do not count.
_ABOVE_THE_FOLD = """(() => {
  const seen = new Set([...document.images]
    .filter(image => image.getBoundingClientRect().top < innerHeight).map(image => image.currentSrc));
  const pictures = performance.getEntriesByType("resource").filter(e => seen.has(e.name));
  return [...pictures, performance.getEntriesByType("navigation")[0]]
    .reduce((sum, e) => sum + e.encodedBodySize, 0);
})()"""


class Handler(BaseHTTPRequestHandler):
    """Answers from memory: a page, a blank one, and renditions of pictures."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body, kind = self.server.files.get(self.path, (b"", ""))  # type: ignore[attr-defined]
        self.send_response(200 if body else 404)
        if kind:
            self.send_header("Content-Type", kind)
        if kind.startswith("text/html"):
            self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(body, 6)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


@contextmanager
def served(files: dict[str, tuple[bytes, str]]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files = files  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def painted(browser: Any, url: str) -> tuple[float, float]:
    """Return when the largest element was painted, in ms, and the bytes of the document and of the pictures
    that are in sight."""
    context = browser.new_context(
        viewport={"width": 360, "height": 780}, device_scale_factor=2, is_mobile=True
    )
    page = context.new_page()
    page.add_init_script(_OBSERVER)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {
        "offline": False,
        "latency": 150,
        "downloadThroughput": 200_000,
        "uploadThroughput": 93_750,
    }
    session.send("Network.emulateNetworkConditions", slow)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.goto(url, wait_until="load")
    page.wait_for_load_state("networkidle")
    paint = float(page.evaluate("window.paint"))
    received = float(page.evaluate(_ABOVE_THE_FOLD))
    context.close()
    return paint, received


@pytest.mark.large
def test_a_page_is_painted_soon_on_a_slow_phone(chromium: BrowserThread) -> None:
    html = "text/html; charset=utf-8"
    files = {
        "/@ada": (render_page(sample_page(), SOURCES, NOW).body, html),
        "/blank": (BLANK, html),
    }
    for picture in PICTURES.values():
        for width in picture.widths:
            name = f"{picture.hash}-{width}.avif"
            files[f"/a/{name}"] = (rendition_file(name), "image/avif")
    with served(files) as url:
        blank = min(chromium.run(lambda b: painted(b, f"{url}/blank"))[0] for _ in range(3))
        runs = [chromium.run(lambda b: painted(b, f"{url}/@ada")) for _ in range(3)]
    paint, received = min(runs)
    print(f"blank {blank:.0f} ms, page {paint:.0f} ms, {received:,.0f} bytes")  # noqa: T201
    assert received <= MAX_BYTES_ABOVE_THE_FOLD
    assert paint <= MAX_PAINT_MS
