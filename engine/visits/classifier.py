"""The classifier of visits: which kind of client sent a request, by what the request says of itself.

KINDS is the one table of kinds and of which are counted; docs/counting.md tells users.

| kind | client |
|---|---|
| `human` | a browser, also one inside an app, on a phone of any age, on a TV |
| `app` | what is no browser but somebody's: players, mail, podcasts, a phone's system (CFNetwork, Dalvik) |
| `tool` | command-line tools and HTTP libraries, programs that say nothing known, no user agent at all |
| `bot` | crawlers, scanners, headless browsers, texts that only pretend to be a browser's |
| `monitor` | health checks and measurements of websites |
| `preview` | a messenger or network that shows the link to its users |
| `prefetch` | a browser that loads a page before its user asks for it |
| `head` | a HEAD, whose response no visitor sees |

A tool is counted, since a person may stand behind it, and since a guess would lose clicks that happened; stats
can be filtered by kind.

The order of the signs: a browser inside a known app is human. What stands in the first brackets of an Android
browser is its model, in which words mean nothing (`M bot 54`, `Butterfly`, `ViewSonic`); in the rest of the
text, names of known programs decide (engine/visits/program_names.py), then the words by which programs call
themselves. What has no engine of a browser is somebody's app if its text names a device or a player, and
otherwise a tool, or a bot when it says what bots do.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from engine.clicks.agents.client_hints import with_hints
from engine.clicks.agents.device import DESKTOP, OTHER, device
from engine.clicks.click import COUNTED_CLASSES, RULES_VERSION_SHIFT, VisitorClass
from engine.common.generations import Generations
from engine.visits import agent_signs
from engine.visits.program_names import program_names

# Grows with every change of a classification, and of a device, browser or system that a text gives.
RULES_VERSION: Final = 3
MAX_KNOWN: Final = 32_768

VisitorKind = Literal["human", "app", "tool", "bot", "monitor", "preview", "prefetch", "head"]

# Each kind, and the class that records keep. Those in COUNTED_CLASSES are clicks and views in stats.
KINDS: Final[dict[VisitorKind, VisitorClass]] = {
    "human": VisitorClass.HUMAN, "app": VisitorClass.APP, "tool": VisitorClass.TOOL, "bot": VisitorClass.BOT,
    "monitor": VisitorClass.MONITOR, "preview": VisitorClass.PREVIEW, "prefetch": VisitorClass.PREFETCH,
    "head": VisitorClass.HEAD,
}  # fmt: skip


class Classification(NamedTuple):
    """The class of a visit. `counted`: it is a click or view in stats; `name` is the sign that decided,
    empty for a human; `rule` is the version of the rules."""

    kind: VisitorKind
    counted: bool
    name: str = ""
    rule: int = RULES_VERSION


def classification_of(kind: VisitorKind, name: str = "") -> Classification:
    """Return the classification of a kind, counted as the table says."""
    return Classification(kind, KINDS[kind] in COUNTED_CLASSES, name)


# Kinds that the names of known programs decide, in this order.
_UNCOUNTED: Final[tuple[VisitorKind, ...]] = ("preview", "monitor", "bot")
_HUMAN: Final = classification_of("human")
_HEAD: Final = classification_of("head", "HEAD")

# A program without an engine that says what bots do, or whose they are. Words that any program's name may have
# (check, test, web, agent) are none of them: they would lose clicks that happened.
_BOT_WORDS: Final = re.compile(
    r"(?i)bot(?![a-z])|crawl|spider|scan|fetch(?!/[0-9])|monitor|valid|archiv|index|harvest|"
    r"search|scrap|survey|research|probe|inspect|verif|sniff|grab|leech|extract|collect|analy[sz]|"
    r"audit|seo(?![a-z])|rss|feed|http://|https://|www\.|[\w.-]+@[\w-]+\.|\.(?:com|net|org|io)\b|"
    r"preview|screenshot|thumb|snapshot|capture|discover|reaper|worm|hack|nikto|nmap|sqlmap|zgrab|"
    r"masscan|proxy|download|link ?check"
)
_APP_WORDS: Final = re.compile(
    r"(?i)cfnetwork|darwin/|dalvik|applecoremedia|stagefright|exoplayer|vlc|kodi|xbmc|itunes|"
    r"pod(?:cast|catch)|quicktime|winamp|foobar|spotify|radio|music|player|audio|stream|tune|"
    r"pocket ?casts|overcast|castro|outlook|thunderbird|microsoft office|ms-?office|mail(?!to|"
    r"\.ru|chimp)|postbox|lotus-notes|evolution/|eudora|the bat!|reeder|netnewswire|feedly|"
    r"rss ?(?:owl|bandit|guard|junkie|demon)|liferea|akregator|feed(?:demon|station)|alexa|sonos|"
    r"roku|amazon;|watch ?os|whatsapp|telegram|discord|steam|epic|gog|(?<![a-z])ios(?![a-z])|"
    r"iphone|ipad|android|midp|cldc|windows nt|macos|mac os|symbian|blackberry|kaios|up\.browser|"
    r"obigo|maui|nokia|samsung|docomo|kddi|softbank|j-phone|hbbtv|viber|wechat|tvos|alamofire|"
    r"cast(?![a-z])|castbox|\bpod|pod(?:\b|/)|\.fm|fm/|sound|zune|garmin|bose/|stitcher|rhythmbox|"
    r"clementine|audacious|totem|lavf|torrent|deezer|ivoox|emacs|realmedia|cronet|citrix|"
    r"news(?:ly|beuter|boat)|xiaoyuzhou|antennapod|wap.?browser|polaris|palmscape|xiino|teleca|fdm"
)
_PLATFORM: Final = re.compile(
    r"(?i)windows|win(?:9|nt|32)|mac|x11|linux|unix|os/2|beos|amiga|risc os"
)
_PREFETCH_HEADERS: Final = frozenset(("sec-purpose", "purpose", "x-purpose", "x-moz"))
_PREFETCH_WORDS: Final = ("prefetch", "prerender", "preview")


def judge(
    user_agent: str | bytes | None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Classification:
    """Classify a request; names of `headers` may be in any case."""
    if method.upper() == "HEAD":
        return _HEAD
    hints = {}
    for name, value in (headers or {}).items():
        if is_prefetch(name, value):
            return classification_of("prefetch", name.lower())
        if name.lower().startswith("sec-ch-ua"):
            hints[name.lower()] = value.encode("latin-1", "replace")
    agent = user_agent.encode() if isinstance(user_agent, str) else user_agent or b""
    if hints.get("sec-ch-ua"):
        agent = with_hints(
            agent,
            hints.get("sec-ch-ua", b""),
            hints.get("sec-ch-ua-mobile", b""),
            hints.get("sec-ch-ua-platform", b""),
        )
    return _by_agent(agent.decode("utf-8", "replace").strip()[:512])


def is_prefetch(name: str, value: str) -> bool:
    """Return whether this header says that the browser loads ahead of its user."""
    return name.lower() in _PREFETCH_HEADERS and any(
        word in value.lower() for word in _PREFETCH_WORDS
    )


@lru_cache(maxsize=8192)
def _by_agent(agent: str) -> Classification:
    if not agent:
        return classification_of("tool", "no user agent")
    text = agent_signs.without_model(agent)
    signs = agent_signs.signs_of(text)
    if signs & agent_signs.APP and agent_signs.is_app(text):
        return _HUMAN
    names = program_names().find(text)
    for kind in _UNCOUNTED:
        if name := names.get(kind):
            return classification_of(kind, name)
    word = agent_signs.program_word(text) if signs & agent_signs.PROGRAM else ""
    engine = signs & agent_signs.ENGINE
    # An address alone says nothing of an app: `Player/1.0 iPhone/15 +https://player.example`.
    if word and (engine or not word.startswith("http")):
        return classification_of("bot", word)
    tool = names.get("tool", "")
    if not engine:
        return _without_engine(agent, text, tool)
    return classification_of("tool", tool) if tool and agent.startswith(tool) else _HUMAN


def _without_engine(agent: str, text: str, tool: str) -> Classification:
    """Classify what has no browser's engine: an app, a tool, or a text that only looks like a browser."""
    kind = device(agent)
    if agent.startswith("Mozilla/"):
        if kind not in (OTHER, DESKTOP) or ("compatible" not in agent and _PLATFORM.search(agent)):
            return _HUMAN  # a browser before engines had names, a console's, a feature phone's
        return classification_of("bot", "no engine")
    if app := _APP_WORDS.search(agent):
        return classification_of("app", app[0].lower())
    if tool:
        return classification_of("tool", tool)
    if word := _BOT_WORDS.search(text):
        return classification_of("bot", word[0].lower())
    return (
        classification_of("tool", "unknown program")
        if kind in (OTHER, DESKTOP)
        else classification_of("app", kind)
    )


# ---- as a record has it -----------------------------------------------------------------------------


def pack_classification(classification: Classification) -> int:
    """Return a record's byte: class and version of the rules."""
    return KINDS[classification.kind] | classification.rule << RULES_VERSION_SHIFT


HEAD_RECORDED: Final = pack_classification(_HEAD)
PREFETCH_RECORDED: Final = pack_classification(classification_of("prefetch"))


class ClassificationCache(Generations[bytes, int]):
    """The record's byte for each user agent, classified when it is first seen."""

    def __init__(self) -> None:
        super().__init__(lambda agent: pack_classification(judge(agent)), MAX_KNOWN)
        program_names()  # loaded before the first visitor waits
