"""Display of a command that works in steps: one live line on a terminal, elsewhere plain lines."""

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.filesize import decimal
from rich.status import Status

LINE_INTERVAL_S: Final = 10.0


class StepDisplay:
    """Shows the step and the bytes done in it, on standard error.

    In a log there is a line for each step, and one every LINE_INTERVAL_S while it lasts.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._status = Status("", console=console) if console.is_terminal else None
        self._step = ""
        self._bytes = 0
        self._total = 0
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def step(self, text: str, total_bytes: int = 0) -> None:
        """Begin a step. `total_bytes` is 0 if it is not known."""
        self._step, self._bytes, self._total = text, 0, total_bytes
        self._show()

    def advance(self, count: int) -> None:
        """Add bytes to the step."""
        self.reach(self._bytes + count)

    def reach(self, done: int) -> None:
        """Set the bytes done in the step."""
        self._bytes = done
        if self._status is not None or time.monotonic() - self._shown_at >= LINE_INTERVAL_S:
            self._show()

    def _show(self) -> None:
        done = f": {decimal(self._bytes)}" if self._bytes else ""
        text = f"{self._step}{done}" + (
            f" of {decimal(self._total)}" if done and self._total else ""
        )
        self._shown_at = time.monotonic()
        if self._status is not None:
            self._status.update(text)
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
