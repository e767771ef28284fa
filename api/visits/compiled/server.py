"""The visitor server with the compiled core: the core answers plain visits, and Python all others."""

from typing import Any

from api.visits.compiled.core import VisitCore
from api.visits.connection import VisitorConnection
from api.visits.head import HeadParser
from api.visits.server import VisitorServer


class CompiledVisitorServer(VisitorServer):
    """A visitor server that reads by its core, which hands back what is no plain visit."""

    def __init__(self, *parts: Any, **clocks: Any) -> None:
        super().__init__(*parts, **clocks)
        # Shared by connections of which Python has read nothing: it is never fed, and so keeps nothing.
        self.unused_parser = self._new_parser()
        self._core = VisitCore(self)

    def on_readable(self) -> None:
        """Serve what is ready, as the server in Python does."""
        self._core.on_readable()

    def _begin(self) -> None:
        super()._begin()
        self._core.begin()

    def unopened(self, peer: str) -> VisitorConnection:
        """Return a connection from an address, with no descriptor: a pattern for those that come from there."""
        return self._connection(-1, peer, self._connections.shares.networks_of(peer))

    def places_changed(self) -> None:
        super().places_changed()
        self._core.forget_peers()

    def _first_parser(self) -> HeadParser:
        return self.unused_parser

    def _read(self, connection: VisitorConnection, data: bytes = b"") -> None:
        self._core.read(connection)

    def read_in_python(self, connection: VisitorConnection, data: bytes) -> None:
        """Serve bytes that the core has read and does not answer."""
        if connection.parser is self.unused_parser:
            connection.parser = self._new_parser()
        super()._read(connection, data)

    def _finish(self) -> None:
        self._core.finish()
