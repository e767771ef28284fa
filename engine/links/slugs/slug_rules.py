"""Rules for slugs: what each may have, and what a domain has to allow.

A *plain* slug is a canonical name of letters, digits, `-` and `_`, and answers everywhere. Any other slug needs
features: it answers at the domains that allow all of them, and at its exact path
(engine/links/slugs/link_path.py).

    case_sensitive    Spring is another slug than spring
    slashes           docs/v1, of at most MAX_NAMES names
    dots              v1.2; no name begins or ends with one
    emoji             pictures, with their skin tones and joiners

Case counts in a profile that has a case-sensitive domain. In any other, a slug becomes its canonical name.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal, get_args

from engine.common.errors import FieldError, InvalidError
from engine.common.text_rules import hidden_character, hidden_reason
from engine.links.name import MAX_NAME_CHARS, RESERVED, canonical_name, slug_name

SlugFeature = Literal["case_sensitive", "slashes", "dots", "emoji"]
Features = frozenset[SlugFeature]
FEATURES: Final[tuple[SlugFeature, ...]] = get_args(SlugFeature)
NO_FEATURES: Final[Features] = frozenset()
MAX_NAMES: Final = 8
MAX_NAMED: Final = 10  # slugs in the reason of a refusal
# The rule as JSON Schema, for the API's reference. slug_errors() decides, and the profile's domains.
SLUG_PATTERN: Final = r"^(?:[A-Za-z0-9_./-]|[^\x00-\x7f]){1,200}$"

PLAIN_ASCII: Final = re.compile("[a-z0-9_-]*").fullmatch
_PICTURE: Final = "[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
# Joined pictures are one: a family, a profession.
_EMOJI: Final = re.compile(f"{_PICTURE}(?:\u200d?{_PICTURE})*")
_PICTURES: Final = (
    "So",
    "Sk",
)  # categories; digits in circles are numbers, which every slug may have
# Variation selectors are marks, but two slugs that differ by one look alike.
_SELECTOR: Final = re.compile("[\\u180b-\\u180f\\ufe00-\\ufe0f\\U000e0100-\\U000e01ef]")
# Last names of side paths (engine/visits/paths/side_path.py), and the first of assets' addresses.
_RESERVED_LAST: Final = frozenset({"qr", "pixel.gif"})
_RESERVED_FIRST: Final = "a"
_WORDS: Final = {
    "case_sensitive": "capital letters",
    "slashes": "'/'",
    "dots": "'.'",
    "emoji": "emoji",
}


def needed_features(slug: str) -> Features:
    """Return the features that a slug_name() needs; none for a plain one."""
    if PLAIN_ASCII(slug):
        return NO_FEATURES
    features: set[SlugFeature] = set()
    if canonical_name(slug) != slug:
        features.add("case_sensitive")
    if "/" in slug:
        features.add("slashes")
    if "." in slug:
        features.add("dots")
    if any(unicodedata.category(character) in _PICTURES for character in slug):
        features.add("emoji")
    return frozenset(features)


def slug_errors(slug: str, field: str = "slug") -> list[FieldError]:
    """Return the errors that a slug has at every domain: 1-200 letters of any script, marks, digits, `-`, `_`,
    and what domains may allow."""
    slug = slug_name(slug)
    if not slug:
        return [FieldError(field, "must not be empty")]
    if len(canonical_name(slug)) > MAX_NAME_CHARS or len(slug) > MAX_NAME_CHARS:
        return [FieldError(field, f"must have at most {MAX_NAME_CHARS} characters")]
    selector = _SELECTOR.search(slug)
    if (hidden := selector[0] if selector else hidden_character(slug)) is not None:
        return [FieldError(field, hidden_reason(hidden))]
    if not (_has_fit_characters(slug) and _has_fit_characters(canonical_name(slug))):
        reason = "must have only letters, digits, '-' and '_', or at domains that allow it '.', '/' and emoji"
        return [FieldError(field, reason)]
    return _name_errors(canonical_name(slug).split("/"), field)


def _has_fit_characters(slug: str) -> bool:
    return all(
        character in "-_./" or unicodedata.category(character)[0] in "LMN"
        for character in _EMOJI.sub(_without_pictures, slug)
    )


def _without_pictures(match: "re.Match[str]") -> str:
    return "".join(
        c for c in match[0] if c != "\u200d" and unicodedata.category(c) not in _PICTURES
    )


def _name_errors(names: Sequence[str], field: str) -> list[FieldError]:
    if not all(names):
        return [FieldError(field, "must have no '/' at its ends, and none behind another")]
    if len(names) > MAX_NAMES:
        return [FieldError(field, f"must have at most {MAX_NAMES} names with '/' between them")]
    if any(name.startswith(".") or name.endswith(".") for name in names):
        return [FieldError(field, "must have '.' only between other characters")]
    if len(names) == 1 and (names[0] in RESERVED or names[0] in _RESERVED_LAST):
        return [FieldError(field, "must not be a reserved word")]
    if len(names) > 1 and (names[0] == _RESERVED_FIRST or names[-1] in _RESERVED_LAST):
        return [FieldError(field, "must not begin with 'a/', or end with '/qr' or '/pixel.gif'")]
    return []


def settled_slug(slug: str, handle: str, of_domains: Iterable[Features]) -> str:
    """Return the slug that a link of the profile gets. Raises InvalidError.

    `slug` has no slug_errors(); `of_domains` is what each of the profile's domains allows.
    """
    slug, allowed = slug_name(slug), list(of_domains)
    if not any("case_sensitive" in features for features in allowed):
        slug = canonical_name(slug)
    needed = needed_features(slug)
    if needed and not any(needed <= features for features in allowed):
        reason = f"must have no {words_of(needed)}: the profile has no domain that allows it"
        raise InvalidError([FieldError("slug", reason)])
    if canonical_name(slug).startswith(f"{handle}/"):
        raise InvalidError([FieldError("slug", "must not begin with the profile's own handle")])
    return slug


def settled_short(slug: str, wanted: bool | None, is_short: bool) -> bool | None:
    """Return whether a link with this stored slug is to own `/{slug}` on the default domain, as drafts say it:
    only a plain slug can.

    `is_short` is whether the link owned one before. Raises InvalidError for a new wish that cannot be met.
    """
    if not (needed := needed_features(slug)):
        return wanted
    if wanted and not is_short:
        reason = f"must not be true: the default domain has no slugs with {words_of(needed)}"
        raise InvalidError([FieldError("short", reason)])
    return False


def words_of(features: Features) -> str:
    """Return what slugs with these features have, in words."""
    return " and ".join(_WORDS[feature] for feature in FEATURES if feature in features)


def unreachable_reason(slugs: Sequence[str]) -> str:
    """Return why a domain must go on allowing what it does: the slugs that answer at no other one."""
    named = ", ".join(slugs[:MAX_NAMED])
    further = " and further ones" if len(slugs) > MAX_NAMED else ""
    return f"must stay as it is: no other domain of the profile allows the slugs {named}{further}"


def require_free_of_slugs(slug: str | None) -> None:
    """Raise InvalidError for a new handle with which a slug of the profile begins: at domains the paths with
    the handle would go before that slug."""
    if slug is not None:
        raise InvalidError([FieldError("handle", f"must not be the first name of the slug {slug}")])


def has_another_door(slug: str, of_domains: Iterable[Features]) -> bool:
    """Return whether a slug is plain, or one of these domains allows it."""
    needed = needed_features(slug)
    return not needed or any(needed <= features for features in of_domains)
