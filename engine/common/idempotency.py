"""Creating once: a request that names an `Idempotency-Key` and is sent again gets the first answer.

What `IdempotentRequest` promises is kept by whoever stores: the answer is written in the transaction of what was
created, so a crash can neither lose nor double it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, Generic, TypeVar

import msgspec

from engine.common.errors import FieldError, InvalidError

HEADER: Final = "Idempotency-Key"
RETENTION: Final = timedelta(hours=24)
_KEY: Final = re.compile(r"[!-~]{1,255}")
T = TypeVar("T")


class StoredResponse(msgspec.Struct, frozen=True):
    """An answer as it is sent again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class IdempotentRequest(msgspec.Struct, Generic[T], frozen=True):
    """Create this once for a caller. `respond` makes the answer of what was created; it must not have
    secrets in it, since the answer is stored as it is."""

    key: str
    request_sha256: bytes
    respond: Callable[[T], StoredResponse]


class AlreadyAnsweredError(Exception):
    """Not an error: the request has been answered before, and this was the answer."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__("this request has been answered before")
        self.response = response


def validate_key(key: str) -> str:
    """Raises InvalidError for what cannot be a key."""
    if _KEY.fullmatch(key) is None:
        raise InvalidError([FieldError(HEADER, "must have 1 to 255 visible ASCII characters")])
    return key


def request_sha256(method: str, path: str, body: bytes, user_id: int) -> bytes:
    """What two requests have in common that are the same one."""
    head = f"{method} {path} {user_id} ".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + body).digest()


def error_for_used_key(
    stored: StoredResponse, stored_sha256: bytes, asked_sha256: bytes
) -> AlreadyAnsweredError:
    """What to raise for a key that has been used; raises InvalidError if by another request."""
    if stored_sha256 != asked_sha256:
        reason = "was used for another request; choose a new one for each"
        raise InvalidError([FieldError(HEADER, reason)])
    return AlreadyAnsweredError(stored)
