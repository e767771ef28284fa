"""Palettes of a page: its theme's colours with the member's own, corrected until everybody can read them."""

from typing import Final, NamedTuple

import msgspec

from engine.common.colour import (
    AA_TEXT,
    contrast,
    is_colour,
    mixed,
    oklch,
    readable,
    with_lightness,
)
from engine.pages.page import ProfilePage
from engine.pages.themes import THEMES, Colours

# Share of the accent in the ground of dates and icons (styles/).
TINT: Final = 0.13
_DARK_LIGHTNESS: Final = 0.21
_LIGHT_LIGHTNESS: Final = 0.96
_GROUND_CONTRAST: Final = 8.0
_TEXT_CONTRAST: Final = 7.0


class ColourCorrection(msgspec.Struct, frozen=True):
    """A colour on which or in which visitors could not read: the member's, the one that is used, and why.

    `scheme` is light or dark, `field` is accent or background.
    """

    scheme: str
    field: str
    wanted: str
    used: str
    reason: str


class Palettes(NamedTuple):
    """Colours for light and dark screens, and what was corrected of the member's."""

    light: Colours
    dark: Colours
    corrections: tuple[ColourCorrection, ...]


def palettes_of(page: ProfilePage) -> Palettes:
    """Return the page's colours. Each text reaches a contrast of 4.5 on everything that it lies on."""
    theme = THEMES[page.theme]
    corrections: list[ColourCorrection] = []
    by_scheme = {}
    for scheme, colours in (("light", theme.light), ("dark", theme.dark)):
        is_shown = page.scheme in ("auto", scheme)
        if is_colour(page.background):
            fits = (oklch(page.background)[0] <= 0.5) == (scheme == "dark")
            ground = page.background if fits else _partner(page.background)
            colours = _on_ground(colours, _roomy(ground))
            if fits and is_shown and colours.bg != page.background:
                corrections.append(_background_correction(scheme, page.background, colours.bg))
        if is_colour(page.accent):
            colours = _with_accent(colours, page.accent)
            if is_shown and colours.accent != page.accent:
                corrections.append(_accent_correction(scheme, page.accent, colours))
        by_scheme[scheme] = colours
    return Palettes(by_scheme["light"], by_scheme["dark"], tuple(corrections))


def tint(colours: Colours) -> str:
    """Return the ground of dates: a little accent in the page's ground."""
    return mixed(colours.accent, colours.bg, TINT)


def _accent_correction(scheme: str, wanted: str, colours: Colours) -> ColourCorrection:
    least = min(contrast(wanted, ground) for ground in colours.grounds)
    reason = (
        f"a contrast of {least:.1f} on the {scheme} page is less than {AA_TEXT}; "
        f"{colours.accent} is the nearest that can be read"
    )
    return ColourCorrection(scheme, "accent", wanted, colours.accent, reason)


def _background_correction(scheme: str, wanted: str, used: str) -> ColourCorrection:
    reason = (
        f"neither black nor white texts can be read well on it; {used} is the nearest that has room"
    )
    return ColourCorrection(scheme, "background", wanted, used, reason)


def _with_accent(colours: Colours, wanted: str) -> Colours:
    accent = readable(wanted, colours.grounds)
    on = max(("#ffffff", "#000000"), key=lambda text: contrast(text, accent))
    own = with_lightness(wanted, 0.99 if on == "#ffffff" else 0.17, 0.5)
    return colours._replace(accent=accent, on=readable(own, [accent]))


def _partner(ground: str) -> str:
    """Return the ground in the same hue for the other kind of screen."""
    if oklch(ground)[0] > 0.5:
        return with_lightness(ground, _DARK_LIGHTNESS, 0.5)
    return with_lightness(ground, _LIGHT_LIGHTNESS, 0.3)


def _roomy(ground: str) -> str:
    """Return the nearest ground on which black or white is so easy to read that other colours are, too."""
    text = "#000000" if oklch(ground)[0] > 0.5 else "#ffffff"
    return readable(ground, [text], _GROUND_CONTRAST)


def _on_ground(colours: Colours, ground: str) -> Colours:
    """Return the theme's colours on a ground of the member's."""
    is_light = oklch(ground)[0] > 0.5
    # A theme without cards has none on a ground of the member's either.
    has_cards = colours.card != colours.bg
    card = mixed("#ffffff", ground, 0.75 if is_light else 0.06) if has_cards else ground
    grounds = (ground, card)
    text = with_lightness(colours.text, 0.2 if is_light else 0.97, 0.6)
    text = readable(text, grounds, _TEXT_CONTRAST)
    accent = readable(colours.accent, grounds)
    return Colours(
        bg=ground,
        bg2=ground,
        card=card,
        text=text,
        soft=readable(mixed(text, ground, 0.68), grounds),
        line=mixed(text, ground, 0.18) if colours.line != colours.text else text,
        accent=accent,
        on=readable(colours.on, [accent]),
    )
