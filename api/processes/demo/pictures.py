"""Pictures of the demo's page, drawn: a face of leaves, and beds of a garden under a sun."""

import io
import math
import random
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

_SMOOTH: Final = 2  # drawn so many times as large, then made smaller
Colour = tuple[int, int, int]
SUNRISE: Final[tuple[Colour, Colour]] = ((252, 231, 200), (240, 170, 120))
MORNING: Final[tuple[Colour, Colour]] = ((214, 236, 240), (250, 246, 226))
DUSK: Final[tuple[Colour, Colour]] = ((70, 84, 120), (236, 150, 128))
_GREENS: Final[tuple[Colour, ...]] = ((47, 107, 69), (74, 138, 84), (112, 160, 88), (30, 84, 62))
_FLOWERS: Final[tuple[Colour, ...]] = (
    (222, 92, 84),
    (246, 190, 74),
    (236, 224, 236),
    (176, 92, 150),
)


def garden(seed: int, sky: tuple[Colour, Colour], width: int = 1280, height: int = 800) -> bytes:
    """Return a picture of a garden as PNG; each seed has another one."""
    dice = random.Random(seed)  # noqa: S311  # a picture
    size = (width * _SMOOTH, height * _SMOOTH)
    picture = _gradient(size, *sky)
    draw = ImageDraw.Draw(picture)
    sun = (size[0] * dice.uniform(0.2, 0.8), size[1] * dice.uniform(0.18, 0.34), size[1] * 0.09)
    _disc(draw, *sun, (255, 244, 214))
    for depth in range(4):
        _hill(
            draw,
            dice,
            size,
            0.42 + depth * 0.13,
            _mixed(_GREENS[depth], sky[1], 0.45 - depth * 0.14),
        )
    for _ in range(220):
        x = dice.uniform(0, size[0])
        y = size[1] * dice.uniform(0.72, 1.0)
        stem = size[1] * dice.uniform(0.02, 0.06) * y / size[1]
        draw.line((x, y, x, y - stem), fill=_GREENS[3], width=3 * _SMOOTH)
        _disc(draw, x, y - stem, stem * 0.34, dice.choice(_FLOWERS))
    return _png(picture, (width, height))


def face(size: int = 480) -> bytes:
    """Return the demo's portrait as PNG: a flower of leaves."""
    side = size * _SMOOTH
    picture = _gradient((side, side), (236, 243, 226), (250, 221, 190))
    draw = ImageDraw.Draw(picture)
    middle = side / 2
    for ring, (petals, reach) in enumerate(((14, 0.40), (11, 0.30), (8, 0.20))):
        for petal in range(petals):
            turn = 2 * math.pi * petal / petals + ring * 0.35
            x, y = (middle + side * reach * 0.62 * f(turn) for f in (math.cos, math.sin))
            _disc(
                draw, x, y, side * reach * 0.36, _mixed(_GREENS[ring], (255, 255, 255), ring * 0.12)
            )
    _disc(draw, middle, middle, side * 0.12, _FLOWERS[1])
    return _png(picture, (size, size))


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    column = Image.new("RGB", (1, 64))
    for y in range(64):
        column.putpixel((0, y), _mixed(top, bottom, y / 63))
    return column.resize(size, Image.Resampling.BICUBIC)


def _hill(
    draw: ImageDraw.ImageDraw,
    dice: random.Random,
    size: tuple[int, int],
    level: float,
    fill: Colour,
) -> None:
    waves = [
        (dice.uniform(0.6, 2.4), dice.uniform(0, 6), dice.uniform(0.01, 0.035)) for _ in range(3)
    ]
    ridge = [
        (x, size[1] * (level + sum(a * math.sin(f * 6.28 * x / size[0] + p) for f, p, a in waves)))
        for x in range(0, size[0] + 16, 16)
    ]
    draw.polygon([*ridge, (size[0], size[1]), (0, size[1])], fill=fill)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _png(picture: Image.Image, size: tuple[int, int]) -> bytes:
    smaller = picture.resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.SMOOTH)
    file = io.BytesIO()
    smaller.save(file, "PNG")
    return file.getvalue()
