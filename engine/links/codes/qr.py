"""QR codes of links and pages: their look, and the image."""

import io
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import segno

from engine.common.colour import contrast, luminance
from engine.common.errors import FieldError

QR_QUERY: Final = "wp_t=qr"  # in the URL of a code, so that scans are told from other visits
FORMATS: Final = {"svg": "image/svg+xml", "png": "image/png"}
ERROR_LEVELS: Final = ("l", "m", "q", "h")
PARAMETERS: Final = ("format", "size", "dark", "light", "error")
MIN_SIZE: Final = 64
MAX_SIZE: Final = 2_000
DEFAULT_SIZE: Final = 512
# Readers of codes fail below about 3:1, the sooner the worse the light is.
MIN_CONTRAST: Final = 4.0
_COLOUR: Final = re.compile(r"#?([0-9a-f]{6})")
_SIZE: Final = re.compile(r"[0-9]{2,4}")
_MAX_FIELDS: Final = 50


class QrLook(NamedTuple):
    """The look of a code: `size` is the image's side in pixels (a PNG is as large as whole pixels for each
    module allow), colours are six hexadecimal digits, `error` is the level of error correction."""

    format: str = "svg"
    size: int = DEFAULT_SIZE
    dark: str = "000000"
    light: str = "ffffff"
    error: str = "m"


def qr_look(values: Mapping[str, str]) -> tuple[QrLook, list[FieldError]]:
    """Return the look that parameters choose, and all errors of theirs."""
    errors: list[FieldError] = []
    look = QrLook()
    format_ = values.get("format", look.format).lower()
    if format_ not in FORMATS:
        errors.append(FieldError("format", f"must be one of {', '.join(FORMATS)}"))
    error = values.get("error", look.error).lower()
    if error not in ERROR_LEVELS:
        errors.append(FieldError("error", f"must be one of {', '.join(ERROR_LEVELS)}"))
    size = values.get("size", str(look.size))
    if _SIZE.fullmatch(size) is None or not MIN_SIZE <= int(size) <= MAX_SIZE:
        errors.append(FieldError("size", f"must be {MIN_SIZE} to {MAX_SIZE:,} pixels"))
    dark = _colour(values.get("dark", look.dark), "dark", errors)
    light = _colour(values.get("light", look.light), "light", errors)
    if errors:
        return look, errors
    is_darker = luminance(f"#{dark}") < luminance(f"#{light}")
    if not is_darker or contrast(f"#{dark}", f"#{light}") < MIN_CONTRAST:
        reason = f"must be darker than light, with a contrast of at least {MIN_CONTRAST:g}:1"
        return look, [FieldError("dark", reason)]
    return QrLook(format_, int(size), dark, light, error), []


def qr_look_of_query(query: bytes) -> QrLook | None:
    """Return the look that a visitor's query chooses, None for one that cannot be. Parameters that are no
    part of a look are passed over."""
    try:
        pairs = parse_qsl(query.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None
    look, errors = qr_look({name: value for name, value in pairs if name in PARAMETERS})
    return None if errors else look


def qr_image(address: str, look: QrLook) -> bytes:
    """Return the image of a code of a link's or page's URL, which gets the mark of scans.

    A URL that is too long for the level of error correction has the next lower one. Takes about 15 ms. Raises
    ValueError for a URL that is too long for any code.
    """
    for level in ERROR_LEVELS[ERROR_LEVELS.index(look.error) :: -1]:
        code = code_of(address, level)
        if code is not None:
            return drawn(code, look)
    raise ValueError("the URL is too long for a QR code")


def code_of(address: str, level: str) -> segno.QRCode | None:
    """Return the code of a marked URL with a level of error correction; None for one that is too long."""
    try:
        return segno.make_qr(f"{address}?{QR_QUERY}", error=level)
    except segno.DataOverflowError:
        return None


def drawn(code: segno.QRCode, look: QrLook) -> bytes:
    """Return the image of a code."""
    image = io.BytesIO()
    modules, _ = code.symbol_size()
    colours = {"dark": f"#{look.dark}", "light": f"#{look.light}"}
    if look.format == "png":
        code.save(image, kind="png", scale=max(1, look.size // modules), **colours)
    else:
        code.save(
            image, kind="svg", scale=look.size / modules, xmldecl=False, svgclass=None,
            lineclass=None, **colours,
        )  # fmt: skip
    return image.getvalue()


def _colour(text: str, field: str, errors: list[FieldError]) -> str:
    match = _COLOUR.fullmatch(text.lower())
    if match is None:
        errors.append(FieldError(field, "must be a colour of six hexadecimal digits"))
        return ""
    return match[1]
