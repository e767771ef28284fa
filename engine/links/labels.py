"""Labels of a link, which members write for themselves: tags, a folder, notes and an id of another system."""

import unicodedata
from typing import Annotated, Final

import msgspec

from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema

MAX_TAGS: Final = 20
MAX_TAG_CHARS: Final = 50
MAX_FOLDER_CHARS: Final = 100
MAX_NOTES_CHARS: Final = 2_000
MAX_EXTERNAL_ID_CHARS: Final = 100

Tags = Annotated[
    tuple[str, ...],
    msgspec.Meta(
        description=f"up to {MAX_TAGS} words to find the link by; case is ignored",
        extra_json_schema={"maxItems": MAX_TAGS, "examples": [["campaign", "print"]]},
    ),
]
Folder = Annotated[
    str,
    msgspec.Meta(
        description="the folder that members keep it in",
        extra_json_schema=text_schema(MAX_FOLDER_CHARS),
    ),
]
Notes = Annotated[
    str,
    msgspec.Meta(
        description="remarks for members, of several lines",
        extra_json_schema={"maxLength": MAX_NOTES_CHARS},
    ),
]
ExternalId = Annotated[
    str,
    msgspec.Meta(
        description="the link's id in another system, unique in its profile; empty: none",
        extra_json_schema=text_schema(MAX_EXTERNAL_ID_CHARS),
    ),
]


def normalised_tags(tags: tuple[str, ...]) -> tuple[tuple[str, ...], list[FieldError]]:
    """Return tags in NFC, without blanks around and without those that differ by case only, and all errors."""
    unique: dict[str, str] = {}
    errors = []
    for number, text in enumerate(tags):
        tag = unicodedata.normalize("NFC", text.strip())
        field = f"tags[{number}]"
        errors += text_errors(tag, field, MAX_TAG_CHARS)
        if not tag or "," in tag:
            errors.append(FieldError(field, "must have at least one character, and no comma"))
        unique.setdefault(tag.casefold(), tag)
    if len(unique) > MAX_TAGS:
        errors.append(FieldError("tags", f"must have at most {MAX_TAGS} tags"))
    return tuple(unique.values()), errors


def label_errors(folder: str, notes: str, external_id: str) -> list[FieldError]:
    """Return the errors of a link's folder, notes and external id."""
    errors = text_errors(folder, "folder", MAX_FOLDER_CHARS)
    errors += text_errors(external_id, "external_id", MAX_EXTERNAL_ID_CHARS)
    if external_id != external_id.strip():
        errors.append(FieldError("external_id", "must not begin or end with a blank"))
    for line in notes.splitlines() or [""]:
        errors += text_errors(line.replace("\t", " "), "notes", MAX_NOTES_CHARS)
    if len(notes) > MAX_NOTES_CHARS:
        errors.append(FieldError("notes", f"must have at most {MAX_NOTES_CHARS} characters"))
    return list(dict.fromkeys(errors))
