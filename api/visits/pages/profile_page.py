"""A profile's page as visitors get it: with its policy, compressed, or as a word that they have it already."""

import base64
import hashlib
import re
import zlib
from typing import Final

import brotli

from actors.visits.responses import PageTails
from api.visits.responses import html as html_of
from api.visits.responses import response_tail
from engine.visits.content_coding import BROTLI, GZIP, IDENTITY

_STYLE: Final = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
# Brotli's highest quality takes ten times as long as this one, for a twentieth less.
_BROTLI_QUALITY: Final = 5
_GZIP_LEVEL: Final = 6
_GZIP_WINDOW: Final = 31  # of the largest size, with gzip's frame


def page_tails(page: tuple[str, str]) -> PageTails:
    """Return a page, (title, body) as HTML, after its status line and date.

    It may apply its own style only, by its hash, and load pictures of this server; a form may be sent here.

    The tag is weak, as it stands for the page in every coding.
    """
    html = html_of(*page)
    tag = hashlib.blake2b(html, digest_size=12).hexdigest().encode()
    shared = b'ETag: W/"%b"\r\nVary: Accept-Encoding\r\nCache-Control: private, no-cache\r\n' % tag
    fields = (
        shared
        + b"Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: "
        + content_security_policy(html)
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


def content_security_policy(html: bytes, frame_ancestors: bytes = b"'none'") -> bytes:
    """Return the policy of a page: its styles by hash, and what else it has a use for."""
    styles = b" ".join(
        b"'sha256-%b'" % base64.b64encode(hashlib.sha256(style).digest())
        for style in _STYLE.findall(html)
    )
    # A picture of an experiment's variant may be of another server.
    pictures = b"'self' https:" if b'<img src="https:' in html else b"'self'"
    form = b"'self'" if b"<form " in html else b"'none'"
    return (
        b"default-src 'none'; style-src %b; img-src %b; base-uri 'none'; form-action %b; frame-ancestors %b"
        % (styles or b"'none'", pictures, form, frame_ancestors)
    )


def _gzipped(html: bytes) -> bytes:
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return compressor.compress(html) + compressor.flush()
