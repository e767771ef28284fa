"""Confusable names are flagged, and names in a single script are not."""

import pytest

from engine.links.confusables import confusable_reason


@pytest.mark.parametrize(
    "name",
    ["spring", "весна", "спасибо", "日本のlink", "中文", "한국어", "naïve", "straße", "1_2", "été1", "कखग",
     "spring-весна", "αβγ", "ありがとうlink", "-", "e\u0301te"],
)  # fmt: skip
def test_names_that_are_not_confusable_pass(name: str) -> None:
    assert confusable_reason(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sрring", "Cyrillic and Latin"),
        ("shop-sрring", "Cyrillic and Latin"),
        ("gοοd", "Greek and Latin"),
        ("сор", "taken for Latin"),
        ("сор1", "taken for Latin"),
    ],
)
def test_confusable_names_are_flagged(name: str, reason: str) -> None:
    assert reason in (confusable_reason(name) or "")
