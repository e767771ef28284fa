"""Answers to requests for files of assets: from memory, or once they are read from their store."""

from functools import lru_cache
from typing import Final, NamedTuple

from actors.assets.served_files import EdgeAssetFiles
from api.visits.connection import VisitorConnection
from api.visits.pages.elsewhere import ANYWHERE
from api.visits.responses import response_head, response_tail
from api.visits.side_answers import SideAnswers
from engine.assets.address import AssetFile
from engine.assets.byte_range import UnsatisfiableRangeError, byte_range
from engine.visits.content_coding import names_tag
from engine.visits.request import VisitRequest

_FIELDS: Final = (
    b"Cache-Control: public, max-age=31536000, immutable\r\nContent-Security-Policy: default-src 'none'\r\n"
    b"Accept-Ranges: bytes\r\n" + ANYWHERE
)
_KNOWN_HEADS: Final = 1_024


class AssetHeads(NamedTuple):
    """The heads of a file's usual responses, after status line and date: with the whole file behind it, and for
    a visitor who has the file already. `tag` is its entity tag."""

    whole: bytes
    not_modified: bytes
    tag: bytes


class AssetAnswers(SideAnswers):
    """The part of a visitor server that answers for files of assets. `asset_files` must be set before it
    serves."""

    asset_files: EdgeAssetFiles

    def _answer_asset(
        self, connection: VisitorConnection, request: VisitRequest, file: AssetFile
    ) -> None:
        """Send a file, or let the visitor wait until it is read."""
        close = not request.keep_alive
        if self.asset_files.is_known(file):
            content = self.asset_files.content(file)
            if content is None:
                self._refuse(connection, 404, request.head_only, close=close)
                return
            status, tail = asset_tail(file, content, request)
            self._respond(connection, status, tail, request.head_only, close=close)
        else:
            client = connection.client or self._resolve_client(connection, request)
            status = self.asset_files.wait(connection, file, client)
            if status:
                self._refuse(connection, status, request.head_only, close=close)
            else:
                self._let_wait(connection, request, waits=True)


def asset_tail(file: AssetFile, content: bytes, request: VisitRequest) -> tuple[int, bytes]:
    """Return the status of a response, and the response after its status line and date."""
    heads = asset_heads(file, len(content))
    if request.known_tags and names_tag(request.known_tags, heads.tag):
        return 304, heads.not_modified
    if not request.byte_range:
        return 200, heads.whole + content
    fields = _fields(heads.tag) + _type(file)
    try:
        part = byte_range(request.byte_range, len(content))
    except UnsatisfiableRangeError:
        return 416, response_tail(b"Content-Range: bytes */%d\r\n" % len(content) + _FIELDS, b"")
    if part is None:
        return 200, heads.whole + content
    fields += b"Content-Range: bytes %d-%d/%d\r\n" % (part.start, part.end - 1, len(content))
    return 206, response_tail(fields, content[part.start : part.end])


@lru_cache(_KNOWN_HEADS)
def asset_heads(file: AssetFile, size: int) -> AssetHeads:
    """Return the heads of the responses of a file of `size` bytes."""
    tag = f"{file.hash}-{file.name}".encode("ascii")
    fields = _fields(tag)
    whole = response_head(fields + _type(file), size)
    return AssetHeads(whole, fields + b"\r\n", tag)


def _fields(tag: bytes) -> bytes:
    return b'ETag: "%b"\r\n' % tag + _FIELDS


def _type(file: AssetFile) -> bytes:
    return b"Content-Type: %b\r\n" % file.content_type.encode("ascii")
