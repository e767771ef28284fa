"""Shell: the one HTML document of all screens. What a screen shows comes from `/v1`, by its module."""

from typing import Final
from urllib.parse import quote

from api.dashboard.files import DashboardFiles

THEMES: Final = ("light", "dark")
# No script or style but our own files, and no text that becomes markup: `trusted-types 'none'` lets no
# innerHTML and its kin work. The page editor frames the preview of a page.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; require-trusted-types-for 'script'; "
    "trusted-types 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def shell(assets: DashboardFiles, *, session: bool, theme: str = "") -> str:
    """Return the document. It names its assets by their hash, and carries the icons, its own included, so that
    nothing else has to be asked for.

    `session`: whether it is for a browser with a session's cookie, which scripts do not see. It may have ended.
    `theme`: one of THEMES, or empty: as the reader's system has it.
    """
    attributes = " data-session" * session + f' data-theme="{theme}"' * bool(theme)
    return f"""<!doctype html>
<html lang="en"{attributes}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="color-scheme" content="light dark">
<title>Waypost</title>
<link rel="stylesheet" href="{assets.path("app.css")}">
<link rel="icon" href="data:image/svg+xml,{quote(assets.icon)}" type="image/svg+xml">
<script type="module" src="{assets.path("app.js")}"></script>
</head>
<body>
{assets.sprite}
<noscript><main class="gatein"><h1>Waypost</h1>
<p>The dashboard needs JavaScript. Public pages, exports and the <a href="/docs">API</a> work without it.</p>
</main></noscript>
</body>
</html>
"""
