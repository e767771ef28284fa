"""User agents: the browser, operating system, class of device and app that a text names.

Families are those of ua-parser's list (`Chrome Mobile`, `iOS`). The list has no classes of devices,
so these follow from the system and from words that makers use: an Android without `Mobile` is a tablet, as
Google recommends to makers. An iPad names itself, unless it requests desktop sites: then it looks like a Mac.
"""

import re
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from ua_parser import Domain, Parser

from engine.clicks import dimension

DESKTOP: Final = "desktop"
PHONE: Final = "phone"
TABLET: Final = "tablet"
TV: Final = "tv"
CONSOLE: Final = "console"
OTHER: Final = "other"
DEVICES: Final = (DESKTOP, PHONE, TABLET, TV, CONSOLE, OTHER)

MAX_NAME: Final = 64  # characters
MAX_KNOWN: Final = 16_384

_CONSOLE: Final = re.compile(r"PlayStation|Xbox|Nintendo")
_TV: Final = re.compile(
    r"(?i)smart-?tv|googletv|android tv|appletv|apple tv|hbbtv|netcast|web0s|\bviera\b|bravia|roku/|crkey|"
    r"\baft[a-z0-9]{1,6} build|tizen.{0,40}\btv\b|tv safari|philipstv|\bdtv\b"
)
_TABLET: Final = re.compile(r"iPad|Tablet|Kindle|Silk/(?!.*Mobile)|PlayBook|Android(?!.*Mobile)")
_PHONE: Final = re.compile(
    r"iPhone|iPod|Android|Mobile|Windows Phone|BlackBerry|BB10|Opera Mini|KAIOS|KaiOS|Symbian"
)
_DESKTOPS: Final = frozenset(
    {
        "Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Debian", "Red Hat", "SUSE", "Arch Linux",
        "Chrome OS", "FreeBSD", "OpenBSD", "NetBSD", "Solaris", "Mac OS", "Gentoo", "Mandriva", "Slackware",
    }
)  # fmt: skip

_DESKTOP_WORDS: Final = re.compile(
    r"Windows(?! Phone| CE|\.)|Win(?:32|64|98|NT)|Macintosh|Mac OS X|Mac_PowerPC|X11|Linux|"
    r"CrOS|BSD|SunOS|Darwin/"
)
_MOBILE_WORDS: Final = re.compile(
    r"Android|iPhone|iPad|iPod|Windows Phone|Symbian|KAIOS|KaiOS|Tizen|[Ww]eb[O0]S|BlackBerry|BB10|Silk/|Kindle"
)

# Browsers inside apps. The first that is found names the source of a click without a referrer.
_APPS: Final = (
    (re.compile(r"Instagram"), "Instagram"),
    (re.compile(r"musical_ly|BytedanceWebview|trill_[0-9]|TikTok"), "TikTok"),
    (re.compile(r"Messenger(?:ForiOS|LiteForiOS)|Orca-Android|FB_IAB/MESSENGER"), "Messenger"),
    (re.compile(r"FBAN|FBAV|FB_IAB"), "Facebook"),
    (re.compile(r"Barcelona [0-9]"), "Threads"),
    (re.compile(r"Twitter for |TwitterAndroid"), "X"),
    (re.compile(r"LinkedInApp"), "LinkedIn"),
    (re.compile(r"Pinterest"), "Pinterest"),
    (re.compile(r"Snapchat"), "Snapchat"),
    (re.compile(r"MicroMessenger"), "WeChat"),
    (re.compile(r"\bLine/[0-9]"), "LINE"),
    (re.compile(r"KAKAOTALK"), "KakaoTalk"),
    (re.compile(r"Telegram"), "Telegram"),
    (re.compile(r"WhatsApp"), "WhatsApp"),
    (re.compile(r"\bReddit/"), "Reddit"),
    (re.compile(r"com\.google\.android\.youtube"), "YouTube"),
    (re.compile(r"\bGSA/"), "Google"),
)  # fmt: skip


class UserAgent(NamedTuple):
    """Family names, '' where unknown; `app` is a source's name (engine/clicks/referrer.py) or ''."""

    browser: str
    os: str
    device: str
    app: str


UNKNOWN: Final = UserAgent("", "", OTHER, "")


@lru_cache(MAX_KNOWN)
def parse(text: str) -> UserAgent:
    """Return the families of a user agent. Takes some 50 µs for a new text."""
    if not text:
        return UNKNOWN
    if text == dimension.OTHER:  # of visitors who are not told apart (engine/clicks/new_texts.py)
        return UserAgent(text, text, OTHER, "")
    found = _parser()(text, Domain.USER_AGENT | Domain.OS)
    browser = _family(found.user_agent)
    os = _family(found.os)
    return UserAgent(browser, os, _device(text, os), _app(text))


def _family(part: Any) -> str:
    family = part.family if part is not None else ""
    return "" if family == "Other" else family[:MAX_NAME]


def _device(text: str, os: str) -> str:
    if _CONSOLE.search(text):
        return CONSOLE
    if _TV.search(text):
        return TV
    if _TABLET.search(text) and os not in _DESKTOPS:
        return TABLET
    if _PHONE.search(text):
        return PHONE
    return DESKTOP if os in _DESKTOPS else OTHER


@lru_cache(MAX_KNOWN)
def device(text: str) -> str:
    """Return the class of device without the list, which edges need for nothing else.

    parse() is more exact where a system is not named by its usual words.
    """
    desktop = _DESKTOP_WORDS.search(text) is not None and _MOBILE_WORDS.search(text) is None
    return _device(text, "Linux" if desktop else "") if text else OTHER


def _app(text: str) -> str:
    return next((name for pattern, name in _APPS if pattern.search(text)), "")


def load() -> None:
    """Load the list, which takes a third of a second and some megabytes, in processes that will parse."""
    _parser()("", Domain.USER_AGENT | Domain.OS)


@cache
def _parser() -> Parser:
    from ua_parser.loaders import load_builtins
    from ua_parser.regex import Resolver

    return Parser(Resolver(load_builtins()))
