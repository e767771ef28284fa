"""Visitors of the demo: where they come from and with what, as plausible shares."""

import random
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

_PHONES: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{n} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.{n} Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{n} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/15E148 Instagram 380.0.0.{n} (iPhone14,5; iOS 18_{n}; en_GB; en; scale=3.00)",
    "Mozilla/5.0 (Linux; Android 14; Pixel {n}) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/137.0.{n}.0 Mobile Safari/537.36",
)
_OTHERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/137.0.{n}.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_{n}) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:139.{n}) Gecko/20100101 Firefox/139.{n}",
)
_AGENTS: Final = dict(zip((*_PHONES, *_OTHERS), (30, 22, 20, 16, 9, 3), strict=True))
CRAWLER: Final = "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://example.org/bot)"
_REFERRERS: Final = {
    "https://l.instagram.com/": 42, "": 24, "https://www.tiktok.com/": 14, "https://www.google.com/": 9,
    "https://www.youtube.com/": 5, "https://mastodon.social/": 4, "https://forum.example.org/t/12": 2,
}  # fmt: skip
_LANGUAGES: Final = {"de-DE": 48, "en-GB": 22, "fr-FR": 14, "it-IT": 7, "ar-MA": 5, "ja-JP": 4}
# Continent, country, region and city, as a geo file would say.
_PLACES: Final = {
    ("EU", "DE", "DE-BY", "Munich"): 20, ("EU", "DE", "DE-BE", "Berlin"): 14,
    ("EU", "FR", "FR-ARA", "Lyon"): 12, ("NA", "US", "US-CA", "San Francisco"): 9,
    ("EU", "IT", "IT-62", "Rome"): 8, ("EU", "GB", "GB-ENG", "London"): 7,
    ("EU", "CH", "CH-ZH", "Zurich"): 6, ("EU", "AT", "AT-9", "Vienna"): 6,
    ("AF", "MA", "MA-06", "Casablanca"): 4, ("EU", "ES", "ES-MD", "Madrid"): 4,
    ("SA", "BR", "BR-SP", "Sao Paulo"): 3, ("AS", "JP", "JP-13", "Tokyo"): 3,
    ("AS", "IN", "IN-MH", "Mumbai"): 3, ("OC", "AU", "AU-NSW", "Sydney"): 2,
}  # fmt: skip
_CAMPAIGNS: Final = {"": 80, "spring": 12, "newsletter": 8}


class Visitor(NamedTuple):
    """The words of a visitor's requests; `place` is continent, country, region and city."""

    user_agent: str
    referrer: str
    language: str
    place: tuple[str, str, str, str]
    campaign: str
    crawler: bool = False


def visitor(dice: random.Random) -> Visitor:
    """Return a visitor, drawn."""
    if dice.random() < 0.08:
        return Visitor(CRAWLER, "", "", ("NA", "US", "US-VA", "Ashburn"), "", crawler=True)
    agent = _drawn(dice, _AGENTS).format(n=dice.randrange(1, 90))
    return Visitor(
        agent, _drawn(dice, _REFERRERS), _drawn(dice, _LANGUAGES), _drawn(dice, _PLACES),
        _drawn(dice, _CAMPAIGNS),
    )  # fmt: skip


def _drawn(dice: random.Random, shares: dict[T, int]) -> T:
    (drawn,) = dice.choices(list(shares), list(shares.values()))
    return drawn
