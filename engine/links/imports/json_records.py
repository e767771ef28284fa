"""Records of JSON: an object a line, or a document with a list of objects somewhere near its top.

A name within an object within a record is joined to the outer one: `meta.validSince`.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engine.common.json_keys import duplicate_key
from engine.links.imports.row_error import Record, RowError
from engine.links.imports.text_file import MAX_LINE_CHARS, Line
from engine.links.preview_card import PreviewCard

MAX_DOCUMENT_CHARS: Final = 64 * 1024 * 1024
_LISTS: Final = ("links", "shortUrls", "urls", "data", "items", "results", "bookmarks")
_MAX_DEPTH: Final = 4


def json_line_records(lines: Iterator[Line]) -> Iterator[Record]:
    """Yield a record for each line that is not blank."""
    for number, text in lines:
        if text is None:
            yield Record(number, {}, f"must not be longer than {MAX_LINE_CHARS} characters")
        elif text.strip():
            try:
                yield Record(number, flat(json_object(text)))
            except RowError as error:
                yield Record(number, {}, str(error))


def document_records(document: Any) -> Iterator[Record]:
    """Yield a record for each object of a document's list; `line` is its number from 1."""
    for number, value in enumerate(list_of(document) or (), 1):
        if isinstance(value, dict):
            yield Record(number, flat(value))
        else:
            yield Record(number, {}, "must be an object")


def list_of(document: Any, depth: int = _MAX_DEPTH) -> list[Any] | None:
    """Return the list of records of a document, or None for one without."""
    if isinstance(document, list):
        return document
    if not isinstance(document, dict) or depth == 0:
        return None
    for name in _LISTS:
        if isinstance(document.get(name), list | dict):
            return list_of(document[name], depth - 1)
    values = list(document.values())
    return values if values and all(isinstance(value, dict) for value in values) else None


def json_object(text: str) -> dict[str, Any]:
    """Return the object in a text. Raises RowError for another value, and for a name that stands twice."""
    try:
        value = msgspec.json.decode(text, type=dict[str, Any])
        key = duplicate_key(text)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise RowError(f"not a row in JSON: {error}") from None
    except RecursionError:
        raise RowError("nested too deeply") from None
    if key is not None:
        raise RowError(f"the key {key[:64]!r} must stand once in its object")
    return value


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return an object's values as texts, by joined names."""
    texts: dict[str, str] = {}
    for name, each in value.items():
        if isinstance(each, dict) and not _is_card(name, each) and prefix.count(".") < _MAX_DEPTH:
            texts.update(flat(each, f"{prefix}{name}."))
        else:
            texts[prefix + name] = _text(each)
    return texts


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ",".join(map(str, value))
    if isinstance(value, list) and all(_named(each) for each in value):
        return ",".join(each["name"] for each in value)
    return msgspec.json.encode(value).decode()


def _is_card(name: str, value: dict[str, Any]) -> bool:
    """Return whether this is the preview card of an export of ours, a column of JSON."""
    return name == "preview" and value.keys() <= set(PreviewCard.__struct_fields__)


def _named(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and "when" not in value
