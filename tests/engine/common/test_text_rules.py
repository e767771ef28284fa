"""Free text has no character that a reader does not see or that turns others round."""

import re
import sys
import unicodedata

import pytest

from engine.common.text_rules import hidden_character, text_errors, text_schema

TAGS = "\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067"
ENGLAND = f"\U0001f3f4{TAGS}\U000e007f"
JOINERS = "\u200c\u200d"


@pytest.mark.parametrize(
    "text",
    [
        "a\u202egnp.exe", "\u2066a\u2069", "a\u200f", "a\u061c", "pay\u200bpal", "\ufeffa", "a\u00adb",
        "a\u2028b", "\u3164", "\u2062", f"a{TAGS}", f"{ENGLAND}{TAGS}", "\U000e0001", "\u180e",
    ],
)  # fmt: skip
def test_hidden_characters_are_refused_and_named(text: str) -> None:
    (error,) = text_errors(text, "title", 200)
    hidden = hidden_character(text)
    assert hidden is not None
    assert error.field == "title"
    assert f"U+{ord(hidden):04X}" in error.reason


@pytest.mark.parametrize(
    "text",
    [
        "Frühling", "日本語", "שלום", "مرحبا", "e\u0301", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f",
        "1\ufe0f\u20e3", "\U0001f1ee\U0001f1f9", ENGLAND, "\u845b\U000e0100",
    ],
)  # fmt: skip
def test_scripts_and_emoji_are_texts(text: str) -> None:
    assert text_errors(text, "title", 200) == []


def test_every_control_of_direction_and_every_format_character_is_decided() -> None:
    """Visible format characters, such as Arabic number signs, and joiners stay."""
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    turning = [c for c in characters if unicodedata.bidirectional(c) in bidi]
    assert len(turning) == 9
    assert all(hidden_character(c) for c in turning)
    formats = [c for c in characters if unicodedata.category(c) == "Cf" and not hidden_character(c)]
    names = [unicodedata.name(c) for c in formats if c not in JOINERS]
    visible = ("NUMBER", "SIGN", "MARK", "END OF AYAH", "EGYPTIAN", "POUND", "PIASTRE")
    assert [name for name in names if not any(word in name for word in visible)] == []


def test_the_schema_refuses_what_the_rule_refuses_within_the_basic_plane() -> None:
    pattern = re.compile(text_schema(200)["pattern"])
    for code in range(0x10000):
        if not 0xD800 <= code <= 0xDFFF:
            is_text = text_errors(chr(code), "title", 200) == []
            assert bool(pattern.fullmatch(chr(code))) is is_text, hex(code)
