"""Preview cards of links."""

import pytest

from engine.links.preview_card import PreviewCard, normalised_card


def test_an_empty_card_is_none_and_an_image_is_spelt_as_browsers_do() -> None:
    assert normalised_card(PreviewCard(), True) == (None, [])
    card, errors = normalised_card(PreviewCard(image="https://Example.com/ä.png"), True)
    assert (card, errors) == (PreviewCard(image="https://example.com/%C3%A4.png"), [])


@pytest.mark.parametrize(
    ("card", "field"),
    [(PreviewCard(title="a" * 201), "preview.title"), (PreviewCard(text="a" * 501), "preview.text"),
     (PreviewCard(text="a\nb"), "preview.text"), (PreviewCard(image="javascript:1"), "preview.image"),
     (PreviewCard(image="http://127.0.0.1/a.png"), "preview.image")],
)  # fmt: skip
def test_a_bad_card_is_refused(card: PreviewCard, field: str) -> None:
    assert [error.field for error in normalised_card(card, False)[1]] == [field]
