"""Blocks with which visitors do something: contacts, events, dates, the page's code, the form for addresses."""

import re

from markupsafe import Markup

from engine.common.json_forms import time_text
from engine.pages import blocks as b
from engine.pages.html.block_view import BlockContext, BlockView
from engine.pages.html.elements import EMPTY, joined, optional, safe_href, title_and_line
from engine.pages.html.icons import icon
from engine.pages.html.wording import date, in_zone, span, zone_name


def contact(context: BlockContext, block: b.ContactBlock) -> BlockView | None:
    """Return somebody's address, with a vCard to save."""
    addresses = []
    if block.email:
        mail = safe_href(f"mailto:{block.email}")
        addresses.append(Markup('<a href="{}">{}</a>').format(mail, block.email))
    if block.phone:
        digits = re.sub(r"[^0-9+*#]", "", block.phone)
        addresses.append(Markup('<a href="tel:{}" dir=ltr>{}</a>').format(digits, block.phone))
    context.use("contact")
    html = Markup(
        '<section class="card pad contact" aria-label="{}"><div>{}<p>{}</p></div>{}</section>'
    )
    return BlockView(
        html.format(
            context.words.contact,
            title_and_line(block.name, block.organisation),
            joined(addresses),
            _download(context, f"contact-{block.id}.vcf", "user-plus", context.words.save_contact),
        )
    )


def _download(context: BlockContext, name: str, icon_name: str, label: str) -> Markup:
    context.use("act", "icon")
    return Markup('<a class=act href="{}" download{}>{}{}</a>').format(
        context.sources.file_path(name), context.words_language, icon(icon_name), label
    )


def event(context: BlockContext, block: b.EventBlock) -> BlockView | None:
    """Return an event with its day, to be added to a calendar."""
    words = context.words
    starts_at = in_zone(block.starts_at, block.zone)
    ends_at = in_zone(block.ends_at, block.zone) if block.ends_at is not None else None
    tile = Markup("<span class=tile aria-hidden=true>{}<b>{}</b></span>").format(
        words.months[starts_at.month - 1], starts_at.day
    )
    when = Markup('<small{}><time datetime="{}">{}</time> ({})</small>').format(
        context.words_language,
        time_text(starts_at),
        span(starts_at, ends_at, words),
        zone_name(block.zone),
    )
    context.use("event")
    html = Markup(
        '<article class="card pad event">{}<div><b dir=auto>{}</b>{}{}{}{}</div></article>'
    )
    return BlockView(
        html.format(
            tile,
            block.title,
            when,
            optional(Markup("<small dir=auto>{}</small>"), block.place),
            optional(Markup("<small dir=auto>{}</small>"), block.line),
            _download(context, f"event-{block.id}.ics", "calendar-plus", words.add_to_calendar),
        ),
        is_half=True,
    )


def until(context: BlockContext, block: b.UntilBlock) -> BlockView | None:
    """Return a sentence with the day until which it holds."""
    ends_at = in_zone(block.ends_at, block.zone)
    day = Markup('<small{}>{} <time datetime="{}">{}, {:%H:%M}</time></small>').format(
        context.words_language,
        context.words.until,
        time_text(ends_at),
        date(ends_at, context.words),
        ends_at,
    )
    html = Markup('<p class="card pad until">{}<span><b dir=auto>{}</b>{}</span></p>')
    context.use("until", "icon")
    return BlockView(html.format(icon("clock"), block.text, day), is_half=True)


def qr(context: BlockContext, block: b.QrBlock) -> BlockView | None:
    """Return the code of the page, which another phone can read."""
    image = Markup('<img src="{}" width=112 height=112 alt="{}" loading=lazy>').format(
        context.sources.file_path("qr"), context.words.qr
    )
    html = Markup('<figure class="card pad qr">{}{}</figure>').format(
        image, optional(Markup("<figcaption dir=auto>{}</figcaption>"), block.caption)
    )
    context.use("caption", "qr")
    return BlockView(html, is_half=True)


def email_form(context: BlockContext, block: b.EmailFormBlock) -> BlockView | None:
    """Return a form that asks for a mail address."""
    words = context.words
    field = f"mail-{block.id}"
    html = Markup(
        '<form class="card pad form" method=post action="{action}"><div>{title}</div><div>'
        '<label for="{field}"{lang}>{email}</label><div class=row>'
        '<input id="{field}" name=email type=email autocomplete=email required maxlength=254>'
        '<input type=hidden name=block value="{block}">'
        '<button class="act fill"{lang}>{button}</button></div></div>{consent}</form>'
    ).format(
        action=context.sources.file_path("subscribe"),
        title=title_and_line(block.title, block.line),
        field=field,
        lang=EMPTY if block.button else context.words_language,
        email=words.email,
        block=block.id,
        button=block.button or words.subscribe,
        consent=optional(Markup("<small dir=auto>{}</small>"), block.consent),
    )
    context.use("act", "fill", "email_form")
    return BlockView(html)
