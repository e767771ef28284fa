"""Idempotent creation: a request with an `Idempotency-Key` that is sent again gets the first response.

Stores keep this promise: they write the response in the transaction that creates the object, so a crash can
neither lose nor double it. A response with a secret is written sealed (engine/common/response_seal.py), or not
at all: then the request that is sent again gets 409 with the path of what the first one created.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, Generic, TypeVar

import msgspec

from engine.common.errors import ConflictError, FieldError, InvalidError
from engine.common.response_seal import ResponseSeal

HEADER: Final = "Idempotency-Key"
LOCATION: Final = "Location"
RETENTION: Final = timedelta(hours=24)
_KEY: Final = re.compile(r"[!-~]{1,255}")
T = TypeVar("T")


class StoredResponse(msgspec.Struct, frozen=True):
    """A response as it is sent again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ResponseRow(msgspec.Struct, frozen=True):
    """The row of a response in a store, with the hash of its request.

    If it `holds_secret`, `headers` have the location only, and `body` is the whole response, sealed; it is
    empty if nothing seals it. By `about_profile` the erasure of that profile finds it.
    """

    request_sha256: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes
    holds_secret: bool = False
    about_profile: int | None = None


class IdempotentRequest(msgspec.Struct, Generic[T], frozen=True):
    """A request to create an object once. `respond` makes the response from the object.

    `holds_secret`: the response does, and is stored only under the `seal`. `profile_of` returns the profile
    that a response with a secret is about; None: it is about none.
    """

    key: str
    request_sha256: bytes
    respond: Callable[[T], StoredResponse]
    holds_secret: bool = False
    seal: ResponseSeal | None = None
    profile_of: Callable[[T], int] | None = None

    def row_of(self, result: T) -> ResponseRow:
        """Return the row of the response to the created object."""
        response = self.respond(result)
        sha256, status = self.request_sha256, response.status
        if not self.holds_secret:
            return ResponseRow(sha256, status, response.headers, response.body)
        location = {LOCATION: response.headers[LOCATION]}
        sealed = b""
        if self.seal is not None:
            sealed = self.seal.seal(msgspec.msgpack.encode(response), self.request_sha256)
        profile_id = None if self.profile_of is None else self.profile_of(result)
        return ResponseRow(sha256, status, location, sealed, True, profile_id)

    def error_for_used_key(self, row: ResponseRow) -> Exception:
        """Return the error to raise for a key that has a stored response.

        It is AlreadyAnsweredError; InvalidError if another request used the key; ResponseWithheldError for a
        secret that this request cannot open.
        """
        if row.request_sha256 != self.request_sha256:
            reason = "was already used for another request; choose a new key for each"
            return InvalidError([FieldError(HEADER, reason)])
        if not row.holds_secret:
            return AlreadyAnsweredError(StoredResponse(row.status, row.headers, row.body))
        if row.body and self.seal is not None:
            packed = self.seal.open(row.body, self.request_sha256)
            if packed is not None:
                return AlreadyAnsweredError(msgspec.msgpack.decode(packed, type=StoredResponse))
        return ResponseWithheldError(row.headers[LOCATION], is_kept=bool(row.body))


class AlreadyAnsweredError(Exception):
    """A signal, not an error: the request has been answered before, by this response."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__("this request has been answered before")
        self.response = response


class ResponseWithheldError(ConflictError):
    """A request that has created `location` before, and whose response holds a secret that it cannot have."""

    def __init__(self, location: str, *, is_kept: bool) -> None:
        why = (
            "only the API key or session that sent the request first can have it again"
            if is_kept
            else "it is not kept"
        )
        super().__init__(
            HEADER, f"has created {location} before; its response holds a secret: {why}"
        )
        self.location = location


def validate_key(key: str) -> str:
    """Return the idempotency key. Raises InvalidError unless it is 1 to 255 visible ASCII characters."""
    if _KEY.fullmatch(key) is None:
        raise InvalidError([FieldError(HEADER, "must have 1 to 255 visible ASCII characters")])
    return key


def request_sha256(method: str, path: str, body: bytes, owner_id: int) -> bytes:
    """Return a hash that is equal for two sendings of the same request. `owner_id` owns its key."""
    head = f"{method} {path} {owner_id} ".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + body).digest()
