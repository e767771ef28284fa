"""Elements of several blocks. Texts of members enter HTML only by `Markup.format`, which escapes them."""

import re
from collections.abc import Iterable
from typing import Final

from markupsafe import Markup

from engine.pages.html.sources import PagePicture

EMPTY: Final = Markup("")
# Of pictures that fill a column; engine/pages/styles has its widths.
COLUMN: Final = "(min-width:1000px)680px,(min-width:552px)520px,92vw"
HALF_COLUMN: Final = "(min-width:552px)340px,46vw"
_FALLBACK_WIDTH: Final = 640
_SAFE_URL: Final = re.compile(r"(?:https?://|mailto:|tel:|/)[\x21-\x7e]*", re.IGNORECASE)
_SAFE_HASH: Final = re.compile("[A-Za-z0-9_-]{8,64}")


def joined(parts: Iterable[Markup]) -> Markup:
    """Return the parts one after another."""
    return EMPTY.join(parts)


def safe_href(url: str) -> str:
    """Return the URL if a visitor may be led there; else `#`, which leads nowhere.

    Drafts are validated long before, so this only holds back what was written past the validation.
    """
    return url if _SAFE_URL.fullmatch(url) else "#"


def optional(template: Markup, text: str | Markup) -> Markup:
    """Return the template with the text in its place, or nothing if there is none."""
    return template.format(text) if text else EMPTY


def title_and_line(title: str, line: str) -> Markup:
    """Return a title with the line below it."""
    return Markup("<b dir=auto>{}</b>{}").format(
        title, optional(Markup("<small dir=auto>{}</small>"), line)
    )


def thumb(picture: PagePicture, alt: str, width: int, height: int) -> Markup:
    """Return a picture shown at one small size in CSS pixels, as sharp as two pixels for each."""
    wanted = min((w for w in picture.widths if w >= 2 * width), default=max(picture.widths))
    return _picture(picture, alt, (wanted,), "", (width, height), is_lazy=True)


def face(picture: PagePicture, alt: str) -> Markup:
    """Return the picture at the head of the page, never lazily loaded."""
    wanted = min((w for w in picture.widths if w >= 288), default=max(picture.widths))
    return _picture(
        picture, alt, (wanted,), "", (144, 144), is_lazy=False, more=Markup(" class=face")
    )


def large(picture: PagePicture, alt: str, sizes: str = COLUMN, *, is_first: bool = False) -> Markup:
    """Return a picture that fills a column. `is_first`: visitors see it first, so it is loaded first."""
    more = Markup(" fetchpriority=high") if is_first else EMPTY
    size = (picture.width, picture.height)
    # Two widths are enough: a column on a screen of one and of two or three pixels a point.
    widths = picture.widths[-2:] if sizes == COLUMN else picture.widths[:2]
    return _picture(picture, alt, widths, sizes, size, is_lazy=not is_first, more=more)


def _picture(
    picture: PagePicture,
    alt: str,
    widths: tuple[int, ...],
    sizes: str,
    size: tuple[int, int],
    *,
    is_lazy: bool,
    more: Markup = EMPTY,
) -> Markup:
    if _SAFE_HASH.fullmatch(picture.hash) is None:
        return EMPTY
    # Only the first format has a choice of widths: few browsers take another one.
    single = max((w for w in widths if w <= _FALLBACK_WIDTH), default=min(widths))
    sources, choice = [], widths
    for format_ in picture.formats:
        if format_ == "jpg":
            continue
        source = Markup("<source type=image/{} {}>")
        sources.append(source.format(format_, _srcset(picture.hash, choice, format_, sizes)))
        choice = (single,)
    lazy = Markup(" loading=lazy") if is_lazy else EMPTY
    image = Markup('<img src={} width={} height={} alt="{}"{}{}>').format(
        rendition(picture.hash, single, "jpg"), *size, alt, lazy, more
    )
    return Markup("<picture>{}{}</picture>").format(joined(sources), image)


def _srcset(hash_: str, widths: tuple[int, ...], format_: str, sizes: str) -> Markup:
    if len(widths) == 1:
        return Markup("srcset={}").format(rendition(hash_, widths[0], format_))
    candidates = ",".join(f"{rendition(hash_, width, format_)} {width}w" for width in widths)
    return Markup('srcset="{}" sizes="{}"').format(candidates, sizes)


def rendition(hash_: str, width: int, format_: str) -> str:
    """Return the path of a rendition of a picture."""
    return f"/a/{hash_}-{width}.{format_}"
