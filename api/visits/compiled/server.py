"""The visitor server with the compiled core: the core answers plain visits, and Python all others."""

from typing import Any

from api.visits.compiled.core import VisitCore
from api.visits.connection import VisitorConnection
from api.visits.server import VisitorServer


class CompiledVisitorServer(VisitorServer):
    """A visitor server that reads by its core, which hands back what is no plain visit."""

    def __init__(self, *parts: Any, **clocks: Any) -> None:
        super().__init__(*parts, **clocks)
        self._core = VisitCore(self, super()._read)

    def _begin(self) -> None:
        super()._begin()
        self._core.begin()

    def _read(self, connection: VisitorConnection, data: bytes = b"") -> None:
        self._core.read(connection)

    def _finish(self) -> None:
        self._core.finish()
