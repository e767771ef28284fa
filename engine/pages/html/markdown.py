"""Markdown of members as HTML: paragraphs, emphasis, links, lists and line ends, nothing else.

markdown-it makes no HTML of what stands in the text, and nh3 takes away whatever is not in its list, so that a
mistake of either one lets nothing out.
"""

from functools import lru_cache
from typing import Final

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_RULES: Final = ("emphasis", "link", "autolink", "list", "newline", "escape", "entity")
_TAGS: Final = {"p", "em", "strong", "a", "ul", "ol", "li", "br"}
_SCHEMES: Final = {"http", "https", "mailto", "tel"}


@lru_cache(maxsize=1)
def _tools() -> tuple[MarkdownIt, nh3.Cleaner]:
    parser = MarkdownIt("zero", {"html": False, "breaks": True, "maxNesting": 8}).enable(_RULES)
    cleaner = nh3.Cleaner(
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes=_SCHEMES,
        link_rel="nofollow noopener",
        strip_comments=True,
    )
    return parser, cleaner


def markdown(text: str) -> Markup:
    """Return the HTML of a text of a member."""
    parser, cleaner = _tools()
    # Lone surrogates cannot be encoded, and nh3 takes UTF-8.
    clean_text = text.encode("utf-8", "replace").decode()
    html: str = parser.render(clean_text)
    return Markup(cleaner.clean(html).strip())  # noqa: S704
