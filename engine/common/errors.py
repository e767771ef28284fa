"""Errors that people are meant to read.

Each carries one line that says what is wrong and, where it helps, what to do. The command line prints
that line and exits 2; the console answers problem details. Anything else that escapes is a bug.
"""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID


class FieldError(NamedTuple):
    """One bad field of a request: `field` as a dotted path, `reason` a sentence without full stop."""

    field: str
    reason: str


class WaypostError(Exception):
    """The base: `str(error)` is one line for a person."""


class SettingsError(WaypostError):
    """A setting is missing, malformed or contradicts another."""


class InvalidError(WaypostError):
    """Input breaks rules. Every bad field is named at once. Retrying the same input will not help."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.reason}" for error in errors))
        self.errors = errors


class NotFoundError(WaypostError):
    """The thing does not exist, or is not the caller's to see: the two are told apart nowhere."""

    @classmethod
    def of(cls, noun: str) -> "NotFoundError":
        """Return the error for an id or a name of which there is no such `noun`."""
        return cls(f"there is no such {noun}")


class ExpiredError(WaypostError):
    """The key was good once, and is not any more."""


class ForbiddenError(WaypostError):
    """The caller sees the thing, but their role or key does not suffice for this."""


class ConflictError(WaypostError):
    """A unique name is taken, a limit reached, or something used up. `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class TooSoonError(WaypostError):
    """A request that came too soon, or a rate limit that is used up. Retry after `retry_after_s`."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class LostUpdateError(WaypostError):
    """The object changed since the version that the caller has read. Read again, then retry."""

    def __init__(self, version: int) -> None:
        """`version` is the one that the object has."""
        super().__init__(f"the version is {version} by now; read again, then retry")


class UnavailableError(WaypostError):
    """A server that is needed does not answer in time. Retrying later helps."""


class SlowQueryError(UnavailableError):
    """The question takes longer to answer than any may. Says what to narrow: the same again will not help."""


class StaleLeaseError(WaypostError):
    """Somebody else owns the stream by now, or has moved its watermark: start again from the lease."""

    def __init__(self, reason: str, journals: Collection[UUID] = ()) -> None:
        """`journals` are those of several that it is about."""
        super().__init__(reason)
        self.journals = frozenset(journals)
