"""Entity tags: the version of an object, in quotes.

`If-None-Match` saves a read, `If-Match` guards a write. Reads without a version, such as lists, get a weak tag
of their body: it saves no query, but the answer. A response may also show values that change without
the object's version, such as GitHub's facts of a link: then its tag has a suffix after a point, and
`If-Match` ignores the suffix.

A write without `If-Match` names fields, not a whole object: the store merges it into the object under its lock,
so any number of them at once all remain. With `If-Match`, the caller gets a collision as 412.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from quart import Response, request

from api.http.bodies import empty_response, json_response
from api.http.routes import Route, is_tagged_by_body
from engine.common.errors import LostUpdateError

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


class Versioned(Protocol):
    @property
    def version(self) -> int: ...


Result = TypeVar("Result")


def etag(version: int, suffix: str = "") -> str:
    """Return the entity tag of a version, with its suffix if there is one."""
    return f'"{version}.{suffix}"' if suffix else f'"{version}"'


def read_response(value: Any, version: int, suffix: str = "") -> Response:
    """Return the object with its tag, or 304 if the caller has this version and suffix already."""
    headers = {"ETag": etag(version, suffix)}
    header = request.headers.get("If-None-Match")
    if header is not None and names_tag(header, headers["ETag"].strip('"')):
        return empty_response(304, headers)
    return json_response(value, headers=headers)


def tag_bodies(routes: Iterable[Route]) -> Callable[[Response], Awaitable[Response]]:
    """Return an after_request function that tags bodies of JSON, and answers 304 for those that are known."""
    tagged = {route.rule for route in routes if is_tagged_by_body(route)}

    async def tag(response: Response) -> Response:
        rule = request.url_rule
        if response.status_code != 200 or rule is None or rule.rule not in tagged:
            return response
        if request.method not in ("GET", "HEAD") or "ETag" in response.headers:
            return response
        body = await response.get_data(as_text=False)
        opaque = hashlib.blake2b(body, digest_size=12).hexdigest()
        response.headers["ETag"] = f'W/"{opaque}"'
        if not tag_matches(opaque):
            return response
        kept = {n: v for n, v in response.headers.items() if not n.lower().startswith("content-")}
        return empty_response(304, kept)

    return tag


def tag_matches(tag: str) -> bool:
    """Return whether `If-None-Match` names `tag`, an opaque text."""
    header = request.headers.get("If-None-Match")
    return header is not None and names_tag(header, tag)


async def guarded_write(
    read: Callable[[], Awaitable[Versioned]], write: Callable[[int | None], Awaitable[Result]]
) -> Result:
    """Return `write(if_version)`: with the object's version if `If-Match` names it, or None without the header.

    Raises LostUpdateError if `If-Match` names another version only.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return await write(None)
    stored = await read()
    if not _guards(header, stored.version):
        raise LostUpdateError(stored.version)
    return await write(None if header.strip() == "*" else stored.version)


def names_tag(header: str, tag: str) -> bool:
    """Return whether a list of tags contains `tag`, weak or strong. A malformed list matches nothing."""
    return header.strip() == "*" or any(listed == tag for _, listed in _TAG.findall(header))


def _guards(header: str, version: int) -> bool:
    """Return whether a list of tags contains a strong tag of this version."""
    return header.strip() == "*" or any(
        not is_weak and tag.partition(".")[0] == str(version)
        for is_weak, tag in _TAG.findall(header)
    )
