"""`excel=1` of exports: a CSV that begins with a byte order mark, by which Excel knows UTF-8."""

from typing import Final, Literal

from api.http.routes import Parameter
from engine.common.errors import FieldError

NAME: Final = "excel"
EXCEL: Final = Parameter(
    NAME,
    "`1`: a CSV begins with a byte order mark, by which Excel knows UTF-8.",
    Literal["1"],
)


def is_for_excel(value: str | None, errors: list[FieldError], format_: str | None = "csv") -> bool:
    """Return whether the parameter asks for a file for Excel. Adds its error, if it has one, to `errors`."""
    if value is None:
        return False
    if value != "1":
        errors.append(FieldError(NAME, "must be 1, once, or be left out"))
    elif format_ == "ndjson":
        errors.append(FieldError(NAME, "must be left out: it is for csv"))
    return True
