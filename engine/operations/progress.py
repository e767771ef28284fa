"""Progress of work that must not stand still in silence."""

from typing import Final

from engine.operations.health import Component

STALL_S: Final = 10.0


class Progress:
    """How long a queue with work has not moved. Times are seconds of one clock that never goes back.

    An actor calls moved() whenever a step of its work succeeds, and idle() when it has none. Work that has
    not moved for STALL_S has stalled.
    """

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self, now_s: float) -> None:
        """Note that there is work. It stands still from here on, unless it did before."""
        if self._since is None:
            self._since = now_s

    def moved(self, now_s: float) -> None:
        """Note that a step succeeded, and that there is more work."""
        self._since = now_s

    def idle(self) -> None:
        """Note that there is no work."""
        self._since = None

    def stalled_s(self, now_s: float) -> float:
        """Return the seconds for which the work has not moved, 0 up to STALL_S."""
        still_s = 0.0 if self._since is None else now_s - self._since
        return still_s if still_s > STALL_S else 0.0

    def stall(self, now_s: float, work: str, last_error: str) -> str:
        """Return a line about `work`, such as "journals", if it has stalled, else an empty text."""
        still_s = self.stalled_s(now_s)
        if not still_s:
            return ""
        reason = f"; last error: {last_error}" if last_error else ""
        return f"{work}: no progress for {still_s:.0f} s{reason}"


def progress_component(name: str, stalls: list[str]) -> Component:
    """Return a component that is not ready while any of the texts is a stall."""
    reasons = [stall for stall in stalls if stall]
    return Component(name, not reasons, "; ".join(reasons))
