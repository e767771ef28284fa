"""Files of the dashboard as they are served: stylesheets and modules, under one content hash.

The hash is of all of them, so any change gives every asset a new URL, and each URL may be cached for ever. The
stylesheets of `css/` are served as one, `app.css`, and modules linked; `js/` has each module as it stands, too.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

import brotli

from api.dashboard.icons import icon_names, sprite
from api.dashboard.linking import linked

FRAME: Final = "app.js"
# In the order of the cascade. The overview is part of the frame; dialogs.css comes with the first dialog.
STYLES: Final = (
    "tokens", "base", "shell", "cards", "charts", "forms", "tables", "toasts", "screens/overview",
)  # fmt: skip
# Blanks that a stylesheet does without: around its signs, and behind a colon.
_AROUND: Final = re.compile(rb"\s*([{};,])\s*|(?<=:) ")
_COMMENT: Final = re.compile(rb"/\*.*?\*/", re.DOTALL)
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "html": "text/html; charset=utf-8",
}


class DashboardFile:
    """A file as it is served. It is compressed once, when a client first takes it so."""

    def __init__(self, name: str, content: bytes) -> None:
        self.content_type = _TYPES[name.rpartition(".")[2]]
        self.plain = content

    @cached_property
    def gzip(self) -> bytes:
        return gzip.compress(self.plain, 9, mtime=0)

    @cached_property
    def brotli(self) -> bytes:
        compressed: bytes = brotli.compress(self.plain, mode=brotli.MODE_TEXT, quality=11)
        return compressed


class DashboardFiles:
    """All assets by their path below `/assets/{hash}/`, and the sprite of the frame's icons, for the shell.
    Icons that only other screens name are in `icons.svg`."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        modules = {name: text.decode() for name, text in files.items() if name.endswith(".js")}
        frame = icon_names([modules.get(FRAME, "")])
        self.sprite = sprite(frame, hidden=True)
        others = [name for name in icon_names(modules.values()) if name not in frame]
        files = {**files, "icons.svg": sprite(others).encode()}
        self._assets = {name: DashboardFile(name, content) for name, content in files.items()}
        digest = hashlib.blake2b(self.sprite.encode(), digest_size=8)
        for name, content in sorted(files.items()):
            digest.update(b"%b\0%d\0%b" % (name.encode(), len(content), content))
        self.hash = digest.hexdigest()

    @property
    def icon(self) -> bytes:
        return self._assets["icon.svg"].plain

    def get(self, name: str) -> DashboardFile | None:
        return self._assets.get(name)

    def names(self) -> list[str]:
        return sorted(self._assets)

    def path(self, name: str) -> str:
        """Return the URL's path of an asset. Raises KeyError if there is none of this name."""
        if name not in self._assets:
            raise KeyError(name)
        return f"/assets/{self.hash}/{name}"


@cache
def dashboard_files() -> DashboardFiles:
    """Return the assets of this installation, read once a process."""
    folder = resources.files(__package__)
    files = dict(_files(folder.joinpath("js"), "js/"))
    styles = dict(_files(folder.joinpath("css"), "css/"))
    files["app.css"] = b"".join(styles.pop(f"css/{name}.css") for name in STYLES)
    files["app.css"] = _AROUND.sub(rb"\1", _COMMENT.sub(b"", files["app.css"]))
    modules = {
        name.removeprefix("js/"): content.decode()
        for name, content in files.items()
        if name.endswith(".js")
    }
    for name, source in linked(modules, FRAME, "screens").items():
        files[name] = source.encode()
    icon = folder.joinpath("icon.svg").read_bytes()
    return DashboardFiles(files | styles | {"icon.svg": icon})


def _files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    """Return path and content of each file in a folder and those below it."""
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".js", ".css")):
            found.append((prefix + entry.name, entry.read_bytes()))
    return found
