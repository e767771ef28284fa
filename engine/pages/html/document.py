"""A page's document: what visitors of one version get, as bytes."""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from markupsafe import Markup

from engine.pages import blocks as b
from engine.pages.html import action_blocks, link_blocks, text_blocks
from engine.pages.html.block_view import BlockContext, BlockFunction, BlockView
from engine.pages.html.elements import EMPTY, face, joined, optional, safe_href
from engine.pages.html.head import head_html, shown_name
from engine.pages.html.sources import PageSources
from engine.pages.html.style import style_of
from engine.pages.html.text_blocks import social_row
from engine.pages.html.wording import direction_of, words_of
from engine.pages.page import BlockChange, ProfilePage
from engine.pages.page_changes import changed_blocks, translated, visible_blocks
from engine.pages.palette import palettes_of

# From so many blocks on, large screens show the head of the page at the side.
WIDE_BLOCKS: Final = 6

_FUNCTIONS: Final[Mapping[type[b.BlockBase], BlockFunction]] = {
    b.LinkBlock: link_blocks.link,
    b.HeadingBlock: text_blocks.heading,
    b.TextBlock: text_blocks.text,
    b.ImageBlock: text_blocks.image,
    b.GalleryBlock: text_blocks.gallery,
    b.SocialBlock: text_blocks.social,
    b.RepositoryBlock: link_blocks.repository,
    b.VideoBlock: link_blocks.video,
    b.AudioBlock: link_blocks.audio,
    b.ContactBlock: action_blocks.contact,
    b.EventBlock: action_blocks.event,
    b.UntilBlock: action_blocks.until,
    b.DividerBlock: text_blocks.divider,
    b.ProductBlock: link_blocks.product,
    b.FaqBlock: text_blocks.faq,
    b.QrBlock: action_blocks.qr,
    b.EmailFormBlock: action_blocks.email_form,
}


class PageDocument(msgspec.Struct, frozen=True):
    """A document, what its Content-Security-Policy has to allow, and what it shows: links and blocks by id."""

    body: bytes
    style_hash: str
    has_form: bool
    link_ids: tuple[int, ...]
    block_ids: tuple[str, ...]

    def content_security_policy(self, frame_ancestors: str = "'none'") -> bytes:
        """Return the header field's value, which allows this style, pictures of this host and no script."""
        form = "'self'" if self.has_form else "'none'"
        return (
            f"default-src 'none'; style-src 'sha256-{self.style_hash}'; img-src 'self'; manifest-src 'self'; "
            f"base-uri 'none'; form-action {form}; frame-ancestors {frame_ancestors}"
        ).encode("ascii")


def render_page(
    page: ProfilePage,
    sources: PageSources,
    now: datetime,
    *,
    changes: Iterable[BlockChange] = (),
    language: str = "",
) -> PageDocument:
    """Return the page as visitors see it at `now`.

    `changes` are those of the variant that is shown, `language` is the visitor's, if the page has several.
    """
    page = translated(page, language)
    page = msgspec.structs.replace(page, blocks=changed_blocks(page.blocks, changes))
    context = BlockContext(sources, words_of(page.language), page.language, now)
    head_of_page = _header(context, page)
    shown, views = [], []
    for block in visible_blocks(page, now):
        view = _FUNCTIONS[type(block)](context, block)
        if view is not None:
            shown.append(block)
            views.append(view)
    is_wide = len(views) >= WIDE_BLOCKS
    if is_wide:
        context.use("wide")
    palettes = palettes_of(page)
    style = style_of(page, palettes, context.styles, context.languages)
    document = Markup(
        '<!doctype html><html lang="{}" dir={}><head>{}</head><body><main>{}{}</main>{}</body></html>\n'
    ).format(
        page.language,
        direction_of(page.language),
        head_html(page, sources, palettes, style),
        head_of_page,
        _list(views, is_wide=is_wide),
        _footer(context),
    )
    link_ids = (getattr(block, "link_id", "") for block in shown)
    return PageDocument(
        document.encode("utf-8", "replace"),
        base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        any(isinstance(block, b.EmailFormBlock) for block in shown),
        tuple(dict.fromkeys(int(link_id) for link_id in link_ids if link_id.isdecimal())),
        tuple(block.id for block in shown),
    )


def _header(context: BlockContext, page: ProfilePage) -> Markup:
    picture = context.picture(page.picture)
    context.use(*(["face"] if picture else []), *(["bio"] if page.bio else []))
    return Markup("<header>{}<h1 dir=auto>{}</h1>{}{}</header>").format(
        face(picture, page.picture_alt) if picture else EMPTY,
        shown_name(page, context.sources),
        optional(Markup("<p class=bio dir=auto>{}</p>"), page.bio),
        social_row(context, page.social) if page.social else EMPTY,
    )


def _list(views: list[BlockView], *, is_wide: bool) -> Markup:
    """Return the list of blocks. On a wide page small blocks stand in pairs; one without a partner is wide."""
    if not views:
        return EMPTY
    items, number = [], 0
    while number < len(views):
        pair = views[number : number + 2]
        is_pair = is_wide and len(pair) == 2 and all(view.is_half for view in pair)
        opening = Markup("<li>") if is_pair or not is_wide else Markup("<li class=w>")
        for view in pair if is_pair else pair[:1]:
            items.append(opening + view.html)
            number += 1
    return Markup("<ul class=blocks role=list>{}</ul>").format(joined(items))


def _footer(context: BlockContext) -> Markup:
    report = Markup(' · <a href="{}" rel=nofollow>{}</a>').format(
        safe_href(context.sources.report_url), context.words.report
    )
    return Markup("<footer><p{}>Waypost · {}{}</p></footer>").format(
        context.words_language,
        context.words.no_cookies,
        report if context.sources.report_url else EMPTY,
    )
