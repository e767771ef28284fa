"""Referrers and sources: the host that a click came from, and the known service that it belongs to.

The referrer names the source first, as the browser sends it itself; then the app that the browser is inside
of, as many apps send no referrer; then `utm_source`, which the author of the URL chose.
"""

from typing import Final

from engine.clicks.dimension import OTHER
from engine.clicks.sources.source_table import COUNTRIES, HOSTS, SECOND_LEVEL, UTM_SOURCES

MAX_HOST: Final = 253  # of a name in the DNS (RFC 1035), without the final dot
_MAX_LABELS: Final = 1 + max(host.count(".") for host in HOSTS)


def referrer_host(referrer: str) -> str:
    """Return the referrer's host in lower case without `www.`, or an app's package (`android-app://`); ''
    without a valid host. Referrers that are not told apart (engine/clicks/new_texts.py) are OTHER."""
    if referrer == OTHER:
        return OTHER
    scheme, found, rest = referrer.partition("://")
    if not found or scheme.lower() not in ("http", "https", "android-app"):
        return ""
    authority = rest
    for end in "/?#\\":
        authority = authority.partition(end)[0]
    name = authority.rpartition("@")[2]
    name = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
    name = name.lower().rstrip(".").removeprefix("www.")
    if not name or len(name) > MAX_HOST or not name.isprintable() or " " in name:
        return ""
    return name


def source_of_host(host: str) -> str:
    """Return the known source that a referrer's host belongs to, or ''."""
    labels = host.split(".")
    for start in range(max(0, len(labels) - _MAX_LABELS), len(labels)):
        if name := HOSTS.get(".".join(labels[start:])):
            return name
    return _of_a_country(labels)


def _of_a_country(labels: list[str]) -> str:
    """Return the source of a national domain, such as google.de or www.google.co.uk."""
    if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL:
        return COUNTRIES.get(labels[-3], "")
    if len(labels) >= 2 and (len(labels[-1]) == 2 or labels[-1] == "com"):
        return COUNTRIES.get(labels[-2], "")
    return ""


def source_of_utm(utm_source: str) -> str:
    """Return the known source that a `utm_source` names (`ig`, `facebook`, `tiktok.com`), or ''."""
    text = utm_source.strip().lower()
    return UTM_SOURCES.get(text.replace(" ", "")) or (source_of_host(text) if "." in text else "")
