"""Progress of the suite: a bar on a terminal, plain lines with the time elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.kit import report
from bench.suite.plan import Step
from bench.suite.result import BenchResult

_WIDTH = 60


class SuiteProgress:
    """Progress through the turns of a plan, of which `finished` are in the file already."""

    def __init__(self, total: int, finished: int) -> None:
        self._total = total
        self._finished = finished
        self._said = ""
        self._title = ""
        self._bar = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
        ) if sys.stderr.isatty() else None  # fmt: skip
        self._task = self._bar.add_task("", total=total, completed=finished) if self._bar else None

    def __enter__(self) -> "SuiteProgress":
        if self._finished:
            self.line(f"{self._finished} of {self._total} are in the file already")
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def line(self, text: str) -> None:
        """Say something that stays."""
        text = report.printable(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            report.progress(f"{time.strftime('%H:%M:%S')} {text}")

    def begin(self, title: str) -> None:
        """Say which benchmark runs."""
        self._title, self._said = title, ""
        if self._bar is None:
            self.line(f"{self._finished + 1} of {self._total}: {title}")
        self._describe("")

    def say(self, text: str) -> None:
        """Show the last line of the benchmark's output, once."""
        if text == self._said:
            return
        self._said = text
        if self._bar is None:
            self.line(f"  {text[:200]}")
        self._describe(text)

    def end(self, step: Step, result: BenchResult) -> None:
        """Say how a benchmark ended."""
        self._finished += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._finished)
        word = "measured" if result.exit_code == 0 else "FAILED"
        reason = result.error or "; ".join(result.failures)
        self.line(
            f"{step.title}: {word} in {result.seconds:,.0f} s{f': {reason}'[:400] if reason else ''}"
        )

    def _describe(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            shown = escape(report.printable(f"{self._title}  {text[:_WIDTH]}"))
            self._bar.update(self._task, description=shown)
