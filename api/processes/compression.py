"""Compression of JSON answers, for clients that take gzip.

An answer is compressed if it is long enough to gain, and its tag, if it has one, is weak: a strong one names
these very bytes. No other origin learns a secret from the length of answers, as it cannot have any made for it:
the session's cookie is SameSite.
"""

import gzip
from typing import Final

import trio
from quart import Response, request
from quart.wrappers.response import DataBody

MIN_BYTES: Final = 1_024
LEVEL: Final = 5
MAX_INLINE_BYTES: Final = 65_536  # longer ones take milliseconds, in a thread


async def compress(response: Response) -> Response:
    """Compress the body of a JSON response in memory where the client takes it so."""
    if response.content_type is None or not response.content_type.startswith("application/json"):
        return response
    response.vary.add("Accept-Encoding")
    if not _may_be_compressed(response):
        return response
    body = await response.get_data(as_text=False)
    if len(body) < MIN_BYTES:
        return response
    if len(body) > MAX_INLINE_BYTES:
        compressed = await trio.to_thread.run_sync(_gzip, body)
    else:
        compressed = _gzip(body)
    response.set_data(compressed)
    response.headers["Content-Encoding"] = "gzip"
    return response


def _may_be_compressed(response: Response) -> bool:
    return (
        request.accept_encodings.quality("gzip") > 0
        and request.method != "HEAD"
        and "Content-Encoding" not in response.headers
        and response.headers.get("ETag", "W/").startswith("W/")
        and isinstance(response.response, DataBody)
    )


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0)
