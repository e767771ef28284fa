"""Slugs: what any domain may allow, which features each needs, and which one a link gets."""

import unicodedata
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.common.errors import InvalidError
from engine.links.name import canonical_name, slug_name
from engine.links.slugs.slug_rules import (
    FEATURES,
    MAX_NAMED,
    Features,
    has_another_door,
    needed_features,
    require_free_of_slugs,
    settled_short,
    settled_slug,
    slug_errors,
    unreachable_reason,
)

ALL: Features = frozenset(FEATURES)
GIFT, HEART, FAMILY = "\U0001f381", "\u2764", "\U0001f468\u200d\U0001f469\u200d\U0001f467"
valid_slugs = st.text("aA\u00dfb1-_./\u00e9" + GIFT + HEART, min_size=1, max_size=12).filter(
    lambda slug: not slug_errors(slug)
)
rules = st.lists(st.sets(st.sampled_from(FEATURES)).map(frozenset), max_size=3)


@pytest.mark.parametrize(
    "slug",
    ["", "a b", "@a", "~a", "a\n", "a\x00", "a%20", "a+", "a?b", "a=b", "a\\b", "\u2028", "\u202eabc",
     "v1", "API", "a" * 201, "\ud800", "\u00df" * 101, "/a", "a/", "a//b", "/", ".", "..", "a/..", "a/./b",
     ".a", "a.", "a./b", "a/.b", "a/qr", "a/QR", "a/pixel.gif", "pixel.gif", "a/b", "A/b",
     "robots.txt", "Favicon.ico", "/".join("abcdefghi"), "a\u200db", "a\u200d", "\u200d" + GIFT, "1\ufe0f",
     "a\ufe0f", "\u2308", "\u00a9", "\U0001f3f4\U000e0067\U000e0062\U000e007f", GIFT * 201, "\u2122"],
)  # fmt: skip
def test_slugs_that_no_domain_allows_are_refused(slug: str) -> None:
    (error,) = slug_errors(slug)
    assert error.field == "slug"
    assert error.reason


@pytest.mark.parametrize(
    ("slug", "needed"),
    [
        ("a", ""),
        ("t\u0117l", ""),
        ("\u0928\u092e\u0938\u094d\u0924\u0947", ""),
        ("2026", ""),
        ("a" * 200, ""),
        ("\u278a", ""),  # a digit in a circle
        ("A-b_c", "case_sensitive"),
        ("stra\u00dfe", "case_sensitive"),
        ("gh/issues", "slashes"),
        ("v1.2", "dots"),
        ("a..b", "dots"),
        (GIFT * 200, "emoji"),
        (FAMILY, "emoji"),
        (GIFT + "\u278a", "emoji"),
        ("b/v1.2", "slashes dots"),
        ("/".join("bcdefghi"), "slashes"),
        (f"X/y.{HEART}", "case_sensitive slashes dots emoji"),
    ],
)
def test_a_slug_needs_what_it_has(slug: str, needed: str) -> None:
    assert slug_errors(slug) == []
    assert needed_features(slug) == frozenset(needed.split())


def test_both_spellings_of_an_emoji_and_of_a_letter_are_one_slug() -> None:
    for selector in ("\ufe0f", "\ufe0e", "\ufe0f\ufe0f"):
        assert slug_errors(HEART + selector) == []
        assert slug_name(f"a{HEART}{selector}b") == f"a{HEART}b"
    assert slug_name(unicodedata.normalize("NFD", "Caf\u00e9.x")) == "Caf\u00e9.x"


@given(st.text(max_size=12) | st.text("a\u2764\ufe0f\u200d", max_size=12))
@example("\u2764\ufe0f\ufe0e\ufe0f")
def test_a_name_of_a_slug_is_its_own(text: str) -> None:
    assert slug_name(slug_name(text)) == slug_name(text)


@given(valid_slugs)
def test_a_slug_without_capital_letters_needs_no_more_than_with_them(slug: str) -> None:
    folded = canonical_name(slug_name(slug))
    assert slug_errors(folded) == []
    assert needed_features(folded) == needed_features(slug_name(slug)) - {"case_sensitive"}


@given(valid_slugs, rules)
def test_a_link_gets_a_slug_that_is_plain_or_that_a_domain_allows(
    slug: str, of_domains: list[Features]
) -> None:
    try:
        settled = settled_slug(slug, "ada", of_domains)
    except InvalidError:
        assert not has_another_door(slug, of_domains)
        return
    needed = needed_features(settled)
    assert not needed or any(needed <= allowed for allowed in of_domains)
    assert has_another_door(settled, of_domains)
    assert settled_slug(settled, "ada", of_domains) == settled
    case_counts = any("case_sensitive" in allowed for allowed in of_domains)
    assert settled == (slug_name(slug) if case_counts else canonical_name(slug_name(slug)))


def test_one_domain_has_to_allow_all_that_a_slug_needs() -> None:
    apart: list[Features] = [frozenset({"dots"}), frozenset({"slashes"})]
    with pytest.raises(InvalidError, match=r"must have no '/' and '\.'"):
        settled_slug("b/v1.2", "ada", apart)
    assert settled_slug("b/v1.2", "ada", [*apart, ALL]) == "b/v1.2"


def test_no_slug_begins_with_the_handle() -> None:
    for slug in ("ada/x", "Ada/x", "\u212aada/x"):
        if slug.lower().startswith("ada/"):
            with pytest.raises(InvalidError, match="handle"):
                settled_slug(slug, "ada", [ALL])
    assert settled_slug("ada", "ada", [ALL]) == "ada"
    assert settled_slug("adam/x", "ada", [ALL]) == "adam/x"
    with pytest.raises(InvalidError, match="handle"):
        settled_slug("K/x".replace("K", "\u212a"), "k", [ALL])
    require_free_of_slugs(None)
    with pytest.raises(InvalidError, match=r"handle.*bob/x"):
        require_free_of_slugs("bob/x")


def test_only_a_plain_slug_is_short() -> None:
    for wanted in (None, True, False):
        assert settled_short("spring", wanted, False) is wanted
    assert settled_short("v1.2", None, False) is False
    assert settled_short("v1.2", True, True) is False  # renamed: its draft has what is stored
    with pytest.raises(InvalidError, match=r"short.*'\.'"):
        settled_short("v1.2", True, False)


def test_a_refusal_names_some_slugs() -> None:
    assert unreachable_reason(["v1.2"]).endswith("the slugs v1.2")
    many = [f"v{n}.2" for n in range(MAX_NAMED + 1)]
    assert unreachable_reason(many).endswith(f"v{MAX_NAMED - 1}.2 and further ones")


@pytest.mark.parametrize("count", range(len(FEATURES) + 1))
def test_each_set_of_features_allows_exactly_its_slugs(count: int) -> None:
    spelt = {"case_sensitive": "B", "slashes": "b/b", "dots": "b.b", "emoji": GIFT}
    for features in combinations(FEATURES, count):
        slug = "x" + "-".join(spelt[feature] for feature in features)
        for allowed in (frozenset(features), ALL):
            assert settled_slug(slug, "ada", [allowed]) == slug
        for feature in features:
            less = frozenset(features) - {feature}
            if feature == "case_sensitive":
                assert settled_slug(slug, "ada", [less]) == slug.lower()
            else:
                with pytest.raises(InvalidError):
                    settled_slug(slug, "ada", [less])
