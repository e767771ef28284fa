"""Keys of JSON objects: each may stand once. Two programs that read a key given twice may read two values."""

import json
from typing import Any, Final


class _DuplicateKeyError(Exception):
    """A key that an object has twice."""


def duplicate_key(text: bytes | str) -> str | None:
    """Return the first key that an object within a JSON text has twice, at any depth, or None.

    `text` must be JSON. Raises RecursionError if it is nested too deeply.
    """
    try:
        _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except _DuplicateKeyError as error:
        return str(error)
    return None


def _nothing(_: str) -> None:
    """Return no number: none is needed, and one of many digits would be costly."""


def _require_unique(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_require_unique, parse_int=_nothing, parse_float=_nothing
)
