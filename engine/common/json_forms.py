"""Forms of ids and times in everything that callers read: JSON, NDJSON, CSV, the command line.

An id is a decimal string, because JavaScript's numbers cannot hold it: a field is an id if it is named `id`,
`*_id` or `*_by`. A time is RFC 3339, and UTC is written `Z`. Structs of responses say so by their types (`str`
and `datetime`); this module is for values that have no such struct. In SQL, json_expression() holds the same
rule (storage/migrations/0001_roles_and_functions.sql).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


def is_id_name(name: str) -> bool:
    """Return whether a field of this name holds an id."""
    return name == "id" or name.endswith(("_id", "_by"))


def with_text_ids(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with their ids as decimal strings. Objects within a field stay as they are."""
    return {
        name: str(value) if type(value) is int and is_id_name(name) else value
        for name, value in fields.items()
    }


def id_text(id_: int | None) -> str:
    """Return an id as text, empty for None."""
    return "" if id_ is None else str(id_)


def time_text(time: datetime) -> str:
    """Return an aware time as RFC 3339, as JSON has it: `2026-05-01T10:00:00Z`, or with its zone's offset."""
    text: str = msgspec.to_builtins(time)
    return text
