"""Confusables: slugs that a reader may take for another slug.

The rules follow Unicode Technical Standard 39. The letters of a word must come from one script or from one of
the sets that are written together (its "highly restrictive" level). A word in another script whose every letter
looks like one of a-z is a whole-script confusable. Confusables are flagged, not refused: names in any script
are good names.
"""

import re
from functools import lru_cache
from typing import Final

from confusable_homoglyphs import categories, confusables

_WORDS: Final = re.compile("[-_./]+")
_NO_SCRIPT: Final = frozenset({"COMMON", "INHERITED", "Unknown"})
_WRITTEN_TOGETHER: Final = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)


@lru_cache(maxsize=1024)
def confusable_reason(name: str) -> str | None:
    """Return the reason why a reader may take `name` for another one, or None."""
    for word in _WORDS.split(name):
        scripts = frozenset(map(categories.alias, word)) - _NO_SCRIPT
        if len(scripts) > 1 and not any(scripts <= allowed for allowed in _WRITTEN_TOGETHER):
            script_names = " and ".join(sorted(script.capitalize() for script in scripts))
            return f"mixes {script_names} letters in one word, so it can be taken for another"
        if scripts and "LATIN" not in scripts and all(map(_looks_latin, word)):
            return f"is {next(iter(scripts)).capitalize()} that can be taken for Latin letters"
    return None


def _looks_latin(character: str) -> bool:
    """Return whether a character looks like one of a-z or belongs to no single script."""
    if categories.alias(character) in _NO_SCRIPT:
        return True
    matches = confusables.is_confusable(character, preferred_aliases=["latin"])
    return any(twin["c"].isascii() for twin in matches[0]["homoglyphs"]) if matches else False
