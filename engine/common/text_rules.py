"""Rules for one line of free text, such as a title: what stands there is what a reader sees.

Refused are control characters, characters that change the direction of others (a title with U+202E reads
backwards), and invisible ones, which make two texts look alike or carry words that only programs read. Joiners
(U+200C, U+200D) and variation selectors stay, as Persian, Indic scripts and emoji need them, and so do the tags
of a flag's emoji.
"""

import re
from typing import Any, Final

from engine.common.errors import FieldError

# Lone surrogates too: no encoding can carry them.
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
# Unicode's Bidi_Control, line ends, and Default_Ignorable_Code_Point without joiners and variation selectors.
_HIDDEN_BMP: Final = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ufeff\uffa0\ufff0-\ufffb"
)
_HIDDEN: Final = re.compile(
    rf"[{_HIDDEN_BMP}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
# The flags of England, Scotland, Wales and others: a black flag, an ISO 3166-2 code in tags, and the end tag.
_TAGGED_FLAG: Final = re.compile(
    "\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{3,6}\U000e007f"
)


def text_schema(max_chars: int) -> dict[str, Any]:
    """Return the JSON Schema of texts without text_errors()."""
    return {"maxLength": max_chars, "pattern": rf"^[^\x00-\x1f\x7f-\x9f{_HIDDEN_BMP}]*$"}


def text_errors(text: str, field: str, max_chars: int) -> list[FieldError]:
    """Return the errors of a line of free text: too long, or with characters that a reader does not see."""
    errors = []
    if len(text) > max_chars:
        errors.append(FieldError(field, f"must have at most {max_chars} characters"))
    if _CONTROL.search(text):
        errors.append(FieldError(field, "must not contain control characters"))
    if (hidden := hidden_character(text)) is not None:
        errors.append(FieldError(field, hidden_reason(hidden)))
    return errors


def hidden_character(text: str) -> str | None:
    """Return the first character that is invisible or changes the direction of others, or None."""
    if text.isascii():
        return None
    match = _HIDDEN.search(_TAGGED_FLAG.sub("", text))
    return match[0] if match else None


def hidden_reason(character: str) -> str:
    """Return the reason of a FieldError about a hidden character."""
    return f"must not contain U+{ord(character):04X}, which is invisible or changes the direction of text"


def printable(text: str) -> str:
    """Return the text without control and other unprintable characters; white space becomes a blank."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " if one.isspace() else "" for one in text)
