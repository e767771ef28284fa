"""Content codings of pages: which one a browser accepts, and whether it has a page already."""

import re
from typing import Final

BROTLI: Final = b"br"
GZIP: Final = b"gzip"
IDENTITY: Final = b""

_WEIGHT: Final = re.compile(
    rb"[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE
)
_TAG: Final = re.compile(rb'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_known_values: Final[dict[bytes, bytes]] = {}
_MAX_KNOWN: Final = 256


def coding_of(accept_encoding: bytes) -> bytes:
    """Return the coding to answer with, by the value of Accept-Encoding: brotli, else gzip, else none."""
    coding = _known_values.get(accept_encoding)
    if coding is None:
        if len(_known_values) >= _MAX_KNOWN:
            _known_values.clear()
        coding = _known_values[accept_encoding] = _read(accept_encoding)
    return coding


def _read(accept_encoding: bytes) -> bytes:
    weights: dict[bytes, float] = {}
    for item in accept_encoding.split(b","):
        name, semicolon, _ = item.partition(b";")
        weight = 1.0
        if semicolon:
            match = _WEIGHT.fullmatch(item[len(name) :])
            if match is None:
                continue  # malformed: as if it were not there
            weight = float(match[1])
        weights[name.strip(b" \t").lower()] = weight
    others = weights.get(b"*", 0.0)
    for coding in (BROTLI, GZIP):
        if weights.get(coding, others) > 0:
            return coding
    return IDENTITY


def names_tag(if_none_match: bytes, tag: bytes) -> bool:
    """Return whether the value of If-None-Match names an entity tag (without quotes), weak or strong."""
    return if_none_match.strip(b" \t") == b"*" or tag in _TAG.findall(if_none_match)
