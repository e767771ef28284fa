"""A busy neighbour: visits to another profile, in a thread, while something else is measured."""

import threading
import time
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

VISITS_A_S: Final = 50.0


class BusyNeighbour:
    """Visits to `path` of the visitors' server while the context is open. `visits` are those answered."""

    def __init__(self, visitors_url: str, path: str) -> None:
        parts = urlsplit(visitors_url)
        self._address = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self.visits = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _visit(self) -> None:
        connection = HTTPConnection(*self._address, timeout=5)
        try:
            while not self._ended.is_set():
                connection.request("GET", self._path)
                connection.getresponse().read()
                self.visits += 1
                time.sleep(1 / VISITS_A_S)
        except (OSError, HTTPException):
            pass  # the caller sees too few visits
        finally:
            connection.close()
