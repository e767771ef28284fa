"""Who asks: a person, or what kind of machine, judged by what the request says of itself.

| kind | what | counted |
|---|---|---|
| `human` | a browser, an app's own browser too | yes |
| `bot` | crawlers, monitors, scanners, headless browsers | no |
| `bot` | command-line tools and HTTP libraries, unknown programs, no user agent at all | yes |
| `preview` | a messenger or network that shows the link to its users | no |
| `prefetch` | a browser that loads what may be wanted next | no |
| `head` | a HEAD, which nobody reads | no |

A tool is counted, since a person may stand behind it, and since a limit that guessed would lose clicks that
happened; whoever does not want it filters by its verdict. docs/counting.md says so to users.

Patterns are those of `crawler-user-agents`, by its tags, and what calls itself a bot. Nearly all of them are
plain words, found together in one pass (Aho and Corasick, 1975: "Efficient string matching", CACM 18:6);
so a user agent never seen costs some 30 µs, one that was seen a look-up.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final, Literal, NamedTuple

from engine.clicks.click import RULES_VERSION_SHIFT, VisitorClass

RULES_VERSION: Final = 2  # grows with every change of what is judged how
MAX_KNOWN: Final = 8_192

VisitorKind = Literal["human", "bot", "preview", "prefetch", "head"]


class Classification(NamedTuple):
    """`name` is the pattern that told, empty for a person; `counted` whether it is a click."""

    kind: VisitorKind
    counted: bool
    name: str = ""
    rule: int = RULES_VERSION


_HUMAN: Final = Classification("human", True)
_HEAD: Final = Classification("head", False, "HEAD")

# Browsers inside apps, and what a pattern would take for a bot by its name.
_APPS: Final = re.compile(
    r"FBAN|FBAV|FB_IAB|MetaIAB|Instagram [0-9]|musical_ly|BytedanceWebview|trill_[0-9]|Snapchat/|"
    r"\[Pinterest/|SogouMobileBrowser|SogouSearch|LinkedInApp|Twitter for |\bGSA/|\bLine/[0-9]|CUBOT|Cubot"
)
_CALLS_ITSELF: Final = re.compile(r"(?i)bot\b|bots\b|crawl|spider|slurp|headless|\+https?://")
# Too loose for us as they are: browsers inside these apps have their names at the end, previews at the start.
# A build of Android that phones have. And what the list lacks.
_CLOSER: Final = {
    "WhatsApp": "^WhatsApp", "Viber": "^Viber", "Tumblr\\/": "^Tumblr/", "Bluesky\\/": "^Bluesky/",
    "Notion\\/": "^Notion/", "Hatena": "^Hatena",
}  # fmt: skip
_LOOSE: Final = ("AP3A\\.240617\\.008",)
_MORE: Final = {"Cardyb": "preview"}
_BROWSERS: Final = ("Mozilla/", "Opera/")
_PREFETCH_HEADERS: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")


def judge(
    user_agent: str | bytes | None,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Classification:
    """What sent a request; `headers` by names in any case."""
    if method.upper() == "HEAD":
        return _HEAD
    for name, value in (headers or {}).items():
        if is_prefetch(name, value):
            return Classification("prefetch", False, name.lower())
    if isinstance(user_agent, bytes):
        user_agent = user_agent.decode("utf-8", "replace")
    return _by_agent((user_agent or "").strip()[:512])


def is_prefetch(name: str, value: str) -> bool:
    """Whether this header says that nobody has asked for it yet."""
    return name.lower() in _PREFETCH_HEADERS and any(
        word in value.lower() for word in ("prefetch", "prerender", "preview")
    )


@lru_cache(maxsize=8192)
def _by_agent(agent: str) -> Classification:
    if not agent:
        return Classification("bot", True, "no user agent")
    if _APPS.search(agent):
        return _HUMAN
    found = _patterns().found(agent)
    for tag, kind in (("preview", "preview"), ("bot", "bot")):
        if tag in found:
            return Classification(kind, False, found[tag])  # type: ignore[arg-type]
    if told := _CALLS_ITSELF.search(agent):
        return Classification("bot", False, told[0].lower())
    if "tool" in found:
        return Classification("bot", True, found["tool"])
    return _HUMAN if agent.startswith(_BROWSERS) else Classification("bot", True, "unknown program")


class _Patterns:
    """All patterns: plain words in one automaton, the few others in one expression."""

    def __init__(self) -> None:
        # With the data, 15 ms and more than a megabyte: for those processes that judge.
        import ahocorasick
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA

        self._words: Any = ahocorasick.Automaton()
        self._others: list[tuple[re.Pattern[str], str]] = []
        for entry in CRAWLER_USER_AGENTS_DATA:
            pattern = entry["pattern"]
            if pattern in _LOOSE:
                continue
            self._add(_CLOSER.get(pattern, pattern), _tag(entry.get("tags", ())))
        for word, tag in _MORE.items():
            self._add(word, tag)
        self._words.make_automaton()
        self._any_other = re.compile("|".join(f"(?:{one.pattern})" for one, _ in self._others))

    def _add(self, pattern: str, tag: str) -> None:
        word = _plain(pattern)
        if word is None:
            self._others.append((re.compile(pattern), tag))
        else:
            self._words.add_word(word, (tag, word))

    def found(self, agent: str) -> dict[str, str]:
        """The first pattern of each tag."""
        found: dict[str, str] = {}
        for _, (tag, word) in self._words.iter(agent):
            found.setdefault(tag, word)
        if self._any_other.search(agent):
            for pattern, tag in self._others:
                if pattern.search(agent):
                    found.setdefault(tag, pattern.pattern)
        return found


@cache
def _patterns() -> _Patterns:
    return _Patterns()


def _tag(tags: object) -> str:
    named = set(tags) if isinstance(tags, (list, tuple)) else set()
    if "social-preview" in named:
        return "preview"
    return "tool" if "http-library" in named else "bot"


def _plain(pattern: str) -> str | None:
    """The word that a pattern without any operator stands for."""
    if re.search(r"(?<!\\)[\[\](){}.*+?^$|]|\\\w", pattern):
        return None
    return re.sub(r"\\(\W)", r"\1", pattern)


# ---- as the journal keeps it -----------------------------------------------------------------------

_VERDICTS: Final = {
    "human": VisitorClass.HUMAN, "bot": VisitorClass.BOT, "preview": VisitorClass.PREVIEW,
    "prefetch": VisitorClass.PREFETCH, "head": VisitorClass.HEAD,
}  # fmt: skip


def pack_classification(judgement: Classification) -> int:
    """A judgement in one byte: verdict and rule."""
    verdict = _VERDICTS[judgement.kind]
    if verdict == VisitorClass.BOT and judgement.counted:
        verdict = VisitorClass.TOOL
    return verdict | judgement.rule << RULES_VERSION_SHIFT


HEAD_RECORDED: Final = pack_classification(_HEAD)
PREFETCH_RECORDED: Final = pack_classification(Classification("prefetch", False))


class ClassificationCache(dict[bytes, int]):
    """What is recorded for each user agent, judged when it is first seen; bounded, and emptied when full:
    after that each is judged once more."""

    def __init__(self) -> None:
        super().__init__()
        _patterns()  # not when the first visitor waits

    def __missing__(self, agent: bytes) -> int:
        if len(self) >= MAX_KNOWN:
            self.clear()
        found = self[agent] = pack_classification(judge(agent))
        return found
