"""User agents: the browser, operating system, class of device and app that a text names.

Families are those of ua-parser's list (`Chrome Mobile`, `iOS`), which most tools share. Where that list knows a
text's engine only, or a maker instead of a system, the tables below say more; what client hints said beyond the
user agent goes before both (engine/clicks/agents/client_hints.py). Classes of devices are of
engine/clicks/agents/device.py.
"""

import re
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from ua_parser import Domain, Parser

from engine.clicks import dimension
from engine.clicks.agents import device as devices
from engine.clicks.agents.client_hints import take_hints

MAX_NAME: Final = 64  # characters
MAX_KNOWN: Final = 16_384

# Browsers that the list takes for the engine that they are made of, by a part of the lower-cased text.
_BROWSERS: Final = (
    ("yabrowser", "Yandex Browser"), ("yasearchbrowser", "Yandex Browser"),
    ("yaapp_android", "Yandex Browser"), ("quark/", "Quark"), ("mzbrowser/", "Meizu Browser"),
    ("sogoumobilebrowser", "Sogou Mobile Browser"), ("sogousearch", "Sogou Mobile Browser"),
    ("tv bro/", "TV Bro"), ("lg browser/", "LG Browser"), ("lg netcast", "LG Browser"),
    ("web0s", "LG Browser"), ("xiaomi/miuibrowser", "MiuiBrowser"), ("ucbrowser", "UC Browser"),
    (") uc applewebkit", "UC Browser"), ("onebrowser/", "ONE Browser"),
    ("maui wap", "MAUI WAP Browser"), ("pocketbook/", "PocketBook"), ("bdbrowser", "Baidu Browser"),
    ("bidubrowser", "Baidu Browser"), ("baiduhd", "Baidu Browser"), ("360 aphone", "360 Browser"),
    ("qihu 360", "360 Browser"), ("2345explorer", "2345 Explorer"),
    ("huaweibrowser", "Huawei Browser"), ("ddg/", "DuckDuckGo"),
    ("heytapbrowser", "HeyTap Browser"), ("opr/", "Opera"), ("qwant", "Qwant"),
    ("nintendobrowser", "Nintendo Browser"), ("picobrowser", "Pico Browser"),
    ("atlas/", "ChatGPT Atlas"), ("netsurf", "NetSurf"), ("up.browser", "UP.Browser"),
    ("arkweb/", "ArkWeb"), ("acheetahi/", "CM Browser"), ("tbrowser/", "T-Browser"),
    ("cobalt/", "Cobalt"),
)  # fmt: skip
# Families of the list that are a standard of TVs or a mistake, and say less than the text's own words.
_NO_BROWSERS: Final = frozenset(("", "HbbTV", "M bot", "WebKit Nightly", "CFNetwork", "Apple Mail"))
_ENGINES: Final = (
    ("opr/", "Opera"), ("opera", "Opera"), ("odin/", "Odin"), ("vewd", "Vewd Browser"),
    ("firefox/", "Firefox"), ("chrome/", "Chrome"), ("chromium", "Chromium"), ("safari/", "Safari"),
    ("android", "Android"),
)  # fmt: skip

# Names of the list for which people say another one; makers of TVs, which are no systems.
_SYSTEMS: Final = {
    "Web0S": "webOS", "ATV OS X": "tvOS", "Chromecast Linux": "Linux", "Chromecast Android": "Android",
    "Chromecast Fuchsia": "Fuchsia", "Chromecast SmartSpeaker": "Linux", "Sony": "Linux", "Samsung": "Linux",
    "Panasonic": "Linux", "Philips": "Linux", "LG": "Linux", "GoogleTV": "Android", "Linux Mint": "Linux Mint",
}  # fmt: skip
# Systems that the list does not know, or takes for another one, by a part of the lower-cased text.
_OTHER_SYSTEMS: Final = (
    ("harmonyos", "HarmonyOS"), ("openharmony", "HarmonyOS"), ("web0s", "webOS"),
    ("watch os", "watchOS"), ("watchos", "watchOS"), ("windows ce", "Windows CE"), ("tvos", "tvOS"),
    ("kaios", "KaiOS"), ("tizen", "Tizen"), ("vizios", "ViziOS"), ("vizio", "ViziOS"),
    ("rokuos", "Roku OS"), ("roku/", "Roku OS"), ("rokubrowser", "Roku OS"),
    ("whaleos", "Whale OS"), ("zeasn", "Whale OS"), ("kepler/", "Vega OS"), ("fuchsia", "Fuchsia"),
    ("palmsource", "Palm OS"), ("palmos", "Palm OS"), ("andr0id", "Android"),
    ("diordna", "Android"), ("; xbox", "Xbox"), ("(xbox", "Xbox"), ("playstation", "PlayStation"),
    ("nintendo", "Nintendo"),
)  # fmt: skip
# The same for texts of which the list knows no system.
_LAST_SYSTEMS: Final = (
    ("series60", "Symbian OS"), ("nokia", "Symbian OS"), ("symbian", "Symbian OS"), ("(iph", "iOS"),
    ("iphone", "iOS"), ("ipad", "iOS"), ("j2me", "Java ME"), ("midp", "Java ME"), ("mre/", "MRE"),
    ("maui", "MTK"), ("nucleus", "Nucleus"), ("mocor", "Mocor"), (";aft", "Fire OS"),
    ("stb", "Linux"), ("mac_powerpc", "Mac OS X"), ("macintosh", "Mac OS X"),
    ("mac os", "Mac OS X"), ("mac 10", "Mac OS X"), ("haiku", "Haiku"), ("beos", "BeOS"),
    ("morphos", "MorphOS"), ("amiga", "AmigaOS"), ("risc os", "RISC OS"), ("os/2", "OS/2"),
    ("hp-ux", "HP-UX"), ("aix", "AIX"), ("cros ", "Chrome OS"), ("android", "Android"),
    ("ms-office", "Windows"), ("win10", "Windows"), ("win16", "Windows"), ("windows", "Windows"),
    ("x11", "Linux"), ("linux", "Linux"),
)  # fmt: skip

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


UNKNOWN: Final = UserAgent("", "", devices.OTHER, "")


@lru_cache(MAX_KNOWN)
def parse(text: str) -> UserAgent:
    """Return the families of a user agent. Takes some 60 µs for a new text."""
    if not text:
        return UNKNOWN
    if text == dimension.OTHER:  # of visitors who are not told apart (engine/clicks/new_texts.py)
        return UserAgent(text, text, devices.OTHER, "")
    agent, hints = take_hints(text)
    parsed = _parser()(agent, Domain.USER_AGENT | Domain.OS)
    lowered = agent.lower()
    return UserAgent(
        hints.brand or _browser(lowered, _family(parsed.user_agent)),
        hints.platform or _system(lowered, _family(parsed.os)),
        devices.device(text),
        _app(agent),
    )


def _family(part: Any) -> str:
    family = part.family if part is not None else ""
    return "" if family == "Other" else family[:MAX_NAME]


def _browser(lowered: str, family: str) -> str:
    if name := _first(_BROWSERS, lowered):
        return family if name in family else name
    return _first(_ENGINES, lowered) or family if family in _NO_BROWSERS else family


def _system(lowered: str, family: str) -> str:
    system = _first(_OTHER_SYSTEMS, lowered) or _SYSTEMS.get(family, family)
    return system or _first(_LAST_SYSTEMS, lowered)


def _first(names: tuple[tuple[str, str], ...], lowered: str) -> str:
    """Return the name of the first part that is in the text; '' if none is."""
    return next((name for part, name in names if part in lowered), "")


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
