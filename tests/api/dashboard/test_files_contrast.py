"""Contrast of every pair of colours that carries text or marks, in both schemes (WCAG 1.4.3 and 1.4.11)."""

import re
from importlib import resources

import pytest

GROUNDS = ("bg", "surface", "sunken")
TEXTS = [
    *((text, ground) for ground in GROUNDS for text in (
        "text", "text-2", "text-3", "accent", "accent-2", "red", "amber", "blue")),
    *((text, "accent-soft") for text in ("text", "text-2", "text-3", "accent-2")),
    *((colour, f"{colour}-soft") for colour in ("amber", "red", "blue")),
    ("on-accent", "accent"), ("bg", "text"), ("text-2", "tile-1"), ("on-accent", "tile-4"),
]  # fmt: skip
MARKS = [(f"series-{i}", "surface") for i in range(1, 5)] + [("prev", "surface")]
CSS = resources.files("api.dashboard").joinpath("css/tokens.css").read_text()


TOKENS = re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS)
SCHEMES = {
    "light": {name: light for name, light, _ in TOKENS},
    "dark": {name: dark for name, _, dark in TOKENS},
}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_has_a_contrast_of_four_and_a_half(scheme: str) -> None:
    colours = SCHEMES[scheme]
    low = {pair: ratio for pair in TEXTS if (ratio := contrast(*(colours[c] for c in pair))) < 4.5}
    assert low == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_marks_of_charts_have_a_contrast_of_three(scheme: str) -> None:
    colours = SCHEMES[scheme]
    low = {pair: ratio for pair in MARKS if (ratio := contrast(*(colours[c] for c in pair))) < 3}
    assert low == {}


def test_no_other_file_names_a_colour() -> None:
    """But white of prints and codes, the dimmed page behind a dialog, and a profile's face."""
    folder = resources.files("api.dashboard").joinpath("css")
    for file in folder.iterdir():
        if not file.name.endswith(".css") or file.name == "tokens.css":
            continue
        colours = set(re.findall(r"#[0-9a-f]{3,8}\b", file.read_text()))
        shades = {colour for colour in colours if not colour.startswith(("#fff", "#0e1110"))}
        assert shades <= {"#f6c453", "#e2762e", "#3a1c00", "#06231a"}, file.name
