"""Named queries: SQL lives in .sql files, each beside the module that runs its queries.

A query starts with `-- name: its_name`, the next comment line says its purpose, and it runs to the
next name or the end of the file. Values are only ever parameters: `$1`, `$2`, …, or by name (`:link_id`), which
`bind` numbers.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

_NAME: Final = re.compile(r"^-- name: *(\w+)\n", re.MULTILINE)
# Not the type in `value::text`.
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z]\w*)")


def load(file: str) -> Mapping[str, str]:
    """Return the queries of storage/`file`.sql by name, as of load("links/profiles").

    Raises ValueError for a file without names or with a name twice.
    """
    return queries((resources.files("storage") / f"{file}.sql").read_text("utf-8"))


def queries(text: str) -> Mapping[str, str]:
    """Return the queries of a file's text by name. Raises ValueError as load()."""
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"a file of queries must have names, each once: {names}")
    return MappingProxyType(
        {name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)}
    )


def bind(query: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the query with its named parameters numbered, and the values in that order.

    Raises KeyError for a parameter without a value. Values that the query does not use are left out.
    """
    numbered, names = _numbered(query)
    return numbered, [values[name] for name in names]


@lru_cache(256)
def _numbered(query: str) -> tuple[str, tuple[str, ...]]:
    names = tuple(dict.fromkeys(_PARAMETER.findall(query)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _PARAMETER.sub(lambda match: numbers[match[1]], query), names
