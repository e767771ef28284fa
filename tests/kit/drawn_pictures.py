"""Pictures of our own drawing for the sample page: hills, flowers, a greenhouse, drawn by Pillow."""

import io
import math
import random
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw

from tests.kit.sample_page import (
    FACE,
    GREENHOUSE,
    HILL,
    MEADOW,
    NIGHT,
    PACKET,
    PICTURES,
    SUNSET,
    TULIPS,
)

Colour = tuple[int, int, int]
_FORMATS: Final = {"jpg": "JPEG", "webp": "WEBP", "avif": "AVIF"}


@lru_cache(maxsize=64)
def rendition_file(name: str) -> bytes:
    """Return the file of a rendition, such as `{hash}-640.webp`. Raises KeyError for another name."""
    hash_, _, rest = name.partition("-")
    width, _, format_ = rest.partition(".")
    picture = PICTURES[hash_]
    image = drawn(hash_).resize((int(width), int(width) * picture.height // picture.width))
    buffer = io.BytesIO()
    options = {"speed": 9} if format_ == "avif" else {}
    image.save(buffer, _FORMATS[format_], quality=60, **options)
    return buffer.getvalue()


@lru_cache(maxsize=16)
def drawn(hash_: str) -> Image.Image:
    """Return the picture in twice its size, so that edges are smooth when it is made smaller."""
    picture = PICTURES[hash_]
    size = (min(2 * picture.width, 2_080), min(2 * picture.height, 2_080))
    size = (size[0], size[0] * picture.height // picture.width)
    image = Image.new("RGB", size)
    _DRAWINGS[hash_](image, ImageDraw.Draw(image))
    return image


def _sky(image: Image.Image, top: Colour, bottom: Colour) -> None:
    draw = ImageDraw.Draw(image)
    for y in range(image.height):
        share = y / image.height
        colour = tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
        draw.line((0, y, image.width, y), fill=colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _hill(image: Image.Image, height: float, wave: float, phase: float, colour: Colour) -> None:
    """Draw a hill whose line is at a share `height` of the picture, waving by `wave`."""
    width, tall = image.size
    line = [
        (x, tall * (height + wave * math.sin(phase + 3.4 * x / width)))
        for x in range(0, width + 8, 8)
    ]
    ImageDraw.Draw(image).polygon([*line, (width, tall), (0, tall)], fill=colour)


def _flowers(image: Image.Image, number: int, top: float, size: float, seed: int) -> None:
    draw, rng = ImageDraw.Draw(image), random.Random(seed)
    width, tall = image.size
    colours = [(232, 93, 117), (245, 158, 66), (255, 214, 102), (255, 244, 224), (240, 128, 96)]
    places = sorted((rng.uniform(top, 1.0), rng.uniform(0, 1)) for _ in range(number))
    for y_share, x_share in places:
        x, y = x_share * width, y_share * tall
        radius = size * tall * (0.5 + y_share - top)
        draw.line((x, y, x, y + 5 * radius), fill=(38, 92, 62), width=max(2, int(radius / 3)))
        colour = rng.choice(colours)
        for petal in range(5):
            angle = petal * 2 * math.pi / 5
            _disc(
                draw,
                x + radius * math.cos(angle),
                y + radius * math.sin(angle),
                radius * 0.72,
                colour,
            )
        _disc(draw, x, y, radius * 0.55, (120, 62, 24))


def _face(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (134, 196, 212), (222, 226, 202))
    _disc(draw, width * 0.68, tall * 0.3, tall * 0.13, (255, 235, 182))
    _hill(image, 0.58, 0.06, 0.4, (128, 178, 128))
    _hill(image, 0.7, 0.05, 2.6, (70, 138, 92))
    _hill(image, 0.86, 0.06, 4.4, (34, 92, 66))
    _flowers(image, 26, 0.72, 0.03, 3)


def _meadow(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (244, 176, 130), (252, 216, 172))
    _disc(draw, width * 0.7, tall * 0.3, tall * 0.16, (255, 238, 190))
    _hill(image, 0.6, 0.08, 0.2, (198, 150, 116))
    _hill(image, 0.72, 0.07, 2.4, (122, 130, 84))
    _hill(image, 0.84, 0.07, 4.0, (54, 100, 68))
    _flowers(image, 70, 0.72, 0.032, 7)


def _hill_view(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (190, 214, 240), (236, 240, 232))
    _disc(draw, width * 0.72, tall * 0.28, tall * 0.11, (255, 236, 178))
    _hill(image, 0.6, 0.07, 1.2, (150, 196, 146))
    _hill(image, 0.74, 0.06, 3.4, (78, 150, 102))
    _flowers(image, 14, 0.8, 0.05, 5)


def _packet(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (236, 236, 222), (226, 228, 212))
    left, right, top, bottom = width * 0.34, width * 0.66, tall * 0.12, tall * 0.88
    draw.rounded_rectangle((left + 14, top + 18, right + 14, bottom + 18), 18, fill=(206, 206, 190))
    draw.rounded_rectangle((left, top, right, bottom), 18, fill=(255, 253, 246))
    draw.rounded_rectangle((left, top, right, tall * 0.26), 18, fill=(47, 107, 69))
    draw.rectangle((left, tall * 0.2, right, tall * 0.26), fill=(47, 107, 69))
    x, y, radius = width * 0.5, tall * 0.5, tall * 0.085
    draw.line((x, y, x, tall * 0.78), fill=(54, 100, 68), width=12)
    for petal in range(12):
        angle = petal * math.pi / 6
        _disc(
            draw,
            x + radius * math.cos(angle),
            y + radius * math.sin(angle),
            radius * 0.42,
            (240, 138, 44),
        )
    _disc(draw, x, y, radius * 0.7, (206, 92, 24))
    draw.rectangle((left + 60, tall * 0.81, right - 60, tall * 0.825), fill=(190, 186, 168))


def _greenhouse(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (206, 228, 240), (238, 240, 228))
    _disc(draw, width * 0.8, tall * 0.22, tall * 0.09, (255, 232, 168))
    _hill(image, 0.72, 0.04, 0.6, (112, 168, 120))
    left, right, eaves, ground = width * 0.24, width * 0.76, tall * 0.46, tall * 0.84
    ridge = (width * 0.5, tall * 0.24)
    draw.polygon(
        [(left, ground), (left, eaves), ridge, (right, eaves), (right, ground)],
        fill=(232, 246, 246),
    )
    frame = (40, 84, 84)
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + (right - left) * share
        top = eaves - (eaves - ridge[1]) * (1 - abs(share - 0.5) * 2)
        draw.line((x, ground, x, top), fill=frame, width=10)
    for y in (eaves, (eaves + ground) / 2, ground):
        draw.line((left, y, right, y), fill=frame, width=10)
    draw.line([(left, eaves), ridge, (right, eaves)], fill=frame, width=14, joint="curve")
    _flowers(image, 22, 0.86, 0.03, 11)


def _night(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (24, 30, 66), (52, 62, 112))
    rng = random.Random(4)
    for _ in range(60):
        _disc(
            draw,
            rng.uniform(0, width),
            rng.uniform(0, tall * 0.6),
            rng.uniform(2, 5),
            (214, 220, 244),
        )
    _disc(draw, width * 0.66, tall * 0.32, tall * 0.13, (255, 240, 200))
    _disc(draw, width * 0.71, tall * 0.29, tall * 0.115, (38, 46, 90))
    _hill(image, 0.7, 0.06, 0.9, (36, 46, 88))
    _hill(image, 0.82, 0.05, 3.0, (22, 30, 60))


def _tulips(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (250, 206, 150), (254, 232, 196))
    _hill(image, 0.82, 0.02, 0.2, (66, 122, 78))
    colours = [(206, 52, 74), (232, 92, 84), (128, 70, 158), (226, 78, 128)]
    for number in range(13):
        x, y = width * (0.04 + number * 0.077), tall * (0.5 + 0.03 * math.sin(number * 2.1))
        size = tall * 0.075
        draw.line((x, y, x, tall * 0.9), fill=(46, 110, 66), width=14)
        draw.ellipse((x - 90, tall * 0.72, x - 6, tall * 0.92), fill=(58, 128, 78))
        colour = colours[number % 4]
        draw.polygon(
            [(x - size * 0.7, y - size), (x - size * 0.25, y - size * 0.45), (x, y - size * 1.1),
             (x + size * 0.25, y - size * 0.45), (x + size * 0.7, y - size), (x + size * 0.6, y + size * 0.4),
             (x, y + size * 0.9), (x - size * 0.6, y + size * 0.4)],
            fill=colour,
        )  # fmt: skip


def _sunset(image: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    width, tall = image.size
    _sky(image, (58, 66, 112), (246, 158, 92))
    _disc(draw, width * 0.6, tall * 0.62, tall * 0.12, (255, 222, 150))
    _hill(image, 0.66, 0.05, 1.8, (86, 92, 96))
    _hill(image, 0.78, 0.05, 3.6, (54, 78, 72))
    _hill(image, 0.9, 0.05, 0.8, (34, 58, 54))
    for step in range(24):
        share = step / 24
        x = width * (0.5 + 0.07 * math.sin(5 * share) * (1 - share))
        _disc(draw, x, tall * (1.0 - 0.16 * share), tall * 0.03 * (1 - share), (226, 190, 148))


_DRAWINGS: Final[dict[str, Callable[[Image.Image, ImageDraw.ImageDraw], None]]] = {
    FACE: _face,
    MEADOW: _meadow,
    HILL: _hill_view,
    PACKET: _packet,
    GREENHOUSE: _greenhouse,
    NIGHT: _night,
    TULIPS: _tulips,
    SUNSET: _sunset,
}
