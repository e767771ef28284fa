"""Rules for one line of free text, such as a title."""

import re
from typing import Any, Final

from engine.common.errors import FieldError

# Lone surrogates too: no encoding can carry them.
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


def text_schema(max_chars: int) -> dict[str, Any]:
    """Return the JSON Schema of texts without text_errors()."""
    return {"maxLength": max_chars, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$"}


def text_errors(text: str, field: str, max_chars: int) -> list[FieldError]:
    """Return the errors of a line of free text: too long, or with control characters."""
    errors = []
    if len(text) > max_chars:
        errors.append(FieldError(field, f"must have at most {max_chars} characters"))
    if _CONTROL.search(text):
        errors.append(FieldError(field, "must not contain control characters"))
    return errors
