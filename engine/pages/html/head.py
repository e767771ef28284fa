"""The document's head: what browsers, search engines and networks read of a page."""

import json
from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup

from engine.pages.html.elements import joined, rendition, safe_href
from engine.pages.html.sources import PagePicture, PageSources
from engine.pages.page import ProfilePage
from engine.pages.palette import Palettes

SHARING_SIZE: Final = (1200, 630)
_META: Final = Markup('<meta name={} content="{}">')
_PROPERTY: Final = Markup('<meta property={} content="{}">')


def shown_name(page: ProfilePage, sources: PageSources) -> str:
    """Return whose page it is: the page's name, else the profile's title, else its handle."""
    return page.name or sources.title or f"@{sources.handle}"


def head_html(page: ProfilePage, sources: PageSources, palettes: Palettes, style: str) -> Markup:
    """Return the head's elements. `style` is our own and never a member's text."""
    name = shown_name(page, sources)
    description = page.sharing.text or " ".join(page.bio.split())
    face = sources.pictures.get(page.picture)
    parts = [
        Markup(
            '<meta charset=utf-8><meta name=viewport content="width=device-width,initial-scale=1">'
        ),
        Markup("<title>{}</title>").format(name),
        Markup('<link rel=canonical href="{}">').format(safe_href(sources.url)),
        *_icons(sources, face),
        *_theme_colours(page, palettes),
    ]
    if description:
        parts.append(_META.format("description", description))
    if not page.indexing or sources.is_preview:
        parts.append(_META.format("robots", "noindex"))
    parts += _card(page, sources, name, description, face)
    parts.append(_json_ld(page, sources, name, face))
    parts.append(Markup("<style>{}</style>").format(Markup(style)))  # noqa: S704
    return joined(parts)


def _icons(sources: PageSources, face: PagePicture | None) -> list[Markup]:
    href = rendition(face.hash, min(face.widths), "jpg") if face and face.widths else "/favicon.ico"
    manifest = sources.file_path("manifest.webmanifest")
    return [
        Markup('<link rel=icon href="{}"><link rel=manifest href="{}">').format(
            safe_href(href), safe_href(manifest)
        )
    ]


def _theme_colours(page: ProfilePage, palettes: Palettes) -> list[Markup]:
    if page.scheme != "auto":
        colours = palettes.dark if page.scheme == "dark" else palettes.light
        return [_META.format("theme-color", colours.bg)]
    element = Markup('<meta name=theme-color media="(prefers-color-scheme:{})" content="{}">')
    return [
        element.format("light", palettes.light.bg),
        element.format("dark", palettes.dark.bg),
    ]


def _card(
    page: ProfilePage, sources: PageSources, name: str, description: str, face: PagePicture | None
) -> list[Markup]:
    """Return Open Graph and Twitter's fields."""
    image = sharing_image(page, sources, face)
    fields = [
        ("og:type", "profile"),
        ("og:title", page.sharing.title or name),
        ("og:description", description),
        ("og:url", sources.url),
        ("og:image", image),
    ]
    parts = [_PROPERTY.format(field, value) for field, value in fields if value]
    if image and image == absolute(sources, sources.sharing_picture):
        sizes = zip(("og:image:width", "og:image:height"), SHARING_SIZE, strict=True)
        parts += [_PROPERTY.format(field, size) for field, size in sizes]
    parts.append(_META.format("twitter:card", "summary_large_image" if image else "summary"))
    return parts


def sharing_image(page: ProfilePage, sources: PageSources, face: PagePicture | None) -> str:
    """Return the URL of the picture that networks show: the member's choice, the drawn one, or the face."""
    chosen = sources.pictures.get(page.sharing.picture)
    if chosen is not None and chosen.widths:
        return absolute(sources, rendition(chosen.hash, max(chosen.widths), "jpg"))
    if sources.sharing_picture:
        return absolute(sources, sources.sharing_picture)
    if face is not None and face.widths:
        return absolute(sources, rendition(face.hash, max(face.widths), "jpg"))
    return ""


def absolute(sources: PageSources, path: str) -> str:
    """Return a path of the page's host as a URL."""
    if not path:
        return ""
    parts = urlsplit(sources.url)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _json_ld(
    page: ProfilePage, sources: PageSources, name: str, face: PagePicture | None
) -> Markup:
    """Return the page as schema.org's ProfilePage, a block of data that browsers do not run."""
    entity = {
        "@type": "Person",
        "name": name,
        "alternateName": sources.handle,
        "image": absolute(sources, rendition(face.hash, max(face.widths), "jpg"))
        if face and face.widths
        else "",
        "sameAs": [item.url for item in page.social if item.url.startswith("http")],
    }
    data = {
        "@context": "https://schema.org",
        "@type": "ProfilePage",
        "mainEntity": {key: value for key, value in entity.items() if value},
    }
    return Markup("<script type=application/ld+json>{}</script>").format(_script_safe(data))


def _script_safe(data: object) -> Markup:
    """Return data as JSON that cannot end the element which it stands in."""
    # Not by msgspec: it refuses lone surrogates, which are replaced when the document is encoded.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704
