"""Hints of clients, sent unasked: what `Sec-CH-UA`, `-Mobile` and `-Platform` say beyond the user agent.

Chromium's browsers send them with every request over TLS. Most say what the user agent says, too. Brave, and
Edge or Opera with a borrowed user agent, name themselves in hints only, and so does an Android browser that
requests desktop sites and then calls itself Linux.

What hints say more stands behind the recorded user agent, in one form, so that the edge, the fold and a
reclassification of years ago read one text: `Mozilla/5.0 … Safari/537.36 Sec-CH-UA (Brave; Android; Mobile)`.
Only names of the tables below get there: a hint is what somebody sent, and no text of theirs is copied.
"""

import re
from typing import Final, NamedTuple

from engine.clicks.click import MAX_USER_AGENT_BYTES
from engine.common.generations import Generations

MAX_HINT_BYTES: Final = 255  # of one field; longer ones are no browser's
MAX_KNOWN: Final = 4_096

# A brand in the hints: what the user agent says if it names the browser, too.
_BRANDS: Final = {
    b"Brave": b"Brave/", b"Microsoft Edge": b"Edg", b"Opera": b"OPR/", b"Opera GX": b"OPX/",
    b"Vivaldi": b"Vivaldi/", b"Samsung Internet": b"SamsungBrowser/", b"Yandex": b"YaBrowser/",
    b"YaBrowser": b"YaBrowser/", b"DuckDuckGo": b"Ddg/", b"Whale": b"Whale/",
    b"Avast Secure Browser": b"Avast/", b"AVG Secure Browser": b"AVG/",
    b"CCleaner Browser": b"CCleaner/", b"Norton Private Browser": b"Norton/",
    b"HeadlessChrome": b"HeadlessChrome/", b"Huawei Browser": b"HuaweiBrowser/", b"Silk": b"Silk/",
    b"Ecosia": b"Ecosia", b"Oculus Browser": b"OculusBrowser/",
}  # fmt: skip
# Platforms that call themselves Linux when their browser requests desktop sites.
_PLATFORMS: Final = (b"Android", b"Chrome OS")
_BRAND: Final = re.compile(rb'"([^"\\]{1,40})"[ \t]*;[ \t]*v=').findall
_MARK: Final = b" Sec-CH-UA ("
_APPENDED: Final = re.compile(r" Sec-CH-UA \(([A-Za-z; ]*)\)\Z")


class Hints(NamedTuple):
    """Words of client hints that a recorded user agent has; '' and False where they say no more than it."""

    brand: str = ""
    platform: str = ""
    mobile: bool = False


def with_hints(user_agent: bytes, brands: bytes, mobile: bytes, platform: bytes) -> bytes:
    """Return the user agent with what the values of its three hints say more, cut to its bound."""
    words = []
    for brand in _BRAND(brands[:MAX_HINT_BYTES]):
        sign = _BRANDS.get(brand)
        if sign is not None and sign not in user_agent:
            words.append(brand)
            break
    name = platform.strip(b' \t"')
    if name in _PLATFORMS and hides_platform(user_agent):
        words.append(name)
        if mobile.strip() == b"?1":
            words.append(b"Mobile")
    if not words:
        return user_agent
    appended = b"%b%b)" % (_MARK, b"; ".join(words))
    return user_agent[: MAX_USER_AGENT_BYTES - len(appended)] + appended


def hides_platform(user_agent: bytes) -> bool:
    """Return whether the hint of the platform may say more than the user agent: it says Linux and no more."""
    return b"Linux" in user_agent and b"Android" not in user_agent


def take_hints(text: str) -> tuple[str, Hints]:
    """Return (the user agent as the browser sent it, what its hints said more)."""
    match = _APPENDED.search(text) if text.endswith(")") else None
    if match is None:
        return text, Hints()
    words = match[1].split("; ")
    brand = next((word for word in words if word.encode() in _BRANDS), "")
    platform = next((word for word in words if word.encode() in _PLATFORMS), "")
    return text[: match.start()], Hints(brand, platform, "Mobile" in words)


class HintedAgents(Generations[tuple[bytes, ...], bytes]):
    """The user agent with its hints, by (user agent, brands) or (user agent, brands, mobile, platform).

    Without a platform, it is empty for a user agent that may hide one.
    """

    def __init__(self) -> None:
        super().__init__(_hinted, MAX_KNOWN)


def _hinted(key: tuple[bytes, ...]) -> bytes:
    agent, brands, *rest = key
    mobile, platform = rest or (b"", b"")
    if rest or not hides_platform(agent):
        return with_hints(agent, brands, mobile, platform)
    return b""
