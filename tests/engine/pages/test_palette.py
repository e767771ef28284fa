"""Colours: every text of every theme can be read, whatever colours a member chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.colour import AA_TEXT, contrast, from_oklch, mixed, oklch, readable
from engine.pages.page import ProfilePage, ThemeName
from engine.pages.palette import palettes_of, tint
from engine.pages.themes import THEMES, Colours

hexes = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def pairs(colours: Colours) -> dict[str, float]:
    """Return the contrast of every pair of text and ground that a page can have."""
    grounds = {name: getattr(colours, name) for name in ("bg", "bg2", "card")}
    grounds["tint"] = tint(colours)
    found = {
        f"{text} on {name}": contrast(getattr(colours, text), ground)
        for text in ("text", "soft", "accent")
        for name, ground in grounds.items()
        if not (text != "text" and name == "tint")
    }
    return found | {"on on accent": contrast(colours.on, colours.accent)}


def too_low(colours: Colours) -> dict[str, float]:
    return {pair: ratio for pair, ratio in pairs(colours).items() if ratio < AA_TEXT}


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_of_every_theme_can_be_read(theme: ThemeName) -> None:
    assert too_low(THEMES[theme].light) == {}
    assert too_low(THEMES[theme].dark) == {}


@given(st.sampled_from(sorted(THEMES)), hexes, hexes, st.booleans(), st.booleans())
def test_a_members_colours_are_corrected_until_they_can_be_read(
    theme: ThemeName, accent: str, background: str, has_accent: bool, has_background: bool
) -> None:
    page = ProfilePage(
        theme=theme,
        accent=accent if has_accent else "",
        background=background if has_background else "",
    )
    palettes = palettes_of(page)
    for scheme, colours in (("light", palettes.light), ("dark", palettes.dark)):
        assert too_low(colours) == {}
        corrected = {c.scheme for c in palettes.corrections if c.field == "accent"}
        assert (scheme in corrected) == (has_accent and colours.accent != accent)


def test_what_was_corrected_says_why() -> None:
    palettes = palettes_of(ProfilePage(theme="paper", accent="#ffee00"))
    (correction,) = palettes.corrections
    assert correction.scheme == "light"
    assert (correction.wanted, correction.used) == ("#ffee00", palettes.light.accent)
    assert "contrast of 1.2" in correction.reason
    assert palettes.dark.accent == "#ffee00"
    only_dark = ProfilePage(theme="paper", accent="#ffee00", scheme="dark")
    assert palettes_of(only_dark).corrections == ()


def test_a_ground_serves_the_scheme_that_it_fits() -> None:
    pale = palettes_of(ProfilePage(background="#ffe0f0"))
    assert pale.light.bg == "#ffe0f0"
    assert contrast(pale.dark.bg, "#ffffff") > 10
    deep = palettes_of(ProfilePage(background="#101040"))
    assert deep.dark.bg == "#101040"
    assert contrast(deep.light.bg, "#000000") > 10


def test_a_ground_between_light_and_dark_is_moved() -> None:
    palettes = palettes_of(ProfilePage(background="#808080"))
    (correction,) = palettes.corrections
    assert (correction.field, correction.scheme) == ("background", "light")
    assert correction.used == palettes.light.bg
    assert contrast(palettes.light.bg, "#000000") >= 8


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#0000ff", "#ffffff") == pytest.approx(8.59, abs=0.01)


@given(hexes)
def test_oklch_is_undone_by_its_inverse(colour: str) -> None:
    back = from_oklch(oklch(colour))
    assert max(abs(int(colour[n : n + 2], 16) - int(back[n : n + 2], 16)) for n in (1, 3, 5)) <= 1


@given(hexes, hexes)
def test_the_nearest_readable_colour_is_near_and_readable(colour: str, ground: str) -> None:
    nearest = readable(colour, [ground])
    assert contrast(nearest, ground) >= AA_TEXT
    if contrast(colour, ground) >= AA_TEXT:
        assert nearest == colour


def test_colours_mix_as_css_does() -> None:
    assert mixed("#ff0000", "#0000ff", 0.5) == "#800080"
    assert mixed("#ffffff", "#000000", 0.0) == "#000000"
