"""The shell at every screen's URL, and assets under their hash."""

import re
from urllib.parse import unquote

import brotli
import pytest

from api.dashboard.files import dashboard_files
from api.dashboard.shell import POLICY
from api.http.auth import COOKIE
from tests.kit.consoles import Console

PATHS = [
    "/", "/login", "/join", "/profiles", "/account", "/jobs", "/jobs/1", "/system",
    "/p/ada", "/p/ada/links/1", "/p/%F0%9F%8C%B1/webhooks/1/deliveries/2",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_every_screen_is_the_shell(path: str) -> None:
    answered = await Console().call("GET", path, key="")
    assert answered.status == 200
    assert answered.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answered.headers["Content-Security-Policy"] == POLICY
    assert answered.headers["Cache-Control"] == "private, no-cache"
    assert b"needs JavaScript" in answered.body


def test_the_policy_lets_no_text_become_markup_or_script() -> None:
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["trusted-types"] == "'none'"
    assert directives["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in POLICY


async def test_what_no_screen_has_is_not_found() -> None:
    console = Console()
    for path in ("/nowhere", "/p", "/assets", "/assets/x", "/login/x"):
        (await console.call("GET", path, key="")).problem(404)


async def test_an_unchanged_shell_is_not_sent_again() -> None:
    console = Console()
    tag = (await console.call("GET", "/", key="")).headers["ETag"]
    again = await console.call("GET", "/login", key="", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")


async def test_the_shell_says_whether_it_came_with_a_session_s_cookie() -> None:
    """Scripts do not see the cookie, and would have to ask for a session that is not there."""
    console = Console()
    without = await console.call("GET", "/", key="")
    cookie = await console.call("GET", "/", key="", Cookie=f"{COOKIE}=x")
    assert b"data-session" not in without.body
    assert b'<html lang="en" data-session>' in cookie.body
    assert "Cookie" in cookie.headers["Vary"]
    assert without.headers["ETag"] != cookie.headers["ETag"]


async def test_the_shell_comes_in_the_theme_that_was_chosen() -> None:
    """So no script has to set it before anything is drawn."""
    console = Console()
    for cookie, attribute in (
        ("dark", ' data-theme="dark"'),
        ("light", ' data-theme="light"'),
        ("x", ""),
    ):
        page = await console.call("GET", "/", key="", Cookie=f"waypost_theme={cookie}")
        assert f'<html lang="en"{attribute}>'.encode() in page.body
    dark = await console.call("GET", "/", key="", Cookie="waypost_theme=dark")
    again = await console.call("GET", "/", key="", If_None_Match=dark.headers["ETag"])
    assert again.status == 200


async def test_the_shell_s_icon_takes_no_request() -> None:
    page = (await Console().call("GET", "/", key="")).body.decode()
    icon = re.search(r'<link rel="icon" href="data:image/svg\+xml,([^"]+)"', page)
    assert icon is not None
    assert unquote(icon[1]).encode() == dashboard_files().icon


async def test_every_asset_that_the_shell_names_is_there_for_ever() -> None:
    console = Console()
    page = (await console.call("GET", "/", key="")).body.decode()
    paths = re.findall(r'"(/assets/[^"]+)"', page)
    assert len(paths) == 2
    for path in paths:
        answered = await console.call("GET", path, key="")
        assert answered.status == 200
        assert answered.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answered.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("identity", None),
        ("", None),
    ],
)
async def test_an_asset_comes_as_the_client_takes_it(accepted: str, encoding: str | None) -> None:
    path = dashboard_files().path("js/dom.js")
    answered = await Console().call("GET", path, key="", Accept_Encoding=accepted)
    assert answered.headers.get("Content-Encoding") == encoding
    assert answered.headers["Vary"] == "Accept-Encoding"
    plain = brotli.decompress(answered.body) if encoding == "br" else answered.body
    assert encoding == "gzip" or plain.startswith(b"// Elements")


@pytest.mark.parametrize("name", ["js/no.js", "../icons.py", "js/%2e%2e/routes.py", "icons.py", ""])
async def test_no_other_file_is_an_asset(name: str) -> None:
    answered = await Console().call("GET", f"/assets/{dashboard_files().hash}/{name}", key="")
    assert answered.status == 404


async def test_an_asset_of_another_version_is_not_found() -> None:
    answered = await Console().call("GET", "/assets/0000000000000000/js/app.js", key="")
    answered.problem(404)
    assert "immutable" not in answered.headers["Cache-Control"]
