"""Requests of browsers: header sets of eleven real browsers, varied with every request.

Version, language, referrer and cookies change from one request to the next, because equal bytes would flatter a
server that caches whole requests.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_HTML = "text/html,application/xhtml+xml,application/xml;q=0.9"
_CHROME_ACCEPT = (
    f"{_HTML},image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
_FIREFOX_ACCEPT = f"{_HTML},image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8"
_SAFARI_ACCEPT = f"{_HTML},*/*;q=0.8"
_LANGUAGES = (
    "en-US,en;q=0.9", "en-GB,en;q=0.9", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", "fr-FR,fr;q=0.9,en;q=0.8",
    "es-ES,es;q=0.9", "pt-BR,pt;q=0.9,en-US;q=0.8", "ja-JP,ja;q=0.9", "pl-PL,pl;q=0.9,en;q=0.8",
    "it-IT,it;q=0.9,en;q=0.5", "en-IN,en;q=0.9,hi;q=0.8", "tr-TR,tr;q=0.9", "nl-NL,nl;q=0.9,en;q=0.8",
)  # fmt: skip
_REFERRERS = (
    "https://l.instagram.com/", "https://www.instagram.com/", "https://www.tiktok.com/", "https://t.co/",
    "https://www.youtube.com/", "https://l.facebook.com/", "https://www.google.com/", "https://www.bing.com/",
    "https://www.reddit.com/", "https://www.linkedin.com/", "https://duckduckgo.com/", "https://example.org/blog/",
)  # fmt: skip


class Browser(NamedTuple):
    """A browser's constant headers. `user_agent` has `{v}` in place of the version.

    `brand` and `platform` are for client hints of Chromium's family; empty for other browsers.
    """

    user_agent: str
    versions: tuple[str, ...]
    accept: str
    brand: str = ""
    platform: str = ""
    mobile: bool = False


_CHROME_VERSIONS = tuple(str(version) for version in range(126, 140))
_FIREFOX_VERSIONS = tuple(f"{version}.0" for version in range(127, 141))
_BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"

BROWSERS = (
    Browser(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_BLINK} Safari/537.36",
            _CHROME_VERSIONS, _CHROME_ACCEPT, "Google Chrome", "Windows"),
    Browser(f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_BLINK} Safari/537.36",
            _CHROME_VERSIONS, _CHROME_ACCEPT, "Google Chrome", "macOS"),
    Browser(f"Mozilla/5.0 (X11; Linux x86_64) {_BLINK} Safari/537.36",
            _CHROME_VERSIONS, _CHROME_ACCEPT, "Google Chrome", "Linux"),
    Browser(f"Mozilla/5.0 (Linux; Android 10; K) {_BLINK} Mobile Safari/537.36",
            _CHROME_VERSIONS, _CHROME_ACCEPT, "Google Chrome", "Android", mobile=True),
    Browser(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_BLINK} Safari/537.36 Edg/{{v}}.0.0.0",
            _CHROME_VERSIONS, _CHROME_ACCEPT, "Microsoft Edge", "Windows"),
    Browser(f"Mozilla/5.0 (Linux; Android 10; K) {_BLINK} Mobile Safari/537.36 EdgA/{{v}}.0.0.0",
            _CHROME_VERSIONS, _CHROME_ACCEPT, "Microsoft Edge", "Android", mobile=True),
    Browser("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}) Gecko/20100101 Firefox/{v}",
            _FIREFOX_VERSIONS, _FIREFOX_ACCEPT),
    Browser("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:{v}) Gecko/20100101 Firefox/{v}",
            _FIREFOX_VERSIONS, _FIREFOX_ACCEPT),
    Browser("Mozilla/5.0 (Android 14; Mobile; rv:{v}) Gecko/{v} Firefox/{v}",
            _FIREFOX_VERSIONS, _FIREFOX_ACCEPT),
    Browser(f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Version/{{v}} Safari/605.1.15",
            ("16.6", "17.4", "17.6", "18.0", "18.1", "18.3", "18.5"), _SAFARI_ACCEPT),
    Browser(f"Mozilla/5.0 (iPhone; CPU iPhone OS {{v_}} like Mac OS X) {_WEBKIT} Version/{{v}} "
            "Mobile/15E148 Safari/604.1",
            ("16.6", "17.4", "17.5", "17.6", "18.0", "18.1", "18.3", "18.5"), _SAFARI_ACCEPT),
)  # fmt: skip

USER_AGENT = BROWSERS[0].user_agent.format(v=_CHROME_VERSIONS[-1])


def request_heads(
    paths: Sequence[str], host: str, *, count: int, close: bool, seed: int
) -> Iterator[bytes]:
    """Yield `count` GET requests to each path in turn, reproducible by `seed`.

    With `close`, each has `Connection: close`.
    """
    dice = random.Random(seed)  # noqa: S311
    connection = "close" if close else "keep-alive"
    for i in range(count):
        path = paths[i % len(paths)]
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Connection: {connection}"]
        lines += headers(dice)
        yield ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def headers(dice: random.Random) -> Iterator[str]:
    """Yield the header lines of a random browser."""
    browser = dice.choice(BROWSERS)
    version = dice.choice(browser.versions)
    if browser.brand:
        yield (
            f'sec-ch-ua: "Chromium";v="{version}", "Not)A;Brand";v="24", '
            f'"{browser.brand}";v="{version}"'
        )
        yield f"sec-ch-ua-mobile: ?{browser.mobile:d}"
        yield f'sec-ch-ua-platform: "{browser.platform}"'
    yield "Upgrade-Insecure-Requests: 1"
    yield f"User-Agent: {browser.user_agent.format(v=version, v_=version.replace('.', '_'))}"
    yield f"Accept: {browser.accept}"
    yield "Sec-Fetch-Site: cross-site"
    yield "Sec-Fetch-Mode: navigate"
    yield "Sec-Fetch-Dest: document"
    if dice.random() < 0.7:
        yield f"Referer: {dice.choice(_REFERRERS)}"
    yield "Accept-Encoding: gzip, deflate, br, zstd"
    yield f"Accept-Language: {dice.choice(_LANGUAGES)}"
    if dice.random() < 0.3:
        yield f"Cookie: _ga=GA1.1.{dice.randrange(10**9)}.17{dice.randrange(10**8):08}; theme=dark"
