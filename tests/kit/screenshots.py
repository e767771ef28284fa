"""Screenshots of the dashboard and the demo's page: `python -m tests.kit.screenshots [FOLDER]`.

Starts an engine with the demo and takes each screen of js/screens.js, light and dark, of a desktop and a phone.
"""

import io
import re
import sys
import tempfile
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

from PIL import Image

from tests.kit.browser import BrowserThread, program
from tests.kit.engines import Engine, eventually

LOOKS: Final = [
    (f"{scheme}-{width}", {"color_scheme": scheme, "viewport": {"width": width, "height": height}})
    for scheme in ("light", "dark")
    for width, height in ((1280, 800), (360, 740))
]
SETTLED_MS: Final = 2_500
_ROW: Final = re.compile(r"\{name: '(\w+)', paths: \[([^\]]*)\]")


def screens() -> list[tuple[str, str]]:
    """Return name and path of each screen that needs no id, of the demo's profile."""
    table = resources.files("api.dashboard").joinpath("js/screens.js").read_text()
    rows = []
    for name, paths in _ROW.findall(table):
        known = [path.replace(":handle", "demo") for path in re.findall(r"'([^']+)'", paths)]
        rows += [(name, path) for path in known if ":" not in path][-1:]
    return rows


class Camera:
    """Takes all screens of an engine, one look after another, with one session."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
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
        for name, path in screens():
            page.goto(self._engine.console + path)
            page.wait_for_selector("h1")
            page.wait_for_timeout(SETTLED_MS)
            self._keep(page.screenshot(), f"{name}-{look}")
        page.goto(f"{self._engine.visitors}/@demo")
        page.wait_for_timeout(SETTLED_MS)
        self._keep(page.screenshot(full_page=True), f"demo-{look}")

    def _keep(self, png: bytes, name: str) -> None:
        Image.open(io.BytesIO(png)).save(self._folder / f"{name}.webp", quality=82, method=6)


def main(folder: Path) -> None:
    path = program()
    if path is None:
        sys.exit("needs chromium: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(Path(data) / "data", "--demo", "--edges", "1")
        try:
            eventually(lambda: "visitors came" in engine.output(), limit_s=120)
            engine.wait_committed()
            browser = BrowserThread(path)
            camera = Camera(engine, folder)
            for look, options in LOOKS:
                browser.run(partial(camera.take, look=look, options=options))
            browser.close()
        finally:
            engine.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"))
