"""Paths to fields in a shop's body.

| path | leads to |
|---|---|
| `order.total` | the field `total` of the object `order` |
| `lines.0.price` | the first element of a list |
| `notes[name=wp_click].value` | the first element of a list whose `name` is `wp_click` |
| `url_params[wp_click]` | as `url_params.wp_click`, the way that forms write it |
| `parent_id\\|id` | `parent_id`, or `id` if that is not there or empty |
"""

import re
from collections.abc import Iterator
from typing import Any, Final

MAX_STEPS: Final = 20
_STEP: Final = re.compile(r"\[([^=\[\]]*)(?:=([^\[\]]*))?\]|([^.\[]+)|\.")


def value_at_path(body: Any, path: str | None) -> str | None:
    """Return the text that a path leads to, None if it leads nowhere; numbers as they are written."""
    if path is None:
        return None
    for alternative in path.split("|"):
        text = _text(_follow(body, alternative.strip()))
        if text:
            return text
    return None


def object_at_path(body: Any, path: str) -> Any:
    """Return what a path without alternatives leads to, None if it leads nowhere."""
    return _follow(body, path)


def _follow(body: Any, path: str) -> Any:
    for key, wanted in _steps(path):
        if wanted is not None:
            body = _element_with(body, key, wanted)
        elif isinstance(body, dict):
            body = body.get(key)
        # ASCII only: `isdigit` accepts `²`, and `int` does not. Longer texts are no index of any list.
        elif isinstance(body, list) and key.isascii() and key.isdigit() and len(key) < 10:
            body = body[int(key)] if int(key) < len(body) else None
        else:
            return None
    return body


def _steps(path: str) -> Iterator[tuple[str, str | None]]:
    """Yield (key, None) of each step, or (key, wanted value) for one by name."""
    for number, match in enumerate(_STEP.finditer(path)):
        if number > 2 * MAX_STEPS:
            return
        key, wanted, plain = match.groups()
        if plain is not None:
            yield plain, None
        elif key is not None:
            yield key, wanted


def _element_with(elements: Any, key: str, wanted: str) -> Any:
    """Return the first element of a list whose field `key` is `wanted`, or None."""
    if not isinstance(elements, list):
        return None
    for element in elements:
        if isinstance(element, dict) and _text(element.get(key)) == wanted:
            return element
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
