"""Colours: contrast as WCAG 2 computes it, and the nearest colour that reaches a contrast.

Lightness is changed in OKLCH (Björn Ottosson, "A perceptual color space for image processing", 2020), where hue
and chroma stay what they look like. Colours are texts `#rrggbb`.
"""

import math
import re
from collections.abc import Iterable
from typing import Final

AA_TEXT: Final = 4.5
_STEPS: Final = 200
_HEX: Final = re.compile("#[0-9a-f]{6}")

Triple = tuple[float, float, float]


def is_colour(text: str) -> bool:
    """Return whether a text is a colour as this module writes them."""
    return _HEX.fullmatch(text) is not None


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2.2), 0 for black and 1 for white."""
    red, green, blue = map(_linear, _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, other: str, share: float) -> str:
    """Return `other` with a share of `colour`, 0 to 1, as CSS `color-mix(in srgb, …)` mixes them."""
    parts = zip(_parts(colour), _parts(other), strict=True)
    return _text(tuple(a * share + b * (1 - share) for a, b in parts))


def readable(colour: str, grounds: Iterable[str], least: float = AA_TEXT) -> str:
    """Return the colour of nearest lightness that reaches the contrast `least` on all grounds.

    The colour itself if it does. Where no lightness reaches it on all: black or white, whichever is better.
    """
    behind = tuple(grounds)
    if _least_contrast(colour, behind) >= least:
        return colour
    lightness, chroma, hue = oklch(colour)
    for step in range(1, _STEPS + 1):
        for sign in (-1, 1):
            moved = lightness + sign * step / _STEPS
            if 0 <= moved <= 1:
                candidate = from_oklch((moved, chroma, hue))
                if _least_contrast(candidate, behind) >= least:
                    return candidate
    return max(("#000000", "#ffffff"), key=lambda extreme: _least_contrast(extreme, behind))


def with_lightness(colour: str, lightness: float, chroma_share: float = 1.0) -> str:
    """Return the colour with another lightness (0 to 1) and a share of its chroma."""
    _, chroma, hue = oklch(colour)
    return from_oklch((lightness, chroma * chroma_share, hue))


def oklch(colour: str) -> Triple:
    """Return lightness (0 to 1), chroma and hue (radians) of a colour."""
    red, green, blue = map(_linear, _parts(colour))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    lightness = 0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short
    return lightness, math.hypot(a, b), math.atan2(b, a)


def from_oklch(triple: Triple) -> str:
    """Return the colour, with as much less chroma as a screen needs to show it."""
    lightness, chroma, hue = triple
    low, high = 0.0, chroma
    if not _in_gamut(_from_oklch(triple)):
        for _ in range(20):
            middle = (low + high) / 2
            if _in_gamut(_from_oklch((lightness, middle, hue))):
                low = middle
            else:
                high = middle
        chroma = low
    return _text(tuple(map(_gamma, _from_oklch((lightness, chroma, hue)))))


def _from_oklch(triple: Triple) -> Triple:
    """Return the linear red, green and blue, which may lie outside of 0 to 1."""
    lightness, chroma, hue = triple
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )


def _in_gamut(linear: Triple) -> bool:
    return all(-0.0001 <= part <= 1.0001 for part in linear)


def _least_contrast(colour: str, grounds: tuple[str, ...]) -> float:
    return min(contrast(colour, ground) for ground in grounds)


def _parts(colour: str) -> Triple:
    """Return red, green and blue, 0 to 1, with sRGB's gamma."""
    return (
        int(colour[1:3], 16) / 255,
        int(colour[3:5], 16) / 255,
        int(colour[5:7], 16) / 255,
    )


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _gamma(part: float) -> float:
    part = min(max(part, 0.0), 1.0)
    return part * 12.92 if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055


def _text(parts: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(min(max(part, 0.0), 1.0) * 255):02x}" for part in parts)
