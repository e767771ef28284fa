"""Errors for callers and operators.

Each carries one line that says what is wrong and, where it helps, what to do. The command line prints
that line and exits 2 (130 for a StoppedError); the console answers problem details. Any other exception that
escapes is a bug.
"""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID


class FieldError(NamedTuple):
    """A bad field of a request: `field` as a dotted path, `reason` a sentence without full stop."""

    field: str
    reason: str


class WaypostError(Exception):
    """The base of all errors for people: `str(error)` is one line."""


class SettingsError(WaypostError):
    """A setting is missing, malformed or contradicts another."""


class InvalidError(WaypostError):
    """Invalid input. Names every bad field at once. Retrying the same input does not help."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.reason}" for error in errors))
        self.errors = errors


class NotFoundError(WaypostError):
    """An object that does not exist, or that the caller may not see: the error is the same for both."""

    @classmethod
    def of(cls, noun: str) -> "NotFoundError":
        """Return the error for an unknown id or name. `noun` is the kind of object."""
        return cls(f"there is no such {noun}")


class ExpiredError(WaypostError):
    """An API key that has expired."""


class ForbiddenError(WaypostError):
    """An action on a visible object for which the caller's role or key does not suffice."""


class ConflictError(WaypostError):
    """A unique name that is taken, or a limit that is reached. `field` names it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class TooSoonError(WaypostError):
    """A request that came too soon, or a used-up rate limit. Retry after `retry_after_s`."""

    def __init__(self, reason: str, retry_after_s: float) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class NewAccountError(TooSoonError):
    """A creation above what a new account may create a day."""


class LostUpdateError(WaypostError):
    """A change of an object that has changed since the caller read it. Read again, then retry."""

    def __init__(self, version: int) -> None:
        """`version` is the object's current one."""
        super().__init__(f"the version is {version} by now; read again, then retry")


class UnavailableError(WaypostError):
    """A needed server that does not answer in time. Retrying later helps."""


class SlowQueryError(UnavailableError):
    """A stats query that exceeds its time limit. Says what to narrow: retrying the same query does not help."""


class StoppedError(WaypostError):
    """Work of a command that Ctrl-C or SIGTERM ended. Says what is left to do."""


class StaleLeaseError(WaypostError):
    """A write under a lease that another holder has by now, or behind a watermark that another one moved.
    Acquire the lease again."""

    def __init__(self, reason: str, journals: Collection[UUID] = ()) -> None:
        """`journals` are the stale ones, if the write was about several."""
        super().__init__(reason)
        self.journals = frozenset(journals)
