"""Entity tags: an object's version, in quotes. `If-None-Match` saves a read, `If-Match` guards a
write. Where an answer also shows what changes without the object (what GitHub says of a link), its tag has a
second part after a point, which guards no write.

A write without `If-Match` that collides with another is read and merged again, `ATTEMPTS` times:
the caller named fields, not a whole object. With `If-Match`, a collision is the caller's to see.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from quart import Response, request

from api.http.bodies import empty_response, json_response
from engine.common.errors import LostUpdateError, UnavailableError

ATTEMPTS: Final = 8
_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


class Versioned(Protocol):
    @property
    def version(self) -> int: ...


Stored = TypeVar("Stored", bound=Versioned)
Result = TypeVar("Result")


def etag(version: int, suffix: str = "") -> str:
    return f'"{version}.{suffix}"' if suffix else f'"{version}"'


def read_response(value: Any, version: int, suffix: str = "") -> Response:
    """The object, or 304 when the caller has this version, and its suffix."""
    headers = {"ETag": etag(version, suffix)}
    header = request.headers.get("If-None-Match")
    if header is not None and _matches(header, headers["ETag"].strip('"')):
        return empty_response(304, headers)
    return json_response(value, headers=headers)


def tag_matches(tag: str) -> bool:
    """Whether the caller has this answer, of which `tag` is no version but a hash."""
    header = request.headers.get("If-None-Match")
    return header is not None and _matches(header, tag)


async def guarded_write(
    read: Callable[[], Awaitable[Stored]],
    write: Callable[[Stored, int], Awaitable[Result]],
) -> Result:
    """Read, see that `If-Match` holds, then `write(stored, if_version)`.

    Raises LostUpdateError when it does not hold, and UnavailableError when others keep winning.
    """
    header = request.headers.get("If-Match")
    for _ in range(ATTEMPTS):
        stored = await read()
        if header is not None and not _guards(header, stored.version):
            raise LostUpdateError(stored.version)
        try:
            return await write(stored, stored.version)
        except LostUpdateError:
            if header is not None and header.strip() != "*":
                raise
    raise UnavailableError("too many changes of this object at once; retry")


async def guarded_delete(
    read: Callable[[], Awaitable[Stored]], delete: Callable[[int | None], Awaitable[Result]]
) -> Result:
    """As `guarded_write`; without `If-Match` there is nothing to merge, so nothing is read."""
    if "If-Match" not in request.headers:
        return await delete(None)

    async def write(_: Stored, if_version: int) -> Result:
        return await delete(if_version)

    return await guarded_write(read, write)


def _matches(header: str, tag: str) -> bool:
    """Whether a list of tags has this one, weak or strong. What is malformed matches nothing."""
    return header.strip() == "*" or any(found == tag for _, found in _TAG.findall(header))


def _guards(header: str, version: int) -> bool:
    """Whether a list has a strong tag of this version."""
    return header.strip() == "*" or any(
        not is_weak and tag.partition(".")[0] == str(version)
        for is_weak, tag in _TAG.findall(header)
    )
