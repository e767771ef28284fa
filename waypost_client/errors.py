"""Errors of the client."""

from typing import NamedTuple


class FieldProblem(NamedTuple):
    """A bad field of a request: its dotted path, and why it was refused."""

    field: str
    reason: str


class WaypostClientError(Exception):
    """The base of all errors of the client: `str(error)` is one line."""


class UnreachableError(WaypostClientError):
    """A console that does not answer, or a server that is none. A change may have been made all the same."""


class ApiError(WaypostClientError):
    """A request that the console refused: its status, and its problem (RFC 9457) if it sent one."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: tuple[FieldProblem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        fields = "; ".join(f"{field}: {reason}" for field, reason in errors)
        super().__init__(fields or detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
