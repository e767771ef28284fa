"""Drawing of cards: with the page's picture, once each, and without those that cannot be drawn."""

import io

import pytest
from PIL import Image

import actors.pages.card_drawing as card_drawing
from actors.pages.card_drawing import CardDrawing
from engine.common.errors import UnavailableError
from engine.pages.page import ProfilePage
from engine.pages.sharing.card import DueCard, card_path
from storage.assets.memory_files import MemoryAssetFiles
from tests.kit.pictures import encoded, scene

FACE = "f" * 32


class GivenCards:
    """A CardStore with these cards."""

    def __init__(self, *cards: DueCard) -> None:
        self.cards = list(cards)
        self.ended: list[tuple[int, bool]] = []

    async def due(self, limit: int) -> list[DueCard]:
        return self.cards[:limit]

    async def drawn(self, card: DueCard, *, has_file: bool) -> None:
        self.cards.remove(card)
        self.ended.append((card.profile_id, has_file))


def due(profile_id: int, face: str = "") -> DueCard:
    return DueCard(1, profile_id, 3, "ada", "Ada", ProfilePage(name="Ada"), face)


async def test_a_card_is_drawn_with_the_pages_picture_and_kept() -> None:
    files, cards = MemoryAssetFiles(), GivenCards(due(7, FACE), due(8))
    await files.write(FACE, {"main.jpg": encoded(scene(400, 400), "JPEG")})
    drawing = CardDrawing(cards, files, "https://go.example/")
    await drawing.draw_due()
    assert cards.ended == [(7, True), (8, True)]
    pictures = [files.files[due(number).hash]["card.png"] for number in (7, 8)]
    assert pictures[0] != pictures[1]
    assert [Image.open(io.BytesIO(picture)).size for picture in pictures] == [(1200, 630)] * 2
    assert card_path(1, 7, 3) == f"/a/{due(7).hash}.png"
    assert [sample.value for sample in drawing.samples()] == [2, 0]


async def test_one_that_cannot_be_drawn_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(page: ProfilePage, **texts: object) -> bytes:
        if texts["title"] == "broken":
            raise ZeroDivisionError
        return b"PNG"

    monkeypatch.setattr(card_drawing, "page_picture", fail)
    cards = GivenCards(due(7)._replace(title="broken"), due(8))
    drawing = CardDrawing(cards, MemoryAssetFiles(), "https://go.example")
    await drawing.draw_due()
    assert cards.ended == [(7, False), (8, True)]
    assert "profile 7" in caplog.text


async def test_a_store_that_is_away_leaves_the_cards_due() -> None:
    files, cards = MemoryAssetFiles(), GivenCards(due(7))
    files.away = True
    with pytest.raises(UnavailableError):
        await CardDrawing(cards, files, "https://go.example").draw_due()
    assert cards.ended == []
