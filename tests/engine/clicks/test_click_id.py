"""Click ids: they reveal nothing, cannot be forged, and open to the click that was sealed."""

from hypothesis import example, given
from hypothesis import strategies as st

from engine.clicks.click_id import MAX_CHARS, ClickId, ClickIdCipher

SEAL = ClickIdCipher(bytes(range(32)))
CLICK = ClickId(1, 2, 3, 1_780_000_000_000_000, 4, 5, 6, True, b"visitor!")
ids = st.integers(-(2**63), 2**63 - 1)


@given(
    st.builds(
        ClickId, ids, ids, ids, ids, ids, st.integers(0, 65_535), st.integers(0, 255), st.booleans(),
        st.binary(min_size=8, max_size=8).filter(lambda visitor: visitor != bytes(8)) | st.just(b""),
    )
)  # fmt: skip
def test_a_sealed_click_id_is_opened(click: ClickId) -> None:
    text = SEAL.seal(click).decode("ascii")
    assert len(text) == 91 <= MAX_CHARS
    assert SEAL.open(text) == click


@given(st.integers(0, 90), st.characters(codec="ascii"))
@example(90, "J")
@example(16, "/")
def test_a_click_id_changed_anywhere_does_not_open(place: int, other: str) -> None:
    text = SEAL.seal(CLICK).decode("ascii")
    changed = text[:place] + other + text[place + 1 :]
    assert SEAL.open(changed) == (CLICK if changed == text else None)


@given(st.text(max_size=200))
def test_any_other_text_does_not_open(text: str) -> None:
    assert SEAL.open(text) is None


def test_a_click_id_opens_with_its_own_secret_only() -> None:
    text = SEAL.seal(CLICK).decode("ascii")
    assert ClickIdCipher(bytes(32)).open(text) is None
    later = SEAL.seal(CLICK._replace(at_us=CLICK.at_us + 1)).decode("ascii")
    assert sum(a == b for a, b in zip(text, later, strict=True)) < 20
