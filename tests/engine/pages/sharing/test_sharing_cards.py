"""Cards of pages and links: which texts and colours they take."""

import io

from PIL import Image

from engine.assets.asset import HASH_CHARS
from engine.pages.page import ProfilePage, Sharing
from engine.pages.palette import palettes_of
from engine.pages.publication import encode_page
from engine.pages.sharing.card import NO_LOOK, LinkCardContent, link_card, look_of
from engine.pages.sharing.sharing_cards import link_picture, page_picture
from engine.pages.sharing.sharing_picture import SharingCard, sharing_picture

URL = "https://links.example.com/@ada"


def test_a_page_is_shared_by_the_texts_that_the_member_chose() -> None:
    page = ProfilePage(name="Ada", bio="Seeds\nand video", theme="tide")
    light = palettes_of(page).light
    card = SharingCard(
        name="Ada", name_fallback="@ada", line="Seeds and video", address="links.example.com/@ada"
    )
    assert page_picture(page, title="x", handle="ada", url=URL) == sharing_picture(card, light)
    chosen = ProfilePage(theme="tide", sharing=Sharing(title="Ada", text="Seeds and video"))
    assert page_picture(chosen, title="x", handle="ada", url=URL) == sharing_picture(card, light)


def test_a_page_without_a_name_is_shared_by_its_handle() -> None:
    nameless = page_picture(ProfilePage(), title="", handle="ada", url=URL)
    assert nameless == page_picture(ProfilePage(name="@ada"), title="", handle="ada", url=URL)


def test_a_dark_page_has_a_dark_picture() -> None:
    png = page_picture(ProfilePage(scheme="dark"), title="Ada", handle="ada", url=URL)
    assert sum(Image.open(io.BytesIO(png)).convert("RGB").getpixel((1_190, 10))) < 150  # type: ignore[arg-type]


def test_a_link_is_shared_by_its_title_and_where_it_leads() -> None:
    page = ProfilePage()
    card = SharingCard(
        name="Shop", name_fallback="a.example/shop", line="shop.example", address="a.example/shop"
    )
    target, url = "https://www.shop.example/x?y", "https://a.example/shop"

    def link(title: str, target: str = target) -> LinkCardContent:
        return link_card(1, 2, "ada/shop", title, target, NO_LOOK)

    def shared(title: str) -> bytes:
        return link_picture(page, link(title), url=url)

    assert shared("Shop") == sharing_picture(card, palettes_of(page).light)
    assert shared("庭") == shared("")
    for other in ("mailto:a@b.example", "https://[bad", ""):
        assert link_picture(page, link("a", other), url="https://a.example/庭")


def test_the_address_of_a_links_card_follows_from_what_it_shows() -> None:
    card = link_card(1, 2, "ada/shop", "Shop", "https://shop.example/x", NO_LOOK)
    assert len(card.hash) == HASH_CHARS
    assert card.hash == link_card(1, 2, "ada/shop", "Shop", "https://shop.example/y", NO_LOOK).hash
    look = look_of(encode_page(ProfilePage(theme="night", name="not a part of it")))
    others = (
        card._replace(tenant_id=3), card._replace(link_id=3), card._replace(title="Shops"),
        card._replace(target_host=""), card._replace(path="eve/shop"), card._replace(look=look),
    )  # fmt: skip
    assert len({card.hash, *(other.hash for other in others)}) == 7
    assert look_of(encode_page(ProfilePage())) == NO_LOOK
