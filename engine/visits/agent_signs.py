"""Signs of what sent a user agent, apart from names of known programs: engines, apps, words of programs.

All words are found in one pass over the lower-cased text. An expression is tried where a word that it needs is
there, since each would cost a text as much as all words together.
"""

import re
from functools import cache
from typing import Any, Final

ENGINE, APP, PROGRAM = 1, 2, 4

_WORDS: Final = {
    # An engine or a browser of its own kind: what has none of these is no browser, whatever it begins with.
    ENGINE: (
        "webkit", "gecko/", "khtml", "presto/", "trident/", "msie ", "opera/", "opera ", "netfront",
        "firefox/", "ucbrowser", "ucweb", "chrome/", "safari/", "lynx", "links (", "elinks", "w3m",
        "dillo", "netsurf", "konqueror", "icab", "omniweb", "amaya", "netscape", "mosaic",
        "ibrowse", "hotjava", "webtv", "mspie", "iemobile", "webexplorer", "espial", "maple",
        "hbbtv", "nettv", "galeon", "k-meleon", "seamonkey", "retawq",
    ),
    APP: (
        "fban", "fbav", "fb_iab", "metaiab", "instagram ", "barcelona ", "musical_ly",
        "bytedancewebview", "trill_", "snapchat/", "[pinterest/", "sogoumobilebrowser",
        "sogousearch", "linkedinapp", "twitter for ", "twitterandroid", "gsa/", "line/",
        "slack_ssb",
    ),
    PROGRAM: (
        "bot", "crawl", "spider", "slurp", "headless", "phantomjs", "http:", "https:", "scrap",
        "like gecko; ", "@", "mailto:", "synthetic", "monitor", "scanner", "validator", "checker",
        "verifier", "measurement", "www.", "google", "screenshot", "snapshot", "web-capture",
        "webcapture", "webthumb", "websnapr", "wkhtml", "webkit2png", "survey", "analyser",
        "analyzer", "http client", "httpclient", "larbin", "siege/", "extractor", "downloader",
    ),
}  # fmt: skip

# Browsers inside apps, some of which have a crawler of the same name.
_APPS: Final = re.compile(
    r"FBAN|FBAV|FB_IAB|MetaIAB|Instagram [0-9]|Barcelona [0-9]|musical_ly|BytedanceWebview|"
    r"trill_[0-9]|Snapchat/|\[Pinterest/|SogouMobileBrowser|SogouSearch|LinkedInApp|Twitter for |"
    r"TwitterAndroid|\bGSA/|\bLine/[0-9]|Slack_SSB"
)
# What a program says of itself in any place.
_PROGRAM: Final = re.compile(
    r"(?i)(?<!cu)bots?(?![a-z])|crawl|spider|slurp|headless|phantomjs|https?://|scrap(?:er|ing)|"
    r"khtml, like gecko; |[\w.+-]+@[a-z][\w-]*\.[a-z]|mailto:|synthetic|monitor|scanner|validator|"
    r"checker|verifier|measurement|\bwww\.|google[ -](?:ads|page|search|publisher)|-google/|"
    r"screenshot|snapshot|web-?(?:capture|thumb|snapr)|wkhtml|webkit2png|survey|analy[sz]er|"
    r"http ?client|larbin|siege/|extractor|downloader"
)
# What stands in the first brackets of an Android browser although it is no model.
_NO_MODEL: Final = re.compile(r"-Google/|Catchpoint|compatible;|https?://|screenshot")
_SYSTEMS: Final = ("Android", "Adr ", "HarmonyOS")


def signs_of(text: str) -> int:
    """Return the sum of ENGINE, APP and PROGRAM that a word of the text may be a sign of.

    ENGINE is sure; app() and program() tell whether the others are.
    """
    signs = 0
    for _, sign in _words().iter(text.lower()):
        signs |= sign
    return signs


def is_app(text: str) -> bool:
    """Return whether the text is that of a browser inside a known app."""
    return _APPS.search(text) is not None


def program_word(text: str) -> str:
    """Return the word by which a program calls itself one; '' without any."""
    match = _PROGRAM.search(text)
    return match[0].lower() if match else ""


def without_model(agent: str) -> str:
    """Return the text without its first brackets, in which an Android browser has its model.

    Words mean nothing there: `M bot 54`, `Butterfly`, `ViewSonic` are phones.
    """
    start = agent.find("(")
    end = agent.find(")", start)
    if start < 0 or end < 0:
        return agent
    if agent.find("(", start + 1, end) >= 0:  # a model with brackets: `moto g power (2022)`
        end = agent.find(")", end + 1)
    brackets = agent[start : end + 1]
    if not any(system in brackets for system in _SYSTEMS) or _NO_MODEL.search(brackets):
        return agent
    return agent[:start] + agent[end + 1 :]


@cache
def _words() -> Any:
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for sign, words in _WORDS.items():
        for word in words:
            automaton.add_word(word, sign)
    automaton.make_automaton()
    return automaton
