"""Scripts of names: which slug a reader may take for another.

The rules follow Unicode Technical Standard 39: the letters of a word come from one script or from one of
the sets that are written together (its "highly restrictive" level), and a word of another script whose
every letter looks like one of a-z is a whole-script confusable. What is found is flagged, not refused: names
in any script are good names.
"""

import re
from functools import lru_cache
from typing import Final

from confusable_homoglyphs import categories, confusables

_WORDS: Final = re.compile("[-_]+")
_ANY: Final = frozenset({"COMMON", "INHERITED", "Unknown"})
_TOGETHER: Final = (
    frozenset({"LATIN", "HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "HAN", "BOPOMOFO"}),
    frozenset({"LATIN", "HAN", "HANGUL"}),
)


@lru_cache(maxsize=1024)
def confusable_reason(name: str) -> str | None:
    """Why a reader may take `name` for another one, or None."""
    for word in _WORDS.split(name):
        scripts = frozenset(map(categories.alias, word)) - _ANY
        if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
            named = " and ".join(sorted(script.capitalize() for script in scripts))
            return f"mixes {named} letters in one word, so it can be taken for another"
        if scripts and "LATIN" not in scripts and all(map(_has_latin_twin, word)):
            return f"is {next(iter(scripts)).capitalize()} that can be taken for Latin letters"
    return None


def _has_latin_twin(character: str) -> bool:
    """True for a letter that looks like one of a-z, and for what belongs to every script."""
    if categories.alias(character) in _ANY:
        return True
    found = confusables.is_confusable(character, preferred_aliases=["latin"])
    return any(twin["c"].isascii() for twin in found[0]["homoglyphs"]) if found else False
