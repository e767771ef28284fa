"""Sharing picture of a page or link: a PNG of 1200 x 630 pixels that networks and messengers show.

The font has Latin, Greek and Cyrillic letters. A text in another script is left out; where that is the name,
the handle stands in its place: a row of boxes would say less.
"""

import io
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib import resources
from typing import Final, Literal

import msgspec
from PIL import Image, ImageDraw, ImageFont

from engine.pages.themes import Colours

WIDTH: Final = 1_200
HEIGHT: Final = 630
_MARGIN: Final = 80
_ROOM: Final = WIDTH - 2 * _MARGIN
_FACE: Final = 200
_BAR: Final = 20
_SCALE: Final = 3  # faces are cut in this size, for smooth edges
_MAX_FACE_PIXELS: Final = 50_000_000
_NAME_SIZES: Final = ((84, 1), (72, 2), (56, 3))  # pixels, and the lines that fit
_LINE_SIZE: Final = 38
_ADDRESS_SIZE: Final = 28
_FILES: Final = {"bold": "Manrope-Bold.ttf", "medium": "Manrope-Medium.ttf"}
_ELLIPSIS: Final = "…"
# No letter or digit of any script: emoji, pictograms, their modifiers and joiners.
_SYMBOLS: Final = frozenset({"So", "Sk", "Sm", "Cf", "Mn", "Me", "Cn", "Co", "Cs"})

Weight = Literal["bold", "medium"]


class SharingCard(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of a picture: a name, a line below it, the address, and the file of a picture.

    `name_fallback` is drawn where the font has no glyphs for the name; it is printable ASCII.
    """

    name: str
    name_fallback: str
    line: str = ""
    address: str = ""
    face: bytes = b""
    is_round: bool = True


def sharing_picture(card: SharingCard, colours: Colours) -> bytes:
    """Return the PNG. A face that cannot be decoded is left out. It takes about 0.2 s: for jobs only."""
    image = _ground(colours)
    draw = ImageDraw.Draw(image)
    face = _face(card.face, is_round=card.is_round)
    if face is not None:
        image.paste(face, (_MARGIN, 70), face)
    name = drawable_text(card.name) or card.name_fallback
    lines, size = _fitting(name)
    # A name of several lines leaves room for one line below it, or for none.
    below = _lines(drawable_text(card.line), _font("medium", _LINE_SIZE), 3 - len(lines))
    y = (320 if len(lines) == 1 else 290) if face is not None else 200 - len(lines) * size // 4
    for line in lines:
        draw.text((_MARGIN, y), line, font=_font("bold", size), fill=colours.text)
        y += round(size * 1.15)
    for line in below:
        draw.text((_MARGIN, y + 16), line, font=_font("medium", _LINE_SIZE), fill=colours.soft)
        y += round(_LINE_SIZE * 1.3)
    small = _font("medium", _ADDRESS_SIZE)
    address = _cut(drawable_text(card.address), small)
    draw.text((_MARGIN, HEIGHT - _BAR - 60), address, font=small, fill=colours.soft)
    draw.rectangle((0, HEIGHT - _BAR, WIDTH, HEIGHT), fill=colours.accent)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def drawable_text(text: str) -> str:
    """Return a text without emoji and other symbols; empty if the font has not all of its letters."""
    words = " ".join(
        "".join(
            c for c in unicodedata.normalize("NFC", text) if _has_glyph(c) or not _is_symbol(c)
        ).split()
    )
    return words if all(c == " " or _has_glyph(c) for c in words) else ""


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character) in _SYMBOLS


@lru_cache(maxsize=4_096)
def _has_glyph(character: str) -> bool:
    """Return whether the font draws this character as anything but its sign for missing ones."""
    if character == " ":
        return True
    if _is_unencodable(character) or not character.isprintable():
        return False
    font = _font("medium", _LINE_SIZE)
    mask = font.getmask(character)
    missing = font.getmask("\uffff")
    return mask.size[0] > 0 and (mask.size != missing.size or bytes(mask) != bytes(missing))


def _is_unencodable(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


@lru_cache(maxsize=16)
def _font(weight: Weight, size: int) -> ImageFont.FreeTypeFont:
    file = resources.files("font_manrope").joinpath("files", _FILES[weight])
    return ImageFont.truetype(io.BytesIO(file.read_bytes()), size)


def _ground(colours: Colours) -> Image.Image:
    """Return the page's ground, which runs from one colour to the other."""
    share = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    top = Image.new("RGB", (WIDTH, HEIGHT), colours.bg)
    return Image.composite(Image.new("RGB", (WIDTH, HEIGHT), colours.bg2), top, share)


def _face(file: bytes, *, is_round: bool) -> Image.Image | None:
    """Return the picture cut to a circle or a square; None if there is none that can be read."""
    if not file:
        return None
    try:
        with Image.open(io.BytesIO(file)) as source:
            if source.width * source.height > _MAX_FACE_PIXELS:
                return None
            side = min(source.size)
            left, top = (source.width - side) // 2, (source.height - side) // 2
            box = (left, top, left + side, top + side)
            face = source.convert("RGBA").resize((_FACE, _FACE), Image.Resampling.LANCZOS, box)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    mask = Image.new("L", (_FACE * _SCALE, _FACE * _SCALE))
    edge = _FACE * _SCALE
    radius = edge // 2 if is_round else 12 * _SCALE
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, edge - 1, edge - 1), radius, fill=255)
    small = mask.resize((_FACE, _FACE), Image.Resampling.LANCZOS)
    face.putalpha(Image.composite(face.getchannel("A"), Image.new("L", face.size), small))
    return face


def _fitting(name: str) -> tuple[list[str], int]:
    """Return the name in lines, and the largest size at which they fit; cut at the smallest."""
    for size, max_lines in _NAME_SIZES:
        font = _font("bold", size)
        is_whole = all(font.getlength(word) <= _ROOM for word in name.split())
        lines = list(_wrapped(name, font))
        if is_whole and len(lines) <= max_lines:
            return lines, size
    return _lines(name, font, max_lines), size


def _lines(text: str, font: ImageFont.FreeTypeFont, max_lines: int) -> list[str]:
    """Return a text in at most so many lines, the last one cut."""
    lines = list(_wrapped(text, font))
    if len(lines) <= max_lines:
        return lines
    return (
        [*lines[: max_lines - 1], _cut(" ".join(lines[max_lines - 1 :]), font)]
        if max_lines > 0
        else []
    )


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> Iterator[str]:
    """Yield lines of whole words; a word that is wider than a line is cut."""
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if font.getlength(candidate) <= _ROOM:
            line = candidate
            continue
        if line:
            yield line
        line = _cut(word, font)
    if line:
        yield line


def _cut(text: str, font: ImageFont.FreeTypeFont) -> str:
    """Return the text, or as much of it as fits a line with an ellipsis."""
    if font.getlength(text) <= _ROOM:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + _ELLIPSIS) <= _ROOM:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + _ELLIPSIS
