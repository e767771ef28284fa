"""The document of a page: what it has, what it weighs, and that it is the same for every visitor."""

import base64
import gzip
import hashlib
import json
import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.pages.blocks import DividerBlock
from engine.pages.html.document import render_page
from engine.pages.html.sources import PageSources
from engine.pages.page import THEME_NAMES, BlockChange, ProfilePage
from tests.kit.html_outline import Outline
from tests.kit.sample_page import BLOCKS, FACE, MORE_BLOCKS, NOW, SOURCES, sample_page

MAX_BYTES = 14 * 1024
# What a server may send before the first acknowledgement: ten segments of 1,460 bytes (RFC 6928).
FIRST_WINDOW_BYTES = 14_600
MAX_ELEMENTS = 300
EVERYTHING = [*BLOCKS, *MORE_BLOCKS]


def text_of(page: ProfilePage, sources: PageSources = SOURCES, **options: Any) -> str:
    return render_page(page, sources, NOW, **options).body.decode()


def outline_of(page: ProfilePage, **options: Any) -> Outline:
    return Outline(render_page(page, SOURCES, NOW, **options).body)


def of_kinds(*kinds: str) -> list[dict[str, Any]]:
    return [block for block in EVERYTHING if block["kind"] in kinds]


@pytest.mark.parametrize("theme", THEME_NAMES)
def test_a_page_of_twelve_blocks_fits_into_one_window(theme: str) -> None:
    links = [block for block in EVERYTHING if block["kind"] == "link"]
    everyday = [*links, *of_kinds("heading", "text", "image", "repository")][:11]
    everyday += of_kinds("social")
    assert len(everyday) == 12
    rendered = render_page(sample_page(everyday, theme=theme), SOURCES, NOW)
    assert len(rendered.body) <= MAX_BYTES
    assert len(Outline(rendered.body).elements) <= MAX_ELEMENTS


@pytest.mark.parametrize("theme", THEME_NAMES)
def test_a_page_of_all_kinds_of_blocks_fits_into_one_window_once_compressed(theme: str) -> None:
    rendered = render_page(sample_page(EVERYTHING, theme=theme), SOURCES, NOW)
    assert len(gzip.compress(rendered.body, 6)) <= FIRST_WINDOW_BYTES * 3 // 5
    assert len(render_page(sample_page(theme=theme), SOURCES, NOW).body) <= 20_000
    assert len(Outline(render_page(sample_page(), SOURCES, NOW).body).elements) <= MAX_ELEMENTS


def test_no_page_has_a_script_or_asks_another_host() -> None:
    outline = outline_of(sample_page(EVERYTHING))
    assert [e.attributes for e in outline.all("script")] == [{"type": "application/ld+json"}]
    loaded = [
        e.attributes[name] for e in outline.elements for name in ("src",) if name in e.attributes
    ]
    loaded += [e.attributes["srcset"] for e in outline.all("source")]
    loaded += [
        e.attributes["href"] for e in outline.all("link") if e.attributes["rel"] != "canonical"
    ]
    assert loaded
    assert all(url.startswith("/") and not url.startswith("//") for url in loaded)
    assert len(outline.all("style")) == 1


def test_the_policy_allows_the_one_style_that_there_is() -> None:
    rendered = render_page(sample_page(), SOURCES, NOW)
    (style,) = re.findall(rb"<style>(.*?)</style>", rendered.body, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style).digest()).decode() == rendered.style_hash
    policy = rendered.content_security_policy().decode()
    assert f"style-src 'sha256-{rendered.style_hash}'" in policy
    assert "form-action 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    with_form = render_page(sample_page(of_kinds("email_form")), SOURCES, NOW)
    assert b"form-action 'self'" in with_form.content_security_policy()
    assert b"frame-ancestors 'self'" in with_form.content_security_policy("'self'")


def test_the_style_has_only_rules_of_the_blocks_that_there_are() -> None:
    text = text_of(sample_page(of_kinds("heading"), picture="", social=[]))
    assert "h2{" in text
    assert not re.search(r"\.(face|social|gallery|repo|faq|form|video)\b", text)


def test_equal_pages_have_equal_bytes() -> None:
    assert render_page(sample_page(), SOURCES, NOW) == render_page(sample_page(), SOURCES, NOW)


def test_the_head_says_what_the_page_is() -> None:
    outline = outline_of(sample_page())
    meta = {e.attributes.get("property") or e.attributes.get("name"): e.attributes.get("content")
            for e in outline.all("meta")}  # fmt: skip
    assert meta["og:title"] == "Ada's Garden"
    assert meta["og:url"] == SOURCES.url
    assert meta["og:image"] == f"https://links.example.com{SOURCES.sharing_picture}"
    assert meta["twitter:card"] == "summary_large_image"
    assert meta["description"] == meta["og:description"]
    assert "robots" not in meta
    links = {e.attributes["rel"]: e.attributes["href"] for e in outline.all("link")}
    assert links["canonical"] == SOURCES.url
    assert links["icon"] == f"/a/{FACE}-320.jpg"
    assert links["manifest"] == "/@ada/manifest.webmanifest"
    data = json.loads(text_of(sample_page()).partition("ld+json>")[2].partition("</script>")[0])
    assert data["mainEntity"]["sameAs"][0] == "https://www.instagram.com/ada"
    assert len(outline.all("a", rel="me")) == 5


def test_a_page_may_ask_not_to_be_listed() -> None:
    noindex = '<meta name=robots content="noindex">'
    assert noindex in text_of(sample_page(indexing=False))
    assert noindex in text_of(sample_page(), msgspec.structs.replace(SOURCES, is_preview=True))


def test_a_page_is_of_its_language() -> None:
    german = text_of(sample_page(language="de"))
    assert '<html lang="de" dir=ltr>' in german
    assert "In den Kalender" in german
    assert "So 6. Dez. 2026" in german
    arabic = text_of(sample_page(language="ar"))
    assert '<html lang="ar" dir=rtl>' in arabic
    assert "<footer><p lang=en>" in arabic


def test_visitors_get_the_translation_of_their_language() -> None:
    page = sample_page(
        [{"kind": "heading", "id": "h", "text": "What I build"}],
        translations=[
            {
                "language": "de",
                "name": "Adas Garten",
                "blocks": [{"block": "h", "text": "Gebautes"}],
            }
        ],
    )
    assert "<h2 dir=auto>Gebautes</h2>" in text_of(page, language="de-AT")
    assert "Adas Garten</h1>" in text_of(page, language="de-AT")
    for language in ("", "en", "en-GB", "fr"):
        assert "<h2 dir=auto>What I build</h2>" in text_of(page, language=language)


def test_a_variant_changes_blocks() -> None:
    page = sample_page()
    changes = [
        BlockChange(block="b12", position=0, title="Write now", style="centre"),
        BlockChange(block="b2", hidden=True),
        BlockChange(block="unknown", title="x"),
    ]
    text = text_of(page, changes=changes)
    assert text.index("Write now") < text.index("Spring collection")
    assert "The shop" not in text
    assert 'class="card link centre"' in text


def test_blocks_come_and_go_by_their_times() -> None:
    block = {
        "kind": "heading", "text": "Sale", "from": "2026-11-30T12:00:00Z", "until": "2026-12-01T12:00:00Z",
    }  # fmt: skip
    page = sample_page([block])
    shown = [
        b"Sale</h2>" in render_page(page, SOURCES, NOW + timedelta(seconds=s)).body
        for s in (-1, 0, 86_399, 86_400)
    ]
    assert shown == [False, True, True, False]


def test_blocks_without_their_link_or_picture_are_left_out() -> None:
    bare = msgspec.structs.replace(SOURCES, links={}, pictures={}, repositories={})
    text = render_page(sample_page(EVERYTHING), bare, NOW).body
    for word in (
        b"The shop",
        b"<img src=/a/",
        b"Marigold, old kind",
        b"seed-planner",
        b"Birds at six",
    ):
        assert word not in text
    assert b"Garden tour" in text  # leads elsewhere by its own URL


def test_a_rendering_says_which_links_it_leads_to() -> None:
    assert render_page(sample_page(), SOURCES, NOW).link_ids == (1, 2, 3, 4, 5, 6, 7)
    fewer = msgspec.structs.replace(SOURCES, links={2: SOURCES.links[2]})
    assert render_page(sample_page(), fewer, NOW).link_ids == (2,)


def test_a_rendering_says_which_blocks_it_shows() -> None:
    page = msgspec.structs.replace(
        sample_page(), blocks=(DividerBlock(id="shown"), DividerBlock(id="not", hidden=True))
    )
    assert render_page(page, SOURCES, NOW).block_ids == ("shown",)


def test_pictures_have_sizes_and_only_the_first_large_one_is_loaded_at_once() -> None:
    images = outline_of(sample_page(EVERYTHING)).all("img")
    assert all(int(e.attributes["width"]) and int(e.attributes["height"]) for e in images)
    assert all("alt" in e.attributes for e in images)
    assert [e.attributes.get("fetchpriority") for e in images].count("high") == 1
    eager = [e for e in images if "loading" not in e.attributes]
    assert len(eager) == 2  # the face and the first picture


def test_small_blocks_stand_in_pairs_and_none_is_left_alone() -> None:
    text = text_of(sample_page())
    items = re.findall(r"<li( class=w)?>(?!<a href)", text)
    pairs = [item == "" for item in items]
    assert pairs.count(True) % 2 == 0
    assert pairs[:5] == [False, True, True, True, True]


def test_an_empty_page_is_a_page() -> None:
    outline = outline_of(ProfilePage())
    assert [e.name for e in outline.elements if e.name in ("main", "h1", "ul")] == ["main", "h1"]
    assert "Ada" in outline.texts
