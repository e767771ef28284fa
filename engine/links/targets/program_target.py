"""Targets that a program opens and no browser shows: mail, calls, messages, magnet links and apps.

A link of the kind `app` leads phones and tablets to a URL of one of APP_SCHEMES, and all others to its
`web_target`.
"""

import re
from typing import Final

import ada_url

# Schemes of programs that open what the URL names. None runs what it is given, as `intent` would.
APP_SCHEMES: Final = frozenset(
    {
        "bitcoin", "comgooglemaps", "deezer", "discord", "ethereum", "facetime", "facetime-audio", "fb",
        "fb-messenger", "geo", "instagram", "itms", "itms-apps", "kakaotalk", "lightning", "line", "linkedin",
        "maps", "market", "matrix", "monero", "msteams", "music", "nostr", "pcast", "pinterest", "podcast",
        "reddit", "sgnl", "sip", "skype", "slack", "snapchat", "soundcloud", "spotify", "steam", "tg",
        "threema", "tidal", "tiktok", "twitch", "twitter", "uber", "viber", "vnd.youtube", "waze", "webcal",
        "weixin", "whatsapp", "xmpp", "youtube", "youtubemusic", "zoommtg", "zoomus",
    }
)  # fmt: skip
EXAMPLES: Final = {
    "mailto": "mailto:name@example.com",
    "tel": "tel:+390123456",
    "sms": "sms:+390123456?body=Hello",
    "magnet": "magnet:?xt=urn:btih:…",
    "app": "spotify:album:…, with a scheme of docs/links.md",
}
_BLANKS: Final = re.compile(r"(?:\s|%20)+")
_ADDRESS: Final = re.compile(r"[^\s@<>\"?,;]+@[^\s@<>\"?,;]+")
_NUMBER: Final = r"\+?[0-9().\-*#]{2,32}(?:;[a-z0-9=.+\-]+)*"
_TEL: Final = re.compile(_NUMBER, re.IGNORECASE)
_SMS: Final = re.compile(rf"(?:{_NUMBER}(?:,{_NUMBER})*)?", re.IGNORECASE)
_MAGNET: Final = re.compile(r"\?(?:[^#]*&)?xt(?:\.[0-9]+)?=urn:[a-z0-9]+:[^&#]+.*", re.IGNORECASE)
_TEXT: Final = re.compile(r"[^\s<>\"]*")


def kind_of_scheme(target: str) -> str:
    """Return the kind of link that a target's scheme needs; `url` for one of no program."""
    scheme = target.strip(" ").partition(":")[0].lower()
    if scheme in ("mailto", "tel", "sms", "magnet"):
        return scheme
    return "sms" if scheme == "smsto" else "app" if scheme in APP_SCHEMES else "url"


def normalised_program_target(text: str, kind: str) -> str | None:
    """Return a target of a kind of EXAMPLES with its scheme in lower case, without blanks and percent-encoded;
    None for a text that is none. Raises ValueError for what no encoding can carry."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or kind_of_scheme(text) != kind:
        return None
    normalised = _NORMALISE[kind](rest)
    if not normalised:
        return None
    scheme = "sms" if kind == "sms" else scheme
    return f"{scheme}:{ada_url.URL(f'x:{normalised}').href[2:]}"


def _mail(rest: str) -> str | None:
    """Return addresses with commas between them, as RFC 6068 has it, and the fields behind them."""
    people, mark, fields = rest.partition("?")
    addresses = [_trimmed(part) for part in re.split("[,;]", people)]
    addresses = [address for address in addresses if address]
    if not all(_ADDRESS.fullmatch(address) for address in addresses):
        return None
    fields = _encoded_blanks(fields)
    if not _TEXT.fullmatch(fields) or not (addresses or fields):
        return None
    return ",".join(addresses) + mark + fields


def _telephone(rest: str) -> str | None:
    number = _BLANKS.sub("", rest)
    return number if _TEL.fullmatch(number) else None


def _message(rest: str) -> str | None:
    numbers, mark, fields = rest.partition("?")
    numbers, fields = _BLANKS.sub("", numbers), _encoded_blanks(fields)
    if not _SMS.fullmatch(numbers) or not _TEXT.fullmatch(fields) or not (numbers or fields):
        return None
    return numbers + mark + fields


def _magnet(rest: str) -> str | None:
    text = _encoded_blanks(rest)
    return text if _MAGNET.fullmatch(text) and _TEXT.fullmatch(text) else None


def _app(rest: str) -> str | None:
    text = _encoded_blanks(rest)
    return text if text.strip("/") and _TEXT.fullmatch(text) else None


def _trimmed(text: str) -> str:
    return re.sub(r"^(?:\s|%20)+|(?:\s|%20)+$", "", text)


def _encoded_blanks(text: str) -> str:
    return re.sub(r"\s", "%20", text.strip())


_NORMALISE: Final = {
    "mailto": _mail,
    "tel": _telephone,
    "sms": _message,
    "magnet": _magnet,
    "app": _app,
}
