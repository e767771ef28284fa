"""Blocklists: hosts and URLs that no link may lead to.

A list is a text with one entry a line: a host, which stands for its subdomains too (`bad.example`, or
`0.0.0.0 bad.example` as in hosts files), or a URL as `sha256:` and the hash of its normalised form in hex.
Blank lines and what follows a `#` are ignored.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

import ada_url

from engine.links.targets.digest_set import DigestSet

HASH_PREFIX: Final = "sha256:"
MAX_HOST_CHARS: Final = 253
MAX_ENTRIES: Final = 1_000_000
_PLAIN_HOST: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+").fullmatch
_SINKS: Final = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1"})  # noqa: S104  # in hosts files


class Members(Protocol):
    """A set that tells whether it has a text."""

    def __contains__(self, text: object) -> bool: ...

    def __len__(self) -> int: ...


class Blocklist(NamedTuple):
    """Entries of a blocklist, `url_hashes` in hex. `ignored` is the number of lines that are none."""

    hosts: Members = frozenset[str]()
    url_hashes: Members = frozenset[str]()
    ignored: int = 0

    @property
    def entries(self) -> int:
        return len(self.hosts) + len(self.url_hashes)

    def reason(self, target: str) -> str | None:
        """Return why no link may lead to this normalised target; None if it may."""
        if not self.hosts and not self.url_hashes:
            return None
        try:
            url = ada_url.URL(target)
        except ValueError:
            return None
        if self.url_hashes and hashlib.sha256(url.href.encode()).hexdigest() in self.url_hashes:
            return "must not be an address on this engine's blocklist"
        labels = url.hostname.rstrip(".").split(".")
        for first in range(len(labels)):
            if (host := ".".join(labels[first:])) in self.hosts:
                return f"must not lead to {host}, which is on this engine's blocklist"
        return None


NO_BLOCKLIST: Final = Blocklist()


def parse_blocklist(lines: Iterable[str]) -> Blocklist:
    """Return the entries of a list's lines. Raises ValueError for more than MAX_ENTRIES."""
    hosts: set[str] = set()
    url_hashes: set[str] = set()
    ignored = 0
    for line in lines:
        words = line.partition("#")[0].split()
        if len(words) == 2 and words[0] in _SINKS:
            del words[0]
        if not words:
            continue
        if len(words) == 1 and (url_hash := _hash(words[0])) is not None:
            url_hashes.add(url_hash)
        elif len(words) == 1 and (host := _host(words[0])) is not None:
            hosts.add(host)
        else:
            ignored += 1
        if len(hosts) + len(url_hashes) > MAX_ENTRIES:
            raise ValueError(f"it has more than {MAX_ENTRIES:,} entries")
    return Blocklist(DigestSet(hosts), DigestSet(url_hashes), ignored)


def _hash(word: str) -> str | None:
    text = word.lower()
    if not text.startswith(HASH_PREFIX):
        return None
    try:
        digest = bytes.fromhex(text.removeprefix(HASH_PREFIX))
    except ValueError:
        return None
    return digest.hex() if len(digest) == hashlib.sha256().digest_size else None


def _host(word: str) -> str | None:
    """Return a host as URLs have it, None for a text that is none."""
    host = word.lower().rstrip(".").removeprefix("*.")
    if _PLAIN_HOST(host) and len(host) <= MAX_HOST_CHARS and not host[-1].isdigit():
        return host
    try:
        url = ada_url.URL(f"https://{host}/")
    except ValueError:
        return None
    is_host = url.href == f"https://{url.hostname}/" and len(url.hostname) <= MAX_HOST_CHARS
    return url.hostname if is_host and ("." in url.hostname or ":" in url.hostname) else None
