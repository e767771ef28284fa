"""Slugs that the engine makes when a member gives none."""

from collections.abc import Callable
from typing import Final

from engine.links.name import RESERVED

# Without vowels, so that few words arise, and without what is mistaken for another: 0 and O, 1 and l.
ALPHABET: Final = "23456789bcdfghjkmnpqrstvwxz"
DEFAULT_LENGTH: Final = 6
# What reads as an insult or an abbreviation of one without its vowels.
_BAD: Final = (
    "fck", "fvck", "sht", "cnt", "dck", "cck", "btch", "ngr", "nggr", "fgt", "slt", "whr", "twt", "prn",
    "xxx", "kkk", "wtf", "stfu", "ss88", "hh88", "88", "nzi", "rpst", "jzz", "mlf", "bdsm",
)  # fmt: skip

Choose = Callable[[str], str]


def generate_slug(length: int, choose: Choose) -> str:
    """Return a slug of `length` characters of ALPHABET without a bad word. `choose` picks one at random.

    There are 27^6 = 387 million slugs of 6 characters. The store makes another if one is taken.
    """
    while True:
        slug = "".join(choose(ALPHABET) for _ in range(length))
        if slug not in RESERVED and not any(word in slug for word in _BAD):
            return slug
