"""Blocks to read and to look at: headings, texts, pictures, questions, and what stands between them."""

from markupsafe import Markup

from engine.pages import blocks as b
from engine.pages.html.block_view import BlockContext, BlockView
from engine.pages.html.elements import (
    HALF_COLUMN,
    joined,
    large,
    optional,
    safe_href,
)
from engine.pages.html.icons import service_icon
from engine.pages.html.markdown import markdown
from engine.pages.services import SERVICES, WEBSITE


def heading(context: BlockContext, block: b.HeadingBlock) -> BlockView | None:
    """Return a heading of the blocks below it."""
    context.use("heading")
    return BlockView(Markup("<h2 dir=auto>{}</h2>").format(block.text))


def text(context: BlockContext, block: b.TextBlock) -> BlockView | None:
    """Return paragraphs."""
    context.use("text", "prose")
    return BlockView(
        Markup('<div class="text prose" dir=auto>{}</div>').format(markdown(block.text))
    )


def image(context: BlockContext, block: b.ImageBlock) -> BlockView | None:
    """Return a picture, which may lead to a link."""
    picture = context.picture(block.picture)
    if picture is None:
        return None
    card = context.link(block.link_id) if block.link_id else None
    alt = block.alt or (block.caption or card.title if card else "")
    shown = large(picture, alt, is_first=context.take_priority())
    if card is not None:
        shown = Markup('<a href="{}" rel=nofollow>{}</a>').format(safe_href(card.href), shown)
    html = Markup('<figure class="card image">{}{}</figure>').format(
        shown, _caption(context, block.caption)
    )
    context.use("image")
    return BlockView(html)


def gallery(context: BlockContext, block: b.GalleryBlock) -> BlockView | None:
    """Return pictures in a grid."""
    shown = [
        large(picture, item.alt, HALF_COLUMN, is_first=context.take_priority())
        for item in block.pictures
        if (picture := context.picture(item.picture)) is not None
    ]
    if not shown:
        return None
    html = Markup('<figure class="card gallery g{}">{}{}</figure>').format(
        len(shown), joined(shown), _caption(context, block.caption)
    )
    context.use("gallery", f"gallery-{len(shown)}")
    return BlockView(html)


def _caption(context: BlockContext, caption: str) -> Markup:
    if caption:
        context.use("caption")
    return optional(Markup("<figcaption dir=auto>{}</figcaption>"), caption)


def social_row(context: BlockContext, items: tuple[b.SocialItem, ...]) -> Markup:
    """Return a row of icons that lead to accounts elsewhere, each with the service's name."""
    context.use("social", "icon")
    entries = [
        Markup('<li><a href="{}" rel=me aria-label="{}">{}</a></li>').format(
            safe_href(item.url),
            SERVICES.get(item.service, SERVICES[WEBSITE]).label,
            service_icon(item.service),
        )
        for item in items
    ]
    return Markup('<ul class=social role=list aria-label="{}">{}</ul>').format(
        context.words.elsewhere, joined(entries)
    )


def social(context: BlockContext, block: b.SocialBlock) -> BlockView | None:
    """Return a row of accounts elsewhere among the blocks."""
    return BlockView(social_row(context, block.items))


def divider(context: BlockContext, block: b.DividerBlock) -> BlockView | None:
    """Return a line between blocks."""
    context.use("divider")
    return BlockView(Markup("<hr>"))


def faq(context: BlockContext, block: b.FaqBlock) -> BlockView | None:
    """Return questions whose answers visitors open."""
    items = [
        Markup(
            "<details><summary dir=auto>{}</summary><div class=prose dir=auto>{}</div></details>"
        ).format(item.question, markdown(item.answer))
        for item in block.questions
    ]
    html = Markup('<section class="card faq" aria-label="{}">{}</section>').format(
        context.words.questions, joined(items)
    )
    context.use("faq", "prose")
    return BlockView(html)
