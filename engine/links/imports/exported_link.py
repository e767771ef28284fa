"""Rows of exports: a link by the columns of imports, so that an import of the file makes the same link."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from engine.common.export import ExportFormat
from engine.links.imports.columns import COLUMNS
from engine.links.imports.values import text_of_slug
from engine.links.link import Link
from engine.links.options import Utm

# An import takes a hash instead.
EXPORT_COLUMNS: Final = tuple(name for name in COLUMNS if name != "password")


def exported_link(handle: str, link: Link, format_: ExportFormat) -> list[Any]:
    """Return a link's values in the order of EXPORT_COLUMNS. In CSV, lists are texts."""
    utm = link.utm or Utm()
    special: dict[str, Any] = {
        "handle": handle,
        "slug": text_of_slug(link.slug),
        "password_hash": link.password,
        "tags": list(link.tags),
        "rules": list(msgspec.to_builtins(link.rules)),
        "preview": None if link.preview is None else msgspec.to_builtins(link.preview),
        **{f"utm_{name}": getattr(utm, name) for name in Utm.__struct_fields__},
    }
    values = [
        special[name] if name in special else _in_utc(getattr(link, name))
        for name in EXPORT_COLUMNS
    ]
    return [_cell(value) for value in values] if format_ == "csv" else values


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value
