"""Kinds of visitors' requests: what their heads say, from bytes that repeat to those that no cache has seen.

| kind | requests |
|---|---|
| `same` | the headers of one browser, repeated; only the path changes |
| `varying` | headers of eleven browsers, with their versions, languages, referrers and cookies |
| `agents` | 50,000 user agents by Zipf's law with exponent 0.9, 240 languages, long tail of referrers |
| `campaign` | as `varying`, with three UTM parameters of 12,000 combinations |
| `page-clicks` | as `varying`, from the profile's page, half of them with its campaign in the referrer |
| `experiment` | as `varying`, to 100 links with one running destination experiment each |
| `proxy` | as `varying`, behind a trusted proxy: 10,000 clients' addresses in X-Forwarded-For, each limited |

A kind's requests are the same bytes for all servers but for the host. They are reproducible, and repeat.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from bench.kit.link_set import SampleLink
from bench.load import browsers

HOST: Final = b"@HOST@"
SEED: Final = 20_260_101
AGENTS: Final = 50_000
ZIPF_EXPONENT: Final = 0.9
_KEPT: Final = b"\r\nConnection: keep-alive\r\n"
_CLOSED: Final = b"\r\nConnection: close\r\n"
_MEDIA: Final = ("social", "email", "video", "story", "qr")
_SOURCES: Final = (
    "instagram",
    "tiktok",
    "youtube",
    "newsletter",
    "x",
    "facebook",
    "threads",
    "podcast",
)

Headers = Callable[[random.Random, SampleLink], list[str]]


class VisitorTraffic(NamedTuple):
    """`requests` are made before they repeat; `settings` are what the engine needs for them."""

    headers: Headers
    query: Callable[[random.Random], str] = lambda dice: ""
    requests: int = 10_000
    settings: Mapping[str, str] = {}


def template(kind: str, links: Sequence[SampleLink]) -> bytes:
    """Return requests of a kind, kept alive, to each link in turn, in whole cycles; HOST is for the host."""
    traffic = TRAFFIC[kind]
    dice = random.Random(SEED)  # noqa: S311
    count = len(links) * max(1, round(traffic.requests / len(links)))
    heads = []
    for number in range(count):
        link = links[number % len(links)]
        target = f"{link.path}{traffic.query(dice)}"
        lines = [f"GET {target} HTTP/1.1", f"Host: {HOST.decode()}", "Connection: keep-alive"]
        heads.append("\r\n".join([*lines, *traffic.headers(dice, link)]) + "\r\n\r\n")
    return "".join(heads).encode("ascii")


def heads_for(template: bytes, host: str, *, close: bool) -> bytes:
    """Return the requests for one server; with `close`, each asks for the connection to be closed."""
    heads = template.replace(HOST, host.encode("ascii"))
    return heads.replace(_KEPT, _CLOSED) if close else heads


def _varying(dice: random.Random, link: SampleLink) -> list[str]:
    return list(browsers.headers(dice))


def _same(dice: random.Random, link: SampleLink) -> list[str]:
    return list(browsers.headers(random.Random(SEED)))  # noqa: S311


def _agents(dice: random.Random, link: SampleLink) -> list[str]:
    (agent,) = dice.choices(_tail(), cum_weights=_WEIGHTS)
    language = f"{dice.choice(_LANGUAGES)}-{dice.choice(_REGIONS)}"
    referrer = dice.choice(_TAIL_REFERRERS).format(dice.randrange(10**6))
    lines = [
        f"User-Agent: {agent}",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        f"Referer: {referrer}",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Dest: document",
        "Accept-Encoding: gzip, deflate, br",
        f"Accept-Language: {language},{language[:2]};q=0.9,en;q=0.8",
    ]
    return lines


def _page_clicks(dice: random.Random, link: SampleLink) -> list[str]:
    query = f"?utm_source=instagram&utm_campaign=bio-{dice.randrange(200)}"
    page = f"http://{HOST.decode()}/@{link.handle}{query if dice.random() < 0.5 else ''}"
    lines = [line for line in browsers.headers(dice) if not line.startswith("Referer: ")]
    lines[lines.index("Sec-Fetch-Site: cross-site")] = "Sec-Fetch-Site: same-origin"
    return [*lines, f"Referer: {page}"]


def _proxied(dice: random.Random, link: SampleLink) -> list[str]:
    # Fewer than the 200 requests per second that one address is allowed: 10,000 share the load.
    number = dice.randrange(2**22)
    address = f"100.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return [*browsers.headers(dice), f"X-Forwarded-For: {address}"]


def _campaign(dice: random.Random) -> str:
    source, medium = dice.choice(_SOURCES), dice.choice(_MEDIA)
    return f"?utm_source={source}&utm_medium={medium}&utm_campaign=drop-{dice.randrange(300)}"


_LANGUAGES: Final = ("en", "de", "fr", "es", "pt", "ja", "pl", "it", "tr", "nl", "ko", "id")
_REGIONS: Final = (
    "US", "GB", "DE", "FR", "ES", "BR", "JP", "PL", "IT", "TR", "NL", "KR", "ID", "IN", "MX", "CA", "AU", "AT",
    "CH", "AR",
)  # fmt: skip
_TAIL_REFERRERS: Final = (
    "https://l.instagram.com/", "https://www.tiktok.com/", "https://t.co/", "https://www.youtube.com/",
    "https://l.facebook.com/l.php?u=https%3A%2F%2Fexample.com%2F{}", "https://www.google.com/",
    "https://www.reddit.com/r/music/comments/{}/", "https://blog.example.org/posts/{}",
)  # fmt: skip
_BLINK: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_tail_agents: list[str] = []


def _tail() -> list[str]:
    """Return the user agents, the most frequent first."""
    if not _tail_agents:
        dice = random.Random(SEED)  # noqa: S311
        distinct: dict[str, None] = {}
        while len(distinct) < AGENTS:
            distinct[dice.choice((_android, _android, _desktop, _in_app))(dice)] = None
        _tail_agents.extend(distinct)
    return _tail_agents


def _chrome(dice: random.Random) -> str:
    return f"Chrome/{dice.randrange(100, 143)}.0.{dice.randrange(5000, 7500)}.{dice.randrange(250)}"


def _model(dice: random.Random) -> str:
    letter, number = dice.choice("AFGMNSX"), dice.randrange(100, 1000)
    return dice.choice((f"SM-{letter}{number}B", f"moto {letter.lower()}{number}", f"RMX3{number}"))


def _android(dice: random.Random) -> str:
    system = f"Linux; Android {dice.randrange(9, 17)}; {_model(dice)}"
    return f"Mozilla/5.0 ({system}) {_BLINK} {_chrome(dice)} Mobile Safari/537.36"


def _desktop(dice: random.Random) -> str:
    system = dice.choice(("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7"))
    return f"Mozilla/5.0 ({system}) {_BLINK} {_chrome(dice)} Safari/537.36"


def _in_app(dice: random.Random) -> str:
    version = f"{dice.randrange(14, 19)}_{dice.randrange(7)}_{dice.randrange(3)}"
    device = f"iPhone{dice.randrange(11, 18)},{dice.randrange(1, 6)}"
    build = dice.randrange(10**8, 10**9)
    app = f"Instagram {dice.randrange(300, 400)}.0.0.{dice.randrange(10, 60)}.{dice.randrange(100)}"
    return (
        f"Mozilla/5.0 (iPhone; CPU iPhone OS {version} like Mac OS X) AppleWebKit/605.1.15 "
        f"(KHTML, like Gecko) Mobile/15E148 {app} ({device}; iOS {version}; en_US; en; scale=3.00; "
        f"1170x2532; {build})"
    )


def _zipf_weights() -> Iterator[float]:
    return accumulate(rank**-ZIPF_EXPONENT for rank in range(1, AGENTS + 1))


_WEIGHTS: Final = list(_zipf_weights())

TRAFFIC: Final[dict[str, VisitorTraffic]] = {
    "same": VisitorTraffic(_same),
    "varying": VisitorTraffic(_varying),
    "agents": VisitorTraffic(_agents, requests=100_000),
    "campaign": VisitorTraffic(_varying, query=_campaign, requests=20_000),
    "page-clicks": VisitorTraffic(_page_clicks),
    "experiment": VisitorTraffic(_varying),
    "proxy": VisitorTraffic(_proxied, settings={"WAYPOST_TRUSTED_HOPS": "1"}),
}
