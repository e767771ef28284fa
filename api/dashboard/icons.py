"""Icon sprite: the icons that the dashboard names, drawn by Lucide (ISC licence), as symbols of one SVG."""

import re
from collections.abc import Iterable
from importlib import resources
from typing import Final
from zipfile import ZipFile

# How a module names an icon: `icon('house')`, or `icon: 'house'` in a table.
_NAMED: Final = re.compile(r"\bicon(?:\(|: ?)'([a-z0-9-]+)'")
_CONTENT: Final = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_BETWEEN: Final = re.compile(r">\s+<")


def icon_names(modules: Iterable[str]) -> list[str]:
    """Return the names of the icons that JavaScript modules name, sorted."""
    return sorted({name for module in modules for name in _NAMED.findall(module)})


def sprite(names: Iterable[str], *, hidden: bool = False) -> str:
    """Return an SVG with a symbol `i-NAME` for each icon; `hidden` as a part of a document.

    Raises KeyError for a name that Lucide lacks.
    """
    packed = resources.files("lucide").joinpath("lucide.zip")
    with packed.open("rb") as file, ZipFile(file) as archive:
        symbols = [_symbol(name, archive.read(f"{name}.svg").decode()) for name in names]
    # Hidden by attributes, as styles that hide it would be of no use before they are loaded.
    attributes = ' width="0" height="0" aria-hidden="true" hidden' if hidden else ""
    return f'<svg xmlns="http://www.w3.org/2000/svg"{attributes}>{"".join(symbols)}</svg>'


def _symbol(name: str, svg: str) -> str:
    content = _CONTENT.search(svg)
    if content is None:
        raise ValueError(f"icon {name} is no SVG")
    drawing = _BETWEEN.sub("><", content[1].strip()).replace(" />", "/>")
    return f'<symbol id="i-{name}" viewBox="0 0 24 24">{drawing}</symbol>'
