"""Ports of the visitor server: the journal, pseudonyms and limits."""

from typing import Protocol

from engine.visits.pseudonym import Pseudonymiser


class ClickRecorder(Protocol):
    """The journal."""

    def append(self, records: list[bytes]) -> bool: ...

    @property
    def appended(self) -> int:
        """The last sequence that was recorded."""

    def append_frame(self, count: int, frame: bytes) -> bool:
        """Append a whole frame of the next `count` records, behind `appended`."""


class PseudonymSource(Protocol):
    """Pseudonymisers by day."""

    def pseudonymiser(self, day: int) -> Pseudonymiser | None:
        """Return that of a day since 1970 in UTC; None while no key is known for it."""


class VisitorLimits(Protocol):
    """Settings of the server: what bounds connections and requests, and whom security.txt names."""

    @property
    def max_connections(self) -> int: ...

    @property
    def connections_per_address(self) -> int: ...

    @property
    def max_head_bytes(self) -> int: ...

    @property
    def head_timeout_ms(self) -> int: ...

    @property
    def idle_timeout_ms(self) -> int: ...

    @property
    def visits_per_second(self) -> int: ...

    @property
    def trusted_hops(self) -> int: ...

    @property
    def security_contact(self) -> str: ...
