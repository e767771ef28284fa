"""Packed clicks: clicks of one profile as columns of bytes, as deltas and segments keep them.

| column | holds |
|---|---|
| `quarters` | quarters of an hour since the piece's first UTC day, ascending, as runs |
| `links` | links; 0: the page |
| a column of each of VALUE_COLUMNS | values of one or more dimensions that follow from one text |
| `visitors` | pseudonyms, or numbers of visitors; 0: not known |
| `pseudonyms` | the pseudonyms of these numbers, until raw clicks are deleted |

A column of values is a dictionary: the different values, then for each click the number of its value, in the
fewest bytes. So a column in which all clicks agree takes no byte per click. Only counted clicks, bots and own
events are packed (how_counted() in engine/clicks/day_rows.py).
"""

import zlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from struct import Struct
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from engine.clicks.dimension import OTHER, Dimension

Numbers: TypeAlias = npt.NDArray[np.int64]
# A column of numbers. Lists are faster for few clicks, and a fold has a few of each of many profiles.
Codes: TypeAlias = Sequence[int] | Numbers

# Values of the dimensions of one column are joined by VALUE_MARK, those of a dictionary by TEXT_MARK: no value
# holds either of them.
VALUE_MARK: Final = "\x1f"
TEXT_MARK: Final = "\x1e"

VALUE_COLUMNS: Final[Mapping[str, tuple[Dimension, ...]]] = MappingProxyType(
    {
        "agents": (Dimension.BROWSER, Dimension.OS, Dimension.DEVICE),
        "referrers": (Dimension.REFERRER,),
        "sources": (Dimension.SOURCE,),
        "languages": (Dimension.LANGUAGE,),
        "places": (Dimension.CONTINENT, Dimension.COUNTRY, Dimension.REGION, Dimension.CITY),
        "campaigns": (
            Dimension.UTM_SOURCE, Dimension.UTM_MEDIUM, Dimension.UTM_CAMPAIGN, Dimension.UTM_TERM,
            Dimension.UTM_CONTENT, Dimension.DOMAIN,
        ),
        "kinds": (Dimension.TRIGGER, Dimension.KIND),  # and COUNTED_AS behind them
        "variants": (Dimension.VARIANT,),  # any number of values
        "events": (Dimension.EVENT, Dimension.PROPERTY),  # one, and any number of values
    }
)  # fmt: skip
COLUMN_OF: Final[Mapping[Dimension, str]] = MappingProxyType(
    {dimension: name for name, dimensions in VALUE_COLUMNS.items() for dimension in dimensions}
)
COUNTED_AS: Final = ("click", "view", "bot", "event")  # by number (engine/clicks/day_rows.py)
MAX_TEXTS: Final = 50_000  # of one column; further ones are OTHER
COMPRESSED_FROM: Final = 256  # bytes: below, compressing saves nothing

_SIZE: Final = Struct("<I")
_TEXT_COUNT: Final = Struct("<H")
_ONE_TEXT: Final = _TEXT_COUNT.pack(1)
_ONE_QUARTER: Final = Struct("<HH")
_ONE_LINK: Final = Struct("<Iq")
_NUMBERED, _PSEUDONYMS, _UNKNOWN = 1, 0, 2  # the first byte of `visitors`


class PackedClicks(NamedTuple):
    """Packed clicks. A column that was not read is None."""

    clicks: int
    quarters: bytes
    links: bytes | None
    texts: Mapping[str, bytes]  # by the names of VALUE_COLUMNS
    visitors: bytes | None
    pseudonyms: bytes | None = None


# ---- one piece as one value: a delta -------------------------------------------------------------------


def encode(packed: PackedClicks, compressed_from: int = COMPRESSED_FROM) -> bytes:
    """Return packed clicks as one value, compressed where that saves bytes, from so many bytes on."""
    columns = [packed.quarters, packed.links, *(packed.texts[name] for name in VALUE_COLUMNS)]
    return compress(
        msgspec.msgpack.encode((packed.clicks, *columns, packed.visitors, packed.pseudonyms)),
        compressed_from,
    )


def decode(data: bytes) -> PackedClicks:
    """Return the packed clicks of encode()."""
    clicks, quarters, links, *texts, visitors, pseudonyms = msgspec.msgpack.decode(decompress(data))
    return PackedClicks(
        clicks, quarters, links, dict(zip(VALUE_COLUMNS, texts, strict=True)), visitors, pseudonyms
    )


def compress(data: bytes, compressed_from: int = COMPRESSED_FROM) -> bytes:
    """Return the bytes behind a mark that says whether they are compressed."""
    if len(data) >= compressed_from:
        compressed = zlib.compress(data, 1)
        if len(compressed) < len(data):
            return b"z" + compressed
    return b"r" + data


def decompress(data: bytes) -> bytes:
    return zlib.decompress(memoryview(data)[1:]) if data[:1] == b"z" else data[1:]


# ---- columns -------------------------------------------------------------------------------------------


def pack_quarters(quarters: Codes) -> bytes:
    """Pack ascending numbers of quarters, each below 65,536."""
    counts = Counter(_listed(quarters))
    packed = _TEXT_COUNT.pack(len(counts)) + array("H", counts).tobytes()
    return packed if len(counts) == 1 else packed + array("I", counts.values()).tobytes()


def unpack_quarters(data: bytes, clicks: int) -> Numbers:
    (count,) = _TEXT_COUNT.unpack_from(data)
    values = np.frombuffer(data, "<u2", count, 2).astype(np.int64)
    if count == 1:
        return np.repeat(values, clicks)
    return np.repeat(values, np.frombuffer(data, "<u4", count, 2 + 2 * count))


def pack_links(links: Sequence[int], codes: Codes) -> bytes:
    """Pack a column of links: the different ones, and for each click the number of its link."""
    return _SIZE.pack(len(links)) + array("q", links).tobytes() + _pack_codes(codes, len(links))


def unpack_links(packed: PackedClicks) -> tuple[Numbers, Numbers]:
    """Return the different links, and for each click the number of its link."""
    data = packed.links
    assert data is not None, "the links were not read"
    (count,) = _SIZE.unpack_from(data)
    links = np.frombuffer(data, "<i8", count, 4).astype(np.int64)
    return links, _unpack_codes(data, 4 + 8 * count, count, packed.clicks)


def pack_texts(texts: Sequence[str], codes: Codes) -> bytes:
    """Pack a column of values: the different ones, and for each click the number of its value."""
    if len(texts) > MAX_TEXTS:
        marks = texts[0].count(VALUE_MARK)
        texts = [*texts[:MAX_TEXTS], VALUE_MARK.join([OTHER] * (marks + 1))]
        codes = [min(code, MAX_TEXTS) for code in _listed(codes)]
    joined = TEXT_MARK.join(texts).encode()
    return _TEXT_COUNT.pack(len(texts)) + joined + _pack_codes(codes, len(texts))


def unpack_texts(data: bytes, clicks: int) -> tuple[list[str], Numbers]:
    """Return the different values, and for each click the number of its value."""
    (count,) = _TEXT_COUNT.unpack_from(data)
    end = len(data) - clicks * _width(count)
    return data[2:end].decode().split(TEXT_MARK), _unpack_codes(data, end, count, clicks)


# ---- columns of one click: the same bytes, without the codes that one value does not need -----------------


def pack_one_quarter(quarter: int) -> bytes:
    """Pack the quarter of one click, as pack_quarters() does."""
    return _ONE_QUARTER.pack(1, quarter)


def pack_one_link(link_id: int) -> bytes:
    """Pack the link of one click, as pack_links() does."""
    return _ONE_LINK.pack(1, link_id)


def pack_one_text(text: str) -> bytes:
    """Pack the value of one click, as pack_texts() does."""
    return _ONE_TEXT + text.encode()


# ---- visitors --------------------------------------------------------------------------------------------


def pack_pseudonyms(pseudonyms: bytes) -> bytes:
    """Pack a column of visitors as their pseudonyms, 8 bytes each."""
    return bytes((_PSEUDONYMS,)) + pseudonyms if any(pseudonyms) else bytes((_UNKNOWN,))


def pack_visitors(visitors: Numbers) -> tuple[bytes, bytes]:
    """Return a column of visitors as numbers from 1, 0: not known, and the column of their pseudonyms."""
    pseudonyms = np.unique(visitors[visitors != 0])
    numbers = np.searchsorted(pseudonyms, visitors) + 1
    numbers[visitors == 0] = 0
    codes = _pack_codes(numbers, len(pseudonyms) + 1)
    return bytes((_NUMBERED,)) + _SIZE.pack(len(pseudonyms)) + codes, pseudonyms.astype(
        ">i8"
    ).tobytes()


def unpack_visitors(packed: PackedClicks, piece: int) -> Numbers:
    """Return pseudonyms, 0: not known.

    Where pseudonyms are deleted, it returns numbers that tell the visitors of a piece apart; `piece` (from 1)
    keeps those of several pieces apart.
    """
    data, clicks = _visitors(packed), packed.clicks
    if data[0] == _UNKNOWN:
        return np.zeros(clicks, np.int64)
    if data[0] == _PSEUDONYMS:
        return np.frombuffer(data, ">i8", clicks, 1).astype(np.int64)
    _, numbers = _numbered_visitors(data, clicks)
    if packed.pseudonyms is not None:
        return np.append(0, np.frombuffer(packed.pseudonyms, ">i8").astype(np.int64))[numbers]
    return np.where(numbers, piece << 32 | numbers, 0)


def unpack_visitor_numbers(packed: PackedClicks) -> tuple[int, Numbers] | None:
    """Return how many visitors a piece has, and for each click the number of its visitor from 1, 0: not known.

    None: they are pseudonyms without numbers.
    """
    data = _visitors(packed)
    if data[0] == _UNKNOWN:
        return 0, np.zeros(packed.clicks, np.int64)
    return None if data[0] == _PSEUDONYMS else _numbered_visitors(data, packed.clicks)


def _numbered_visitors(data: bytes, clicks: int) -> tuple[int, Numbers]:
    (count,) = _SIZE.unpack_from(data, 1)
    return count, _unpack_codes(data, 1 + _SIZE.size, count + 1, clicks)


def _visitors(packed: PackedClicks) -> bytes:
    assert packed.visitors is not None, "the visitors were not read"
    return packed.visitors


def has_pseudonyms(packed: PackedClicks) -> bool:
    """Return whether the visitors are pseudonyms, or numbers of pseudonyms that are there."""
    return (
        packed.pseudonyms is not None or packed.visitors is None or packed.visitors[0] != _NUMBERED
    )


def _width(count: int) -> int:
    """Return the bytes of a number below `count`."""
    if count <= 1:
        return 0
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


_DTYPES: Final[Mapping[int, str]] = MappingProxyType({1: "u1", 2: "<u2", 4: "<u4"})
_ARRAYS: Final[Mapping[int, str]] = MappingProxyType({1: "B", 2: "H", 4: "I"})


def _pack_codes(codes: Codes, count: int) -> bytes:
    width = _width(count)
    if not width:
        return b""
    if isinstance(codes, np.ndarray):
        return codes.astype(_DTYPES[width]).tobytes()
    return bytes(codes) if width == 1 else array(_ARRAYS[width], codes).tobytes()


def _listed(codes: Codes) -> Sequence[int]:
    return codes.tolist() if isinstance(codes, np.ndarray) else codes


def _unpack_codes(data: bytes, start: int, count: int, clicks: int) -> Any:
    width = _width(count)
    if not width:
        return np.zeros(clicks, np.int64)
    return np.frombuffer(data, _DTYPES[width], clicks, start).astype(np.int64)
