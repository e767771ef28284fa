"""Icons as inline SVG: brands of simple-icons, all others of Lucide. Only those that a page uses are read."""

import re
import zipfile
from functools import lru_cache
from importlib import resources
from typing import Final
from xml.etree import ElementTree

import simple_icons_pack
from markupsafe import Markup

from engine.pages.html.svg_path import compact_path
from engine.pages.services import SERVICES

# Our own drawings: simple-icons has none of LinkedIn, and its Instagram is four times as long.
_OWN_BRANDS: Final = {
    "instagram": '<path d="M7 0h10a7 7 0 0 1 7 7v10a7 7 0 0 1-7 7H7a7 7 0 0 1-7-7V7a7 7 0 0 1 7-7zm0 2.2A4.8'
    " 4.8 0 0 0 2.2 7v10A4.8 4.8 0 0 0 7 21.8h10a4.8 4.8 0 0 0 4.8-4.8V7A4.8 4.8 0 0 0 17 2.2zm5 3.6a6.2 6.2"
    " 0 1 1 0 12.4 6.2 6.2 0 0 1 0-12.4zm0 2.2a4 4 0 1 0 0 8 4 4 0 0 0 0-8zm6.4-3.9a1.45 1.45 0 1 1 0 2.9"
    ' 1.45 1.45 0 0 1 0-2.9z"/>',
    "linkedin": '<path d="M4 9h3.5v11H4zM5.75 3.5a2 2 0 1 1 0 4.1 2 2 0 0 1 0-4.1zM10 9h3.3v1.6c.6-1.1 1.8-1.9'
    " 3.5-1.9 2.9 0 4.2 1.8 4.2 4.9V20h-3.5v-5.7c0-1.6-.6-2.5-1.9-2.5-1.4 0-2.1 1-2.1 2.6V20H10z"
    '"/>',
}
_LUCIDE_OF_SERVICE: Final = {"website": "globe", "email": "mail", "phone": "phone", "rss": "rss"}
_PATH: Final = re.compile(' d="([^"]+)"')
_SVG: Final = "{http://www.w3.org/2000/svg}"


@lru_cache(maxsize=128)
def service_icon(service: str) -> Markup:
    """Return the icon of a service of the social row; a globe where there is none."""
    if service in _LUCIDE_OF_SERVICE:
        return icon(_LUCIDE_OF_SERVICE[service])
    # Whatever stands in a page that was never validated, only our services are looked up.
    shapes = _OWN_BRANDS.get(service) or (_brand_shapes(service) if service in SERVICES else None)
    if shapes is None:
        return icon("globe")
    return Markup(f'<svg class=brand viewBox="0 0 24 24" aria-hidden=true>{shapes}</svg>')  # noqa: S704


@lru_cache(maxsize=128)
def icon(name: str) -> Markup:
    """Return an icon of Lucide by its name there. Raises KeyError if there is none."""
    shapes, paths = [], []
    for shape in ElementTree.fromstring(_lucide_file(f"{name}.svg")):  # noqa: S314
        if shape.tag == f"{_SVG}path":
            paths.append(compact_path(shape.attrib["d"], digits=2))
        else:
            attributes = "".join(f' {key}="{value}"' for key, value in shape.attrib.items())
            shapes.append(f"<{shape.tag.removeprefix(_SVG)}{attributes}/>")
    if paths:
        # Every compact path begins at an absolute point once it is written so.
        shapes.append(f'<path d="{"".join(f"M{path[1:]}" for path in paths)}"/>')
    return Markup(f'<svg viewBox="0 0 24 24" aria-hidden=true>{"".join(shapes)}</svg>')  # noqa: S704


def _brand_shapes(service: str) -> str | None:
    brand = simple_icons_pack.get_icon(service)
    match = _PATH.search(brand.svg) if brand else None
    return f'<path d="{compact_path(match[1])}"/>' if match else None


def _lucide_file(name: str) -> bytes:
    with (
        resources.files("lucide").joinpath("lucide.zip").open("rb") as file,
        zipfile.ZipFile(file) as archive,
    ):
        return archive.read(name)
