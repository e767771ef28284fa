"""The classifier of visits: human, or which kind of machine, by what the request says of itself.

| kind | client | counted |
|---|---|---|
| `human` | a browser, an app's own browser too | yes |
| `bot` | crawlers, monitors, scanners, headless browsers | no |
| `bot` | command-line tools and HTTP libraries, unknown programs, no user agent at all | yes |
| `preview` | a messenger or network that shows the link to its users | no |
| `prefetch` | a browser that loads a page before its user asks for it | no |
| `head` | a HEAD, whose response no visitor sees | no |

A tool is counted, since a human may stand behind it, and since a guess would lose clicks that happened; stats
can be filtered by class. docs/counting.md tells users.

Patterns are those of `crawler-user-agents`, by its tags, and names by which programs call themselves bots.
Nearly all of them are plain words, matched in one pass (Aho and Corasick, 1975: "Efficient string matching",
CACM 18:6); so a new user agent costs some 30 µs, a known one a look-up.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final, Literal, NamedTuple

from engine.clicks.click import RULES_VERSION_SHIFT, VisitorClass

RULES_VERSION: Final = 2  # grows with every change of a classification
MAX_KNOWN: Final = 8_192

VisitorKind = Literal["human", "bot", "preview", "prefetch", "head"]


class Classification(NamedTuple):
    """The class of a visit. `name` is the pattern that matched, empty for a human; `counted`: it is a click or
    view in stats; `rule` is the version of the rules."""

    kind: VisitorKind
    counted: bool
    name: str = ""
    rule: int = RULES_VERSION


_HUMAN: Final = Classification("human", True)
_HEAD: Final = Classification("head", False, "HEAD")

# Browsers inside apps, and phones that a pattern would take for bots by their names.
_APPS: Final = re.compile(
    r"FBAN|FBAV|FB_IAB|MetaIAB|Instagram [0-9]|musical_ly|BytedanceWebview|trill_[0-9]|Snapchat/|"
    r"\[Pinterest/|SogouMobileBrowser|SogouSearch|LinkedInApp|Twitter for |\bGSA/|\bLine/[0-9]|CUBOT|Cubot"
)
_CALLS_ITSELF_BOT: Final = re.compile(r"(?i)bot\b|bots\b|crawl|spider|slurp|headless|\+https?://")
# Patterns that are too loose: browsers inside these apps have their names at the end, previews at the start.
_STRICTER: Final = {
    "WhatsApp": "^WhatsApp", "Viber": "^Viber", "Tumblr\\/": "^Tumblr/", "Bluesky\\/": "^Bluesky/",
    "Notion\\/": "^Notion/", "Hatena": "^Hatena",
}  # fmt: skip
_LEFT_OUT: Final = ("AP3A\\.240617\\.008",)  # a build of Android that phones have
_ADDED: Final = {"Cardyb": "preview"}
_BROWSERS: Final = ("Mozilla/", "Opera/")
_PREFETCH_HEADERS: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")


def judge(
    user_agent: str | bytes | None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Classification:
    """Classify a request; names of `headers` may be in any case."""
    if method.upper() == "HEAD":
        return _HEAD
    for name, value in (headers or {}).items():
        if is_prefetch(name, value):
            return Classification("prefetch", False, name.lower())
    if isinstance(user_agent, bytes):
        user_agent = user_agent.decode("utf-8", "replace")
    return _by_agent((user_agent or "").strip()[:512])


def is_prefetch(name: str, value: str) -> bool:
    """Return whether this header says that the browser loads ahead of its user."""
    return name.lower() in _PREFETCH_HEADERS and any(
        word in value.lower() for word in ("prefetch", "prerender", "preview")
    )


@lru_cache(maxsize=8192)
def _by_agent(agent: str) -> Classification:
    if not agent:
        return Classification("bot", True, "no user agent")
    if _APPS.search(agent):
        return _HUMAN
    matches = _patterns().matches(agent)
    for tag, kind in (("preview", "preview"), ("bot", "bot")):
        if tag in matches:
            return Classification(kind, False, matches[tag])  # type: ignore[arg-type]
    if named := _CALLS_ITSELF_BOT.search(agent):
        return Classification("bot", False, named[0].lower())
    if "tool" in matches:
        return Classification("bot", True, matches["tool"])
    return _HUMAN if agent.startswith(_BROWSERS) else Classification("bot", True, "unknown program")


class _Patterns:
    """All patterns: plain words in one automaton, the few other ones in one expression."""

    def __init__(self) -> None:
        # With the data, 15 ms and more than a megabyte: only for processes that classify.
        import ahocorasick
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA

        self._words: Any = ahocorasick.Automaton()
        self._others: list[tuple[re.Pattern[str], str]] = []
        for entry in CRAWLER_USER_AGENTS_DATA:
            pattern = entry["pattern"]
            if pattern in _LEFT_OUT:
                continue
            self._add(_STRICTER.get(pattern, pattern), _tag(entry.get("tags", ())))
        for word, tag in _ADDED.items():
            self._add(word, tag)
        self._words.make_automaton()
        self._any_other = re.compile("|".join(f"(?:{other.pattern})" for other, _ in self._others))

    def _add(self, pattern: str, tag: str) -> None:
        word = _plain(pattern)
        if word is None:
            self._others.append((re.compile(pattern), tag))
        else:
            self._words.add_word(word, (tag, word))

    def matches(self, agent: str) -> dict[str, str]:
        """Return the first matching pattern of each tag."""
        patterns: dict[str, str] = {}
        for _, (tag, word) in self._words.iter(agent):
            patterns.setdefault(tag, word)
        if self._any_other.search(agent):
            for pattern, tag in self._others:
                if pattern.search(agent):
                    patterns.setdefault(tag, pattern.pattern)
        return patterns


@cache
def _patterns() -> _Patterns:
    return _Patterns()


def _tag(tags: object) -> str:
    names = set(tags) if isinstance(tags, (list, tuple)) else set()
    if "social-preview" in names:
        return "preview"
    return "tool" if "http-library" in names else "bot"


def _plain(pattern: str) -> str | None:
    """Return the word that a pattern stands for; None when it has an operator."""
    if re.search(r"(?<!\\)[\[\](){}.*+?^$|]|\\\w", pattern):
        return None
    return re.sub(r"\\(\W)", r"\1", pattern)


# ---- as a record has it -----------------------------------------------------------------------------

_CLASSES: Final = {
    "human": VisitorClass.HUMAN, "bot": VisitorClass.BOT, "preview": VisitorClass.PREVIEW,
    "prefetch": VisitorClass.PREFETCH, "head": VisitorClass.HEAD,
}  # fmt: skip


def pack_classification(classification: Classification) -> int:
    """Return a record's byte: class and version of the rules."""
    visitor_class = _CLASSES[classification.kind]
    if visitor_class == VisitorClass.BOT and classification.counted:
        visitor_class = VisitorClass.TOOL
    return visitor_class | classification.rule << RULES_VERSION_SHIFT


HEAD_RECORDED: Final = pack_classification(_HEAD)
PREFETCH_RECORDED: Final = pack_classification(Classification("prefetch", False))


class ClassificationCache(dict[bytes, int]):
    """The record's byte for each user agent, classified when it is first seen. Bounded, and emptied when
    full: after that each is classified once more."""

    def __init__(self) -> None:
        super().__init__()
        _patterns()  # loaded before the first visitor waits

    def __missing__(self, agent: bytes) -> int:
        if len(self) >= MAX_KNOWN:
            self.clear()
        classification = self[agent] = pack_classification(judge(agent))
        return classification
