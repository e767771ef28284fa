"""Write docs/screenshots/: the sample page in every theme, on a phone and a desktop, light and dark.

python -m tests.kit.theme_screenshots [THEME ...]
"""

import io
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from PIL import Image

from engine.pages.html.document import render_page
from engine.pages.page import THEME_NAMES
from tests.kit.browser import BrowserThread, program
from tests.kit.sample_page import BLOCKS, MORE_BLOCKS, NOW, SOURCES, sample_page
from tests.kit.shown_page import show

FOLDER: Final = Path(__file__).parents[2] / "docs" / "screenshots"
DEVICES: Final[dict[str, dict[str, Any]]] = {
    "phone": {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 1.25},
    "desktop": {"viewport": {"width": 1_280, "height": 900}},
}
SCHEMES: Final = ("light", "dark")


def picture(theme: str, device: str, scheme: str, blocks: list[Any], browser: Any) -> bytes:
    """Return a PNG of the whole page."""
    page = sample_page(blocks, theme=theme)
    shown = show(browser, render_page(page, SOURCES, NOW), color_scheme=scheme, **DEVICES[device])
    # Pictures that are loaded lazily come once they are in sight.
    height = shown.number("document.documentElement.scrollHeight")
    shown.page.set_viewport_size(
        {"width": DEVICES[device]["viewport"]["width"], "height": int(height)}
    )
    shown.page.wait_for_load_state("networkidle")
    shown.page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    png: bytes = shown.page.screenshot()
    shown.page.context.close()
    return png


def write(path: Path, png: bytes) -> None:
    """Write a picture as WebP, a tenth of the size."""
    Image.open(io.BytesIO(png)).convert("RGB").save(path, "WEBP", quality=72, method=6)
    print(path, f"{path.stat().st_size:,}")  # noqa: T201


def main(themes: list[str]) -> None:
    path = program()
    if path is None:
        sys.exit("needs chromium: apt-get install chromium")
    FOLDER.mkdir(parents=True, exist_ok=True)
    browser = BrowserThread(path)
    try:
        for theme in themes or THEME_NAMES:
            for device in DEVICES:
                for scheme in SCHEMES:
                    work = partial(picture, theme, device, scheme, BLOCKS)
                    png = browser.run(work)
                    write(FOLDER / f"{theme}-{device}-{scheme}.webp", png)
        for scheme in SCHEMES:
            png = browser.run(partial(picture, "garden", "desktop", scheme, MORE_BLOCKS))
            write(FOLDER / f"more-blocks-desktop-{scheme}.webp", png)
    finally:
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
