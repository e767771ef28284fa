"""Drawing of cards: with the page's picture, once each, and without those that cannot be drawn."""

import io
from datetime import UTC, datetime
from typing import Generic, TypeVar

import pytest
from PIL import Image

import actors.pages.card_drawing as card_drawing
from actors.pages.card_drawing import CardDrawing
from engine.common.errors import UnavailableError
from engine.pages.page import ProfilePage
from engine.pages.sharing.card import (
    NO_LOOK,
    DueCard,
    DueLinkCard,
    LinkCardContent,
    card_path,
    link_card,
)
from storage.assets.memory_files import MemoryAssetFiles
from tests.kit.pictures import encoded, scene

FACE = "f" * 32


Card = TypeVar("Card", bound=DueCard | DueLinkCard)


class GivenCards(Generic[Card]):
    """A store with these cards."""

    def __init__(self, *cards: Card) -> None:
        self.cards: list[Card] = list(cards)
        self.ended: list[tuple[int, bool]] = []

    async def due(self, limit: int) -> list[Card]:
        return self.cards[:limit]

    async def drawn(self, card: Card, *, has_file: bool) -> None:
        self.cards.remove(card)
        self.ended.append((card.profile_id, has_file))


class NoLinks(GivenCards[DueLinkCard]):
    """A store of links' cards of which none is due."""


def due(profile_id: int, face: str = "") -> DueCard:
    return DueCard(1, profile_id, 3, "ada", "Ada", ProfilePage(name="Ada"), face)


async def test_a_card_is_drawn_with_the_pages_picture_and_kept() -> None:
    files, cards = MemoryAssetFiles(), GivenCards(due(7, FACE), due(8))
    await files.write(FACE, {"main.jpg": encoded(scene(400, 400), "JPEG")})
    drawing = CardDrawing(cards, NoLinks(), files, "https://go.example/")
    await drawing.draw_due()
    assert cards.ended == [(7, True), (8, True)]
    pictures = [files.files[due(number).hash]["card.png"] for number in (7, 8)]
    assert pictures[0] != pictures[1]
    assert [Image.open(io.BytesIO(picture)).size for picture in pictures] == [(1200, 630)] * 2
    assert card_path(1, 7, 3) == f"/a/{due(7).hash}.png"
    assert [sample.value for sample in drawing.samples()] == [2, 0, 0, 0, 0]


async def test_one_that_cannot_be_drawn_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(page: ProfilePage, **texts: object) -> bytes:
        if texts["title"] == "broken":
            raise ZeroDivisionError
        return b"PNG"

    monkeypatch.setattr(card_drawing, "page_picture", fail)
    cards = GivenCards(due(7)._replace(title="broken"), due(8))
    drawing = CardDrawing(cards, NoLinks(), MemoryAssetFiles(), "https://go.example")
    await drawing.draw_due()
    assert cards.ended == [(7, False), (8, True)]
    assert "profile 7" in caplog.text


async def test_a_store_that_is_away_leaves_the_cards_due() -> None:
    files, cards = MemoryAssetFiles(), GivenCards(due(7))
    files.away = True
    with pytest.raises(UnavailableError):
        await CardDrawing(cards, NoLinks(), files, "https://go.example").draw_due()
    assert cards.ended == []


def due_link(link_id: int, title: str = "Shop", face: str = "") -> DueLinkCard:
    card = link_card(1, link_id, "ada/shop", title, "https://shop.example/", NO_LOOK)
    since = datetime(2026, 3, 15, tzinfo=UTC)
    return DueLinkCard(link_id, card, ProfilePage(), face, "", since)


async def test_a_links_card_is_drawn_unless_it_shows_what_the_one_before_did() -> None:
    files = MemoryAssetFiles()
    await files.write(FACE, {"main.jpg": encoded(scene(400, 400), "JPEG")})
    same = due_link(9)
    links = GivenCards(due_link(7), due_link(8, face=FACE), same._replace(drawn_hash=same.hash))
    drawing = CardDrawing(GivenCards[DueCard](), links, files, "https://go.example")
    await drawing.draw_due_links()
    assert links.ended == [(7, True), (8, True), (9, True)]
    pictures = [files.files[due_link(number).hash]["card.png"] for number in (7, 8)]
    assert pictures[0] != pictures[1]
    assert same.hash not in files.files
    assert drawing.link_results == {"drawn": 2, "failed": 0, "same": 1}


async def test_a_links_card_that_cannot_be_drawn_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(page: ProfilePage, link: LinkCardContent, **_: object) -> bytes:
        if link.title == "broken":
            raise ZeroDivisionError
        return b"PNG"

    monkeypatch.setattr(card_drawing, "link_picture", fail)
    links = GivenCards(due_link(7, "broken"), due_link(8))
    drawing = CardDrawing(GivenCards[DueCard](), links, MemoryAssetFiles(), "https://go.example")
    await drawing.draw_due_links()
    assert links.ended == [(7, False), (8, True)]
    assert "profile 7" in caplog.text
