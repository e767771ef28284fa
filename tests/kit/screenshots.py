"""Screenshots of the dashboard and the demo's page: `python -m tests.kit.screenshots [FOLDER [SCREEN ...]]`.

Starts an engine with the demo and takes each screen of js/screens.js, or those named, light and dark, of a
desktop and a phone. The demo gets a webhook, whose receiver falls ill, and orders after clicks.
"""

import io
import re
import sys
import tempfile
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx
from PIL import Image

from tests.kit.browser import BrowserThread, program
from tests.kit.engines import Engine, eventually
from tests.kit.loopback_hooks import LoopbackHooks, receiving

LOOKS: Final = [
    (f"{scheme}-{width}", {"color_scheme": scheme, "viewport": {"width": width, "height": height}})
    for scheme in ("light", "dark")
    for width, height in ((1280, 800), (360, 740))
]
SETTLED_MS: Final = 2_500
ORDERS: Final = 24
FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
REFERRERS: Final = ("https://www.instagram.com/", "https://news.ycombinator.com/", "")
_ROW: Final = re.compile(r"\{name: '(\w+)', paths: \[([^\]]*)\]")


def screens() -> list[tuple[str, str]]:
    """Return name and path of each screen that needs no id, of the demo's profile."""
    table = resources.files("api.dashboard").joinpath("js/screens.js").read_text()
    rows = []
    for name, paths in _ROW.findall(table):
        known = [path.replace(":handle", "demo") for path in re.findall(r"'([^']+)'", paths)]
        rows += [(name, path) for path in known if ":" not in path][-1:]
    return rows


def prepare(engine: Engine, hooks: LoopbackHooks) -> list[tuple[str, str]]:
    """Give the demo what its owner would have by then. Returns name and path of the screens of single
    things."""
    with engine.api() as client:
        profile = f"/v1/profiles/{client.get('/v1/profiles').json()['items'][0]['id']}"
        draft = {"url": hooks.url, "event_types": ["*"], "description": "Shop", "signature": "v1a"}
        hook = client.post(f"{profile}/webhooks", json=draft).json()["id"]
        links = client.get(f"{profile}/links").json()["items"][:3]
        for link in links:
            client.patch(f"/v1/links/{link['id']}", json={"click_id": True})
        eventually(lambda: deliveries(client, hook, "delivered") == len(links))
        for n in range(ORDERS):
            buy(engine, client, links[n % len(links)]["slug"], n)
        hooks.status = 503
        for n, link in enumerate(links * 2):
            client.patch(f"/v1/links/{link['id']}", json={"tags": [f"season-{n}"]})
        eventually(lambda: deliveries(client, hook, "pending") >= 2 * len(links))
        assets = client.get(f"{profile}/assets").json()["items"]
    details = [("webhook", f"/p/demo/webhooks/{hook}")]
    return details + [("asset", f"/p/demo/assets/{asset['id']}") for asset in assets[:1]]


def deliveries(client: httpx.Client, hook: str, state: str) -> int:
    answer = client.get(f"/v1/webhooks/{hook}/deliveries?state={state}&limit=100")
    return len(answer.json()["items"])


def buy(engine: Engine, client: httpx.Client, slug: str, n: int) -> None:
    """Click on a link of the demo as a visitor, and report an order after it."""
    url = f"{engine.visitors}/demo/{slug}?utm_campaign={'autumn' if n % 3 else 'spring'}"
    headers = {"User-Agent": FIREFOX, "Referer": REFERRERS[n % len(REFERRERS)]}
    target = httpx.get(url, headers=headers).headers["Location"]
    click = parse_qs(urlsplit(target).query)["wp_click"][0]
    currency = "USD" if n % 5 == 4 else "EUR"
    order = {"click_id": click, "name": "sale", "order_id": f"{1000 + n}", "value": f"{19 + n}.90"}
    assert client.post("/v1/conversions", json=order | {"currency": currency}).is_success


class Camera:
    """Takes screens of an engine, one look after another, with one session."""

    def __init__(self, engine: Engine, folder: Path, screens: list[tuple[str, str]]) -> None:
        self._engine = engine
        self._folder = folder
        self._screens = screens
        self._cookies: list[Any] = []

    def take(self, browser: Any, look: str, options: dict[str, Any]) -> None:
        context = browser.new_context(timezone_id="Europe/Rome", locale="en-GB", **options)
        if not self._cookies:
            owner = self._engine.owner
            login = {"email": owner["email"], "password": owner["password"]}
            assert context.request.post(f"{self._engine.console}/v1/session", data=login).ok
            self._cookies = context.cookies()
        context.add_cookies(self._cookies)
        page = context.new_page()
        for name, path in self._screens:
            page.goto(self._engine.console + path)
            page.wait_for_selector("h1")
            page.wait_for_timeout(SETTLED_MS)
            self._keep(page.screenshot(), f"{name}-{look}")
        page.goto(f"{self._engine.visitors}/@demo")
        page.wait_for_timeout(SETTLED_MS)
        self._keep(page.screenshot(full_page=True), f"demo-{look}")

    def _keep(self, png: bytes, name: str) -> None:
        Image.open(io.BytesIO(png)).save(self._folder / f"{name}.webp", quality=82, method=6)


def main(folder: Path, names: list[str]) -> None:
    path = program()
    if path is None:
        sys.exit("needs chromium: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        settings = {"WAYPOST_WEBHOOK_LOOPBACK": "1"}
        engine = Engine(Path(data) / "data", "--demo", "--edges", "1", **settings)
        try:
            eventually(lambda: "visitors came" in engine.output(), limit_s=120)
            with receiving() as hooks:
                known = screens() + prepare(engine, hooks)
                engine.wait_committed()
                browser = BrowserThread(path)
                chosen = [row for row in known if not names or row[0] in names]
                camera = Camera(engine, folder, chosen)
                for look, options in LOOKS:
                    browser.run(partial(camera.take, look=look, options=options))
                browser.close()
        finally:
            engine.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"), sys.argv[2:])
