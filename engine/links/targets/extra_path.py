"""Extra paths: names behind a link's address go on behind its target, or fill the target's arguments.

    /gh/waypost/issues    https://github.example/            https://github.example/waypost/issues
    /t/17                 https://t.example/{1}?by={2:web}   https://t.example/17?by=web

An argument stands behind the host, so no visitor chooses where a link leads. A name fills it percent-encoded,
and is neither empty nor `.` or `..`, so that it stays below the target's path.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import ada_url

MAX_ARGUMENTS: Final = 9
MAX_FILLED_BYTES: Final = 40_960
_ARGUMENT: Final = re.compile(r"\{([1-9])(?::([A-Za-z0-9._~-]{0,64}))?\}")
_ARGUMENT_BYTES: Final = re.compile(_ARGUMENT.pattern.encode())
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_PATH_SAFE: Final = "-._~!$&'()*+,;=:@"
_DOTS: Final = re.compile(rb"(?i)(?:\.|%2e){1,2}")


def mask_arguments(target: str) -> tuple[str, dict[str, str]]:
    """Return a target with a word in the place of each argument, and the arguments by word. Raises ValueError
    for too many."""
    arguments = _ARGUMENT.findall(target)
    if len(arguments) > MAX_ARGUMENTS:
        raise ValueError(f"must have at most {MAX_ARGUMENTS} arguments, such as {{1}}")
    stem = "argument"
    while stem in target.lower():
        stem += "x"
    by_word: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        by_word[f"{stem}{len(by_word)}end"] = match[0]
        return next(reversed(by_word))

    return _ARGUMENT.sub(word, target), by_word


def unmask_arguments(target: str, by_word: dict[str, str]) -> str:
    """Return a normalised target with its arguments back. Raises ValueError for one that is not behind the
    host, or that normalising has removed."""
    if not by_word:
        return target
    url = ada_url.URL(target)
    behind = url.pathname + url.search + url.hash
    for word, argument in by_word.items():
        if behind.count(word) != 1 or target.count(word) != 1:
            raise ValueError("must have its arguments, such as {1}, behind the host and in no '..'")
        target = target.replace(word, argument)
    return target


def has_arguments(target: str | bytes) -> bool:
    """Return whether a target has arguments, if its link takes extra paths."""
    if isinstance(target, str):
        return _ARGUMENT.search(target) is not None
    return _ARGUMENT_BYTES.search(target) is not None


def extended(target: bytes, extra: bytes) -> bytes | None:
    """Return where a link leads with what is behind its address: empty, or a raw path with its first slash.

    None if a name is missing, superfluous or unfit, or the result longer than MAX_FILLED_BYTES.
    """
    names = _names(extra)
    if names is None:
        return None
    if _ARGUMENT_BYTES.search(target) is not None:
        location = _filled(target, names)
    else:
        location = _appended(target, names, extra.endswith(b"/")) if names else target
    return location if location is not None and len(location) <= MAX_FILLED_BYTES else None


def _names(extra: bytes) -> list[bytes] | None:
    """Return the names in an extra path, decoded; None for one that is not safe."""
    parts = extra.split(b"/")[1:]
    if parts and not parts[-1]:
        parts.pop()
    names = [unquote_to_bytes(part) for part in parts]
    safe = all(name and not _CONTROL.search(name) and not _DOTS.fullmatch(name) for name in names)
    return names if safe else None


def _filled(target: bytes, names: Sequence[bytes]) -> bytes | None:
    """Return the target with names for its arguments; None if they are too few or too many."""
    highest = max(int(match[1]) for match in _ARGUMENT_BYTES.finditer(target))
    missing = False

    def value(match: re.Match[bytes]) -> bytes:
        nonlocal missing
        number = int(match[1])
        if number <= len(names):
            return quote_from_bytes(names[number - 1], safe="-._~").encode("ascii")
        missing = missing or match[2] is None
        return match[2] or b""

    location = _ARGUMENT_BYTES.sub(value, target)
    path = re.split(rb"[?#]", location, maxsplit=1)[0]
    climbs = any(_DOTS.fullmatch(part) for part in path.split(b"/"))
    return None if missing or climbs or len(names) > highest else location


def _appended(target: bytes, names: Sequence[bytes], ends_with_slash: bool) -> bytes:
    """Return the target with names behind its path, before its query and fragment."""
    path, mark, rest = _split(target)
    further = "/".join(quote_from_bytes(name, safe=_PATH_SAFE) for name in names).encode("ascii")
    end = b"/" if ends_with_slash else b""
    return path.removesuffix(b"/") + b"/" + further + end + mark + rest


def _split(target: bytes) -> tuple[bytes, bytes, bytes]:
    match = re.search(rb"[?#]", target)
    if match is None:
        return target, b"", b""
    return target[: match.start()], match[0], target[match.end() :]
