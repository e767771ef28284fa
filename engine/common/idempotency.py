"""Idempotent creation: a request with an `Idempotency-Key` that is sent again gets the first response.

Stores keep this promise: they write the response in the transaction that creates the object, so a crash can
neither lose nor double it.
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
    """A response as it is sent again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class IdempotentRequest(msgspec.Struct, Generic[T], frozen=True):
    """A request to create an object once. `respond` makes the response from the object; the response is
    stored as it is, so it must not have secrets in it."""

    key: str
    request_sha256: bytes
    respond: Callable[[T], StoredResponse]


class AlreadyAnsweredError(Exception):
    """A signal, not an error: the request has been answered before, by this response."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__("this request has been answered before")
        self.response = response


def validate_key(key: str) -> str:
    """Return the idempotency key. Raises InvalidError unless it is 1 to 255 visible ASCII characters."""
    if _KEY.fullmatch(key) is None:
        raise InvalidError([FieldError(HEADER, "must have 1 to 255 visible ASCII characters")])
    return key


def request_sha256(method: str, path: str, body: bytes, user_id: int) -> bytes:
    """Return a hash that is equal for two sendings of the same request."""
    head = f"{method} {path} {user_id} ".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + body).digest()


def error_for_used_key(
    stored: StoredResponse, stored_sha256: bytes, new_sha256: bytes
) -> AlreadyAnsweredError:
    """Return the error to raise for a used idempotency key. Raises InvalidError if another request used it.

    The hashes are those of the answered request and of the new one, as request_sha256() makes them.
    """
    if stored_sha256 != new_sha256:
        reason = "was already used for another request; choose a new key for each"
        raise InvalidError([FieldError(HEADER, reason)])
    return AlreadyAnsweredError(stored)
