"""Screen of `waypost top`: a table that is longer than the terminal, and the keys that scroll it."""

import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from rich.console import Group
from rich.text import Text

KEYS: Final = "arrows, space and b scroll; q quits"
# What terminals send for a key, and what it does. A page is the height of the screen.
ACTIONS: Final = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"b": "page up", b"\x1b[6~": "page down", b" ": "page down",
    b"\x1b[H": "top", b"\x1b[1~": "top", b"g": "top",
    b"\x1b[F": "bottom", b"\x1b[4~": "bottom", b"G": "bottom", b"q": "quit",
}  # fmt: skip
FRAME_LINES: Final = 2  # the header, and the line with the keys


class TopScreen:
    """Lines below a header, of which as many are shown as the terminal is high."""

    def __init__(self) -> None:
        self.first = 0
        self._header = Text()
        self._lines: list[Text] = []
        self._height = 1

    def update(self, header: Text, lines: list[Text], height: int) -> None:
        """Replace the lines, and keep the place. `height` is the terminal's, in lines."""
        self._header, self._lines = header, lines
        self._height = max(1, height - FRAME_LINES)
        self._move(0)

    def act(self, key: bytes) -> bool:
        """Scroll by a key; ignore an unknown one. Returns whether it asks to quit."""
        page = self._height
        action = ACTIONS.get(key, "")
        moves = {"up": -1, "down": 1, "page up": -page, "page down": page}
        self._move({"top": -len(self._lines), "bottom": len(self._lines)}.get(action, 0))
        self._move(moves.get(action, 0))
        return action == "quit"

    def _move(self, lines: int) -> None:
        self.first = max(0, min(self.first + lines, len(self._lines) - self._height))

    def render(self) -> Group:
        """Return what the terminal shows: header, visible lines, and where they are."""
        shown = self._lines[self.first : self.first + self._height]
        last = self.first + len(shown)
        place = f"lines {min(self.first + 1, last)}-{last} of {len(self._lines)}; {KEYS}"
        texts = [self._header, *shown, Text(place, "dim")]
        for text in texts:
            text.no_wrap = True
        return Group(*texts)


@contextmanager
def keys_without_enter() -> Iterator[int | None]:
    """Yield the descriptor of a terminal that sends each key at once; None if the input is no terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    attributes = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, attributes)


async def read_keys(descriptor: int, screen: TopScreen, changed: Callable[[], None]) -> None:
    """Scroll the screen by keys until one asks to quit. Calls `changed` after each."""
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        key = os.read(descriptor, 16)
        if not key or screen.act(key):
            return
        changed()
