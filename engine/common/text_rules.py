"""Rules for texts that people enter."""

import re
from typing import Any, Final

from engine.common.errors import FieldError

# Lone surrogates too: no encoding can carry them.
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


def text_schema(max_chars: int) -> dict[str, Any]:
    """What `text_errors` lets pass, as JSON Schema."""
    return {"maxLength": max_chars, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$"}


def text_errors(text: str, field: str, max_chars: int) -> list[FieldError]:
    """What is wrong with a line of free text: too long, or control characters in it."""
    errors = []
    if len(text) > max_chars:
        errors.append(FieldError(field, f"must have at most {max_chars} characters"))
    if _CONTROL.search(text):
        errors.append(FieldError(field, "must not contain control characters"))
    return errors
