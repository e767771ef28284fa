"""Cards of pages and links: which texts and colours they take."""

import io
from functools import partial

from PIL import Image

from engine.pages.page import ProfilePage, Sharing
from engine.pages.palette import palettes_of
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
    shared = partial(link_picture, page, target=target, url=url)
    assert shared(title="Shop") == sharing_picture(card, palettes_of(page).light)
    assert shared(title="庭") == shared(title="")
    assert link_picture(page, title="a", target="mailto:a@b.example", url=URL)
    assert link_picture(page, title="a", target="https://[bad", url=URL)
