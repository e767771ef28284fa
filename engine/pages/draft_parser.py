"""Draft parser: a request's JSON as structs, with an error for each field that is not of its type.

A list of blocks is parsed block by block and field by field, so that one response names every bad field by its
path, such as `blocks[3].title`. A field that is bad or missing gets its stand-in or default, so that the rules
can be checked for the others.
"""

import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec

from engine.common.drafts import stand_in_of
from engine.common.errors import FieldError
from engine.common.text_rules import printable

Parsed = TypeVar("Parsed", bound=msgspec.Struct)

MAX_ITEMS: Final = 1_000  # of one list: more are not even looked at
MAX_NAME_CHARS: Final = 64
MAX_ERRORS: Final = 200
MAX_YEAR: Final = 9998


class DraftParser:
    """Parses one request. `errors` grows, up to a bound; `bad` has the paths of fields with a stand-in."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.bad: set[str] = set()

    def struct(self, value: Any, type_: type[Parsed], path: str) -> Parsed | None:
        """Return `value` as the struct. None if it is no object, or if a field without stand-in is bad."""
        if not isinstance(value, Mapping):
            self._refuse(path or "body", "must be a JSON object")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
        tag_field = type_.__struct_config__.tag_field
        for name in value:
            if name not in fields and name != tag_field:
                self._refuse(
                    _joined(path, printable(name)[:MAX_NAME_CHARS]),
                    f"is not a field here; the fields are {', '.join(fields)}",
                )
        values: dict[str, Any] = {}
        for name, field in fields.items():
            field_path = _joined(path, name)
            if name in value:
                parsed = self._value(value[name], field.type, field_path)
            elif field.required:
                parsed = self._refuse(field_path, "is required")
            else:
                continue
            if parsed is _BAD:
                self.bad.add(field_path)
                stand_in = stand_in_of(field.type)
                if stand_in is None and field.required:
                    return None
                if stand_in is None:
                    continue
                parsed = stand_in.value
            values[field.name] = parsed
        return type_(**values)

    def _value(self, value: Any, type_: Any, path: str) -> Any:
        """Return `value` as the type, or _BAD."""
        plain = get_args(type_)[0] if get_origin(type_) is Annotated else type_
        if get_origin(plain) is tuple:
            return self._items(value, get_args(plain)[0], path)
        if _is_struct(plain):
            parsed = self.struct(value, plain, path)
            return _BAD if parsed is None else parsed
        if get_origin(plain) in (types.UnionType, typing.Union) and all(
            map(_is_struct, get_args(plain))
        ):
            return self._tagged(value, get_args(plain), path)
        return self._scalar(value, type_, path)

    def _items(self, value: Any, type_: Any, path: str) -> Any:
        if not isinstance(value, list | tuple):
            return self._refuse(path, "must be a list")
        if len(value) > MAX_ITEMS:
            return self._refuse(path, f"must have at most {MAX_ITEMS:,} items")
        stand_in, parsed = stand_in_of(type_), []
        for number, item in enumerate(value):
            item_path = f"{path}[{number}]"
            parsed_item = self._value(item, type_, item_path)
            if parsed_item is _BAD:
                self.bad.add(item_path)
                if stand_in is None:
                    return _BAD
                parsed_item = stand_in.value
            parsed.append(parsed_item)
        return tuple(parsed)

    def _tagged(self, value: Any, types_: tuple[type[msgspec.Struct], ...], path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._refuse(path, "must be a JSON object")
        by_tag = {struct_type.__struct_config__.tag: struct_type for struct_type in types_}
        tag_field = types_[0].__struct_config__.tag_field or "kind"
        kind = value.get(tag_field)
        struct_type = by_tag.get(kind) if isinstance(kind, str) else None
        if struct_type is None:
            tags = ", ".join(str(tag) for tag in by_tag)
            return self._refuse(_joined(path, tag_field), f"must be one of {tags}")
        parsed = self.struct(value, struct_type, path)
        return _BAD if parsed is None else parsed

    def _scalar(self, value: Any, type_: Any, path: str) -> Any:
        try:
            parsed = msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            text = str(error)
            return self._refuse(path, text[:1].lower() + text[1:])
        if isinstance(parsed, datetime):
            if parsed.tzinfo is None:
                return self._refuse(path, "must have an offset, such as 2026-05-01T10:00:00Z")
            if not 2 <= parsed.year <= MAX_YEAR:
                return self._refuse(path, f"must be within the years 2 to {MAX_YEAR}")
        return parsed

    def _refuse(self, path: str, reason: str) -> Any:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(FieldError(path, reason))
        return _BAD


_BAD: Final = object()


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)
