"""Blocks that lead on: links of five styles, repositories, videos, sounds and products."""

from urllib.parse import urlsplit

from markupsafe import Markup

from engine.pages import blocks as b
from engine.pages.html.block_view import BlockContext, BlockView, anchor, badge_html
from engine.pages.html.elements import (
    EMPTY,
    joined,
    large,
    optional,
    safe_href,
    thumb,
    title_and_line,
)
from engine.pages.html.icons import icon
from engine.pages.html.sources import RepositoryCard
from engine.pages.html.style import language_class
from engine.pages.html.wording import amount, clock, date, whole_number


def link(context: BlockContext, block: b.LinkBlock) -> BlockView | None:
    """Return a link in its style."""
    card = context.link(block.link_id)
    if card is None:
        return None
    picture = context.picture(block.picture) if block.style != "plain" else None
    words = title_and_line(block.title or card.title, block.line)
    badge = badge_html(context, block.badge)
    if block.style == "featured" and picture is not None:
        shown = large(picture, "", is_first=context.take_priority())
        content = Markup("{}{}<span>{}</span>").format(shown, badge, words)
        context.use("feature")
        return BlockView(anchor("card feature", card.href, content))
    shown = thumb(picture, "", 48, 48) if picture is not None else EMPTY
    classes = {"filled": " button", "centre": " centre"}.get(block.style, "")
    content = Markup("{}<span>{}</span>{}").format(shown, words, badge)
    context.use("link", *classes.split())
    return BlockView(anchor(f"card link{classes}", card.href, content), is_half=True)


def repository(context: BlockContext, block: b.RepositoryBlock) -> BlockView | None:
    """Return a repository's card; before its first synchronisation a plain link."""
    card = context.link(block.link_id)
    if card is None:
        return None
    known = context.sources.repositories.get(int(block.link_id))
    if known is None:
        context.use("link")
        content = Markup("<span>{}</span>").format(title_and_line(card.title, ""))
        return BlockView(anchor("card link", card.href, content), is_half=True)
    facts = known.facts
    owner, _, name = facts.full_name.rpartition("/")
    content = Markup("<span class=name>{}<bdi dir=ltr>{} / {}</bdi></span>{}{}").format(
        icon("book"),
        owner,
        name,
        optional(Markup("<small dir=auto>{}</small>"), facts.description or ""),
        _facts(context, known),
    )
    context.use("repository", "icon")
    return BlockView(anchor("card pad repo", card.href, content), is_half=True)


def _facts(context: BlockContext, card: RepositoryCard) -> Markup:
    facts, words = card.facts, context.words
    parts = []
    if facts.language:
        context.languages.add(facts.language)
        colour = language_class(facts.language)
        dot = Markup("<i class={}></i>").format(colour) if colour else Markup("<i></i>")
        parts.append(Markup("<span>{}{}</span>").format(dot, facts.language))
    parts.append(Markup("<span>★ {}</span>").format(whole_number(facts.stars, words)))
    if facts.last_release is not None:
        published = facts.last_release.published_at
        text = facts.last_release.tag + (f", {date(published, words)}" if published else "")
        parts.append(Markup("<span>{}</span>").format(text))
    if facts.licence:
        parts.append(Markup("<span>{}</span>").format(facts.licence))
    if facts.archived:
        parts.append(Markup("<span>{}</span>").format(words.archived))
    if context.is_stale(card.synced_at):
        as_of = f"{words.as_of} {date(card.synced_at, words)}"
        parts.append(Markup("<span>{}</span>").format(as_of))
    return Markup("<small class=facts{}>{}</small>").format(context.words_language, joined(parts))


def video(context: BlockContext, block: b.VideoBlock) -> BlockView | None:
    """Return a video's picture with where it plays. Nothing is loaded from there."""
    href = context.destination(block.link_id, block.url)
    if not href:
        return None
    picture = context.picture(block.picture)
    poster = large(picture, "", is_first=context.take_priority()) if picture else EMPTY
    length = clock(block.duration_s) if block.duration_s else ""
    content = Markup(
        "<span class=poster>{}<span class=play>{}</span>{}</span><span>{}</span>"
    ).format(
        poster,
        icon("play"),
        optional(Markup("<span class=length>{}</span>"), length),
        title_and_line(block.title, block.line or _plays_at(context, block)),
    )
    context.use("play", "video", "icon")
    return BlockView(anchor("card video", href, content))


def audio(context: BlockContext, block: b.AudioBlock) -> BlockView | None:
    """Return a sound with where it plays."""
    href = context.destination(block.link_id, block.url)
    if not href:
        return None
    picture = context.picture(block.picture)
    play = Markup("<span class=play>{}</span>").format(icon("play"))
    if picture is not None:
        play = Markup("<span class=cover>{}{}</span>").format(thumb(picture, "", 64, 64), play)
    line = block.line or _plays_at(context, block)
    if block.duration_s:
        line = f"{clock(block.duration_s)} · {line}" if line else clock(block.duration_s)
    content = Markup("{}<span>{}</span>").format(play, title_and_line(block.title, line))
    context.use("play", "audio", "icon")
    return BlockView(anchor("card audio", href, content), is_half=True)


def _plays_at(context: BlockContext, block: b.PlayableBlock) -> str:
    """Return where a block with a URL plays; the target of a link is the link's own affair."""
    try:
        host = urlsplit(block.url).hostname or ""
    except ValueError:
        host = ""
    return context.words.plays_at.format(host=host.removeprefix("www.")) if host else ""


def product(context: BlockContext, block: b.ProductBlock) -> BlockView | None:
    """Return something to buy, with its price."""
    href = context.destination(block.link_id, block.url)
    if not href:
        return None
    picture = context.picture(block.picture)
    price = amount(block.price, block.currency, context.words) if block.price else ""
    buy = Markup('<a class="act fill" href="{}" rel=nofollow aria-label="{} {}"{}>{}</a>').format(
        safe_href(href), context.words.buy, block.title, context.words_language, context.words.buy
    )
    content = Markup("{}<div>{}<p class=buy>{}{}</p></div>").format(
        thumb(picture, block.alt, 88, 88) if picture else EMPTY,
        title_and_line(block.title, block.line),
        price,
        buy,
    )
    context.use("product", "act", "fill")
    html = Markup('<article class="card pad product">{}</article>').format(content)
    return BlockView(html, is_half=True)
