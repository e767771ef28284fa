"""A profile's page as visitors get it: with its policy, compressed, or as a word that they have it already."""

import hashlib
import zlib
from typing import Final

import brotli

from actors.visits.responses import PageTails
from api.visits.responses import response_tail
from engine.pages.files import PageFile
from engine.visits.content_coding import BROTLI, GZIP, IDENTITY

_FIELDS: Final = b"Vary: Accept-Encoding, Accept-Language\r\nCache-Control: private, no-cache\r\n"
# Brotli's highest quality takes ten times as long as this one, for a twentieth less.
_BROTLI_QUALITY: Final = 5
_GZIP_LEVEL: Final = 6
_GZIP_WINDOW: Final = 31  # of the largest size, with gzip's frame


def page_tails(html: bytes, policy: bytes) -> PageTails:
    """Return a page after its status line and date. `policy` is its Content-Security-Policy.

    The tag is weak, as it stands for the page in every coding.
    """
    tag = hashlib.blake2b(html, digest_size=12).hexdigest().encode()
    shared = b'ETag: W/"%b"\r\n' % tag + _FIELDS
    fields = (
        shared
        + b"Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: "
        + policy
        + b"\r\n"
    )
    by_coding = {
        IDENTITY: response_tail(fields, html),
        GZIP: response_tail(b"Content-Encoding: gzip\r\n" + fields, _gzipped(html)),
        BROTLI: response_tail(
            b"Content-Encoding: br\r\n" + fields, brotli.compress(html, quality=_BROTLI_QUALITY)
        ),
    }
    not_modified = shared + b"\r\n"
    size = sum(map(len, by_coding.values())) + len(not_modified)
    return PageTails(by_coding, not_modified, tag, size)


def _gzipped(html: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return compressor.compress(html) + compressor.flush()


def file_tail(file: PageFile, name: str) -> bytes:
    """Return a file of a page after its status line and date."""
    fields = (
        b"Content-Type: %b\r\nCache-Control: private, no-cache\r\n" % file.content_type.encode()
    )
    fields += b"Content-Security-Policy: default-src 'none'\r\n"
    if file.is_download:
        fields += b'Content-Disposition: attachment; filename="%b"\r\n' % name.encode("ascii")
    return response_tail(fields, file.body)
