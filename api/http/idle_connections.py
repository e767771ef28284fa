"""Connections of the console that wait for their next request: the first to close when there is no room."""

from collections.abc import Callable


class IdleConnections:
    """Idle connections, the longest idle first. Not thread-safe."""

    def __init__(self) -> None:
        self.closed = 0
        self._closers: dict[object, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._closers)

    def add(self, connection: object, close: Callable[[], None]) -> None:
        """Note that a connection is idle from now on. `close` has to end it soon."""
        self._closers.pop(connection, None)
        self._closers[connection] = close

    def discard(self, connection: object) -> None:
        """Note that a connection has a request, or has ended."""
        self._closers.pop(connection, None)

    def close_longest(self) -> bool:
        """Close the connection that is idle for longest. Returns False if there is none."""
        if not self._closers:
            return False
        self._closers.pop(next(iter(self._closers)))()
        self.closed += 1
        return True
