"""Forms that shops post (`application/x-www-form-urlencoded`), read as JSON would be."""

import re
from itertools import pairwise
from typing import Any, Final
from urllib.parse import parse_qsl

from engine.common.errors import FieldError, InvalidError

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 1_000
MAX_DEPTH: Final = 6
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEY: Final = re.compile(r"\[([^\[\]]*)\]")


def parse_form(body: bytes) -> dict[str, Any]:
    """Return the fields of a form. `a[b]=1` is the field `b` of an object `a`, `a[]=1` an element of a list.

    Of a field that is given twice the last value counts. Raises InvalidError for more than MAX_FIELDS fields.
    """
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise InvalidError([FieldError("body", f"must have at most {MAX_FIELDS} fields")]) from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        match = _NAME.fullmatch(name)
        keys = [name] if match is None else [match[1], *_KEY.findall(match[2])]
        _put(fields, keys if len(keys) <= MAX_DEPTH else [name], value)
    return fields


def _put(fields: dict[str, Any], keys: list[str], value: str) -> None:
    """Set the value at `keys`, with objects and lists on the way; what contradicts earlier fields is left."""
    target: Any = fields
    for key, next_key in pairwise(keys):
        empty: Any = [] if next_key == "" else {}
        if isinstance(target, dict):
            target = target.setdefault(key, empty)
        elif isinstance(target, list) and key == "":
            target.append(empty)
            target = target[-1]
        else:
            return
    if isinstance(target, dict):
        target[keys[-1]] = value
    elif isinstance(target, list):
        target.append(value)
