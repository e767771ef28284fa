"""Lookalikes: hosts that a reader may take for a well-known one, or for one of this engine's own.

Labels are compared by their skeletons, as in Unicode Technical Standard 39: each character is replaced by the
one that it looks like (`confusable-homoglyphs` has Unicode's table), accents are dropped, and pairs that look
like one letter (`rn`, `vv`) become that letter. Two names with one skeleton look alike.

    xn--pypal-4ve.com      раypal.com with Cyrillic letters      looks like paypal.com
    paypa1.example         any label but the last counts          looks like paypal.com
    paypal.com.evil.example    begins with the name               looks like paypal.com
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import ada_url
from confusable_homoglyphs import confusables

from engine.links.confusables import confusable_reason

# Names that are imitated most, as of 2026-11. Each stands for its subdomains.
_NAMES: Final = """
    1password.com accenture.com adobe.com aliexpress.com alibaba.com allegro.pl amazon.com
    americanexpress.com apple.com asana.com atlassian.com att.com bankofamerica.com barclays.com
    binance.com bing.com bitwarden.com blockchain.com booking.com canva.com capitalone.com chase.com
    citibank.com cloudflare.com coinbase.com commerzbank.de correos.es dhl.com discord.com docusign.com
    dropbox.com ebay.com epicgames.com etsy.com facebook.com fedex.com fidelity.com github.com
    gitlab.com gmail.com google.com hsbc.com icloud.com immobilienscout24.de instagram.com
    intesasanpaolo.com intuit.com kraken.com lastpass.com ledger.com linkedin.com lloydsbank.com
    mastercard.com messenger.com metamask.io microsoft.com microsoftonline.com netflix.com office.com
    office365.com okta.com onedrive.com openai.com outlook.com patreon.com payoneer.com paypal.com
    pinterest.com postbank.de proton.me quickbooks.com reddit.com revolut.com roblox.com salesforce.com
    santander.com sharepoint.com shopify.com signal.org slack.com snapchat.com sparkasse.de spotify.com
    steamcommunity.com steampowered.com stripe.com swisscom.ch telegram.org threads.net tiktok.com
    trustwallet.com twitch.tv twitter.com unicredit.it uniswap.org usps.com venmo.com visa.com
    vodafone.com volksbank.de wellsfargo.com westernunion.com whatsapp.com wikipedia.org wise.com
    wordpress.com yahoo.com youtube.com zalando.de zelle.com zoom.us
"""
BRANDS: Final = tuple(_NAMES.split())
_PAIRS: Final = (("rn", "m"), ("vv", "w"))
_SAME: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l"})


def skeleton(label: str) -> str:
    """Return the text that a label looks like, equal for labels that look alike."""
    decomposed = unicodedata.normalize("NFKD", label.lower())
    letters = "".join(map(_prototype, decomposed)).lower().translate(_SAME)
    for pair, letter in _PAIRS:
        letters = letters.replace(pair, letter)
    return letters


class Lookalikes:
    """Hosts that others may imitate: BRANDS, and `own_hosts`."""

    def __init__(self, own_hosts: Iterable[str] = ()) -> None:
        self._own_hosts = {skeleton(host): host for host in own_hosts if "." in host}
        self._names = frozenset({*BRANDS, *self._own_hosts.values()})
        self._brands = {skeleton(name.partition(".")[0]): name for name in BRANDS}
        self.reason = lru_cache(maxsize=4096)(self._reason)

    def _reason(self, host: str) -> str | None:
        """Return what a URL's host can be taken for, None for one that looks like itself."""
        host = host.rstrip(".")
        labels = host.split(".")
        if any(".".join(labels[first:]) in self._names for first in range(len(labels))):
            return None
        readable = _unicode(host)
        words = readable.split(".")
        imitated = self._own_hosts.get(skeleton(readable)) or self._imitated(words, labels)
        if imitated is not None:
            return f"leads to {host}, which can be taken for {imitated}"
        for word in words[:-1]:
            reason = None if word.isascii() else confusable_reason(word)
            # A word in the script of its top-level domain is at home there.
            if reason is not None and (reason.startswith("mixes") or words[-1].isascii()):
                return f"leads to {host}, of which a label {reason}"
        return None

    def _imitated(self, words: list[str], labels: list[str]) -> str | None:
        """Return the brand that one of the labels looks like, or with which the host begins."""
        for word, label in zip(words[:-1], labels, strict=False):
            brand = self._brands.get(skeleton(word))
            if brand is not None and label != brand.partition(".")[0]:
                return brand
        for first in range(len(labels) - 2):
            name, rest = ".".join(labels[first : first + 2]), labels[first + 2 :]
            # google.com.br is Google's: behind a name, a country's two letters are no other host.
            if name in BRANDS and (len(rest) > 1 or len(rest[0]) != 2):
                return name
        return None


@lru_cache(maxsize=1024)
def _prototype(character: str) -> str:
    """Return the ASCII letters that a character looks like, itself if it looks like none."""
    if unicodedata.combining(character):
        return ""
    if character.isascii():
        return character
    matches = confusables.is_confusable(character, greedy=False, preferred_aliases=[])
    twins = (twin["c"] for match in matches or () for twin in match["homoglyphs"])
    return next((twin for twin in twins if twin.isascii()), character)


def _unicode(host: str) -> str:
    """Return a host with its punycode decoded; as it is where that is none."""
    try:
        return ada_url.idna_to_unicode(host.encode())
    except (ValueError, UnicodeError):
        return host
