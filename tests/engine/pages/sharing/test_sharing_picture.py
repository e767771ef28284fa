"""The picture that networks show of a page: always a PNG of its size, whatever the texts and the face."""

import io
from typing import Any

import pytest
from PIL import Image

from engine.pages.sharing.sharing_picture import SharingCard, drawable_text, sharing_picture
from engine.pages.themes import THEMES
from tests.kit.drawn_pictures import rendition_file
from tests.kit.sample_page import FACE

COLOURS = THEMES["garden"].light


def drawn(**values: Any) -> Image.Image:
    card = SharingCard(**({"name": "Ada's Garden", "name_fallback": "@ada"} | values))
    return Image.open(io.BytesIO(sharing_picture(card, COLOURS)))


def pixels(image: Image.Image, box: tuple[int, int, int, int]) -> set[Any]:
    return {colour for _, colour in image.crop(box).getcolors(1 << 20) or []}


def test_a_picture_has_its_size_and_the_colours_of_the_theme() -> None:
    image = drawn(face=rendition_file(f"{FACE}-320.jpg"), line="Seeds", address="a.example/@ada")
    assert (image.format, image.size, image.mode) == ("PNG", (1_200, 630), "RGB")
    assert image.getpixel((10, 625)) == (0x2F, 0x6B, 0x45)  # the accent
    assert image.getpixel((1_190, 10)) == (0xF4, 0xF1, 0xE8)  # the ground
    assert len(pixels(image, (80, 70, 280, 270))) > 500  # the face
    assert image.getpixel((81, 71)) == (0xF4, 0xF1, 0xE8)  # is round


@pytest.mark.parametrize(
    "values",
    [
        {"face": b"no picture"},
        {"face": b"\x89PNG\r\n\x1a\n" + b"\x00" * 40},
        {"name": "x" * 500, "line": "y " * 400, "address": "z" * 900},
        {"name": "a very long name of very many words " * 20},
        {"name": "", "name_fallback": "@a"},
        {"name": "\x00\ud800\u202e"},
    ],
)
def test_whatever_comes_there_is_a_picture(values: dict[str, Any]) -> None:
    image = drawn(**values)
    assert image.size == (1_200, 630)
    assert pixels(image, (0, 0, 79, 600)) == {(0xF4, 0xF1, 0xE8)}  # nothing in the margins
    assert pixels(image, (1_121, 0, 1_200, 600)) == {(0xF4, 0xF1, 0xE8)}


@pytest.mark.parametrize(
    ("text", "drawable"),
    [
        ("Ada's Garden", "Ada's Garden"),
        ("Женя и Σοφία", "Женя и Σοφία"),
        ("Łódź 🦔  Igel", "Łódź Igel"),
        ("🏳️‍🌈 Ada", "Ada"),
        ("حديقة آدا", ""),
        ("庭 Garden", ""),
        ("🦔", ""),
        ("", ""),
    ],
)
def test_texts_in_scripts_without_glyphs_are_left_out(text: str, drawable: str) -> None:
    assert drawable_text(text) == drawable


def test_the_handle_stands_for_a_name_that_cannot_be_drawn() -> None:
    assert drawn(name="庭園", name_fallback="@ada").tobytes() == drawn(name="@ada").tobytes()


def test_equal_cards_have_equal_pictures() -> None:
    assert drawn().tobytes() == drawn().tobytes()
