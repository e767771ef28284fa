"""Names: one canonical form for all spellings, and canonical paths."""

import sys
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.links.name import (
    MAX_NAME_CHARS,
    canonical_name,
    canonical_path,
    encode_path,
    handle_errors,
)
from engine.links.slugs.slug_rules import needed_features, slug_errors

texts = st.text(max_size=20)
slugs = st.text(
    st.characters(categories=["L", "M", "N"], include_characters="-_"), min_size=1, max_size=200
).filter(lambda slug: not slug_errors(slug) and not needed_features(canonical_name(slug)))
handles = st.from_regex(r"[a-z0-9][a-z0-9_.\-]{0,30}[a-z0-9_]", fullmatch=True).filter(
    lambda handle: not handle_errors(handle)
)


@given(texts)
@example("\u1fb3\u0301")
@example("\u0345\u0301\u03b1")
def test_a_canonical_name_is_nfc_and_its_own_canonical_form(text: str) -> None:
    assert canonical_name(canonical_name(text)) == canonical_name(text)
    assert unicodedata.is_normalized("NFC", canonical_name(text))


def test_each_single_character_has_a_stable_canonical_form() -> None:
    characters = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)
    assert [c for c in characters if canonical_name(canonical_name(c)) != canonical_name(c)] == []


@given(texts)
# Folding turns the first mark into a letter, so the marks must be put in order before.
@example("\u03b1\u0345\u0301")
def test_composed_and_decomposed_spellings_have_one_canonical_name(text: str) -> None:
    assert canonical_name(unicodedata.normalize("NFD", text)) == canonical_name(text)
    assert canonical_name(unicodedata.normalize("NFC", text)) == canonical_name(text)


@pytest.mark.parametrize(
    "spelling", ["spring", "Spring", "SPRING", "t\u0117l", "T\u0116L", "te\u0307l", "STRASSE"]
)
def test_case_and_composition_do_not_matter(spelling: str) -> None:
    assert canonical_name(spelling) in ("spring", "t\u0117l", "strasse")
    assert canonical_name("Stra\u00dfe") == "strasse"


@given(slugs)
@example("\U00010330" * 200)
def test_every_valid_slug_is_found_by_each_spelling_of_its_path(slug: str) -> None:
    path = encode_path(canonical_name(slug))
    assert canonical_path(path) == path
    for spelling in (slug, slug.upper(), unicodedata.normalize("NFD", slug)):
        # Folding does not undo upper() for every letter.
        if canonical_name(spelling) == canonical_name(slug):
            assert canonical_path(b"/" + quote(spelling).encode()) == path


@given(handles, slugs)
@example("h" * 32, "\U00010330" * 200)
def test_each_spelling_of_a_profiles_link_and_page_is_found(handle: str, slug: str) -> None:
    own = encode_path(handle, canonical_name(slug))
    assert canonical_path(own) == own
    assert canonical_path(b"/" + quote(f"{handle.upper()}/{slug}/").encode()) == own
    assert canonical_path(b"/%40" + handle.encode()) == encode_path(f"@{handle}")


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_bytes_have_a_bounded_printable_canonical_path_or_none(path: bytes) -> None:
    canonical = canonical_path(b"/" + path)
    assert canonical is None or (
        canonical_path(canonical) == canonical
        and len(canonical) <= 12 * (2 * MAX_NAME_CHARS) + 2
        and all(0x21 <= byte <= 0x7E for byte in canonical)
    )


@pytest.mark.parametrize(
    "path",
    [b"/", b"//", b"/a/b/c", b"/%00", b"/a%0d%0aSet-Cookie:b", b"/%ff", b"/%ed%a0%80", b"/a%20b",
     b"/" + b"a" * (MAX_NAME_CHARS + 1), b"/%c3%a9/a", b"/" + b"h" * 40 + b"/a",
     b"/@" + b"h" * 40, b"/" + b"%41" * 9000],
)  # fmt: skip
def test_paths_that_can_name_no_link_have_no_canonical_path(path: bytes) -> None:
    assert canonical_path(path) is None


@pytest.mark.parametrize(
    "handle",
    ["", "a b", "\u00e4", "-a", "a-", ".a", "a.", "a" * 33, "a\n", "A", "admin", "Favicon.ICO", "a/b", "@a"],
)  # fmt: skip
def test_invalid_handles_are_refused(handle: str) -> None:
    (error,) = handle_errors(handle)
    assert error.field == "handle"


@pytest.mark.parametrize("handle", ["b", "Ada", "a_", "ada.l-ovelace_9", "a" * 32])
def test_valid_handles_pass(handle: str) -> None:
    assert handle_errors(handle) == []
