"""Values in texts of files: times, numbers, yes and no, tags, slugs in short URLs."""

import hashlib
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from engine.links.generated_slug import generate_slug

DERIVED_SLUG_LENGTH: Final = 10
_YES: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
_NO: Final = frozenset({"0", "false", "no", "off", "n", "f"})
_FORMS: Final = (
    "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y",
    "%b %d, %Y %H:%M", "%b %d, %Y, %I:%M %p",
)  # fmt: skip
_EPOCH_DIGITS: Final = {9: 1, 10: 1, 12: 1_000, 13: 1_000, 15: 1_000_000, 16: 1_000_000}


def time_of(text: str) -> datetime:
    """Return the aware time in a text: ISO 8601, seconds, milliseconds or microseconds since 1970, or a date in
    English words. Without a zone it is UTC. Raises ValueError, also for 03/04/2026, which two
    countries read as two days."""
    text = text.strip().removesuffix(" UTC").strip()
    try:
        if text.isdigit():
            time = datetime.fromtimestamp(int(text) / _EPOCH_DIGITS[len(text)], UTC)
        else:
            time = _worded(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        raise ValueError("must be a time, such as 2026-05-01T10:00:00Z") from None
    if time.year < 1970:
        raise ValueError("must not be before 1970")
    return time


def _worded(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMS:
        try:
            return datetime.strptime(text, form)  # time_of() gives it a zone
        except ValueError:
            continue
    return parsedate_to_datetime(text)


def number_of(text: str) -> int:
    """Return the whole number in a text, with or without commas between thousands. Raises ValueError."""
    text = text.strip()
    if re.fullmatch(r"-?\d{1,3}(,\d{3}){1,4}", text):
        text = text.replace(",", "")
    if not re.fullmatch(r"-?\d{1,18}(\.0+)?", text):
        raise ValueError("must be a whole number")
    return int(text.partition(".")[0])


def flag_of(text: str) -> bool:
    """Return the yes or no in a text. Raises ValueError."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError("must be true or false")
    return word in _YES


def tags_of(text: str, separators: str) -> tuple[str, ...]:
    """Return the tags in a text, which any of the separators divides."""
    parts = re.split(f"[{re.escape(separators)}]", text)
    return tuple(part.strip() for part in parts if part.strip())


_ADDRESS: Final = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?/")


def slug_of(text: str) -> str:
    """Return the slug in a text: the path of a short URL, the first of several, or the text without slashes
    around it."""
    text = text.strip()
    if "/" in text:
        text = text.partition(",")[0]
    if "://" in text:
        text = unquote(urlsplit(text).path)
    elif _ADDRESS.match(text):
        text = unquote(text.partition("/")[2].partition("?")[0])
    return text.strip("/")


def text_of_slug(slug: str) -> str:
    """Return the text that slug_of() reads as this slug: with a slash before one that looks like an address."""
    return f"/{slug}" if _ADDRESS.match(slug) else slug


def derived_slug(target: str) -> str:
    """Return the slug of a link that a file gives none: the same for the same target each time."""
    number = int.from_bytes(hashlib.sha256(target.encode("utf-8", "surrogatepass")).digest())

    def choose(alphabet: str) -> str:
        nonlocal number
        if number == 0:  # after a great many bad words
            number = int.from_bytes(hashlib.sha256(f"{target} again".encode()).digest())
        number, place = divmod(number, len(alphabet))
        return alphabet[place]

    return generate_slug(DERIVED_SLUG_LENGTH, choose)
