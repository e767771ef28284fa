"""Hash buckets: the published hash bit for bit, and ranges that move no visitor of the experiment."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.common.errors import InvalidError
from engine.experiments.bucketing import (
    NO_VARIANT,
    SLOTS,
    bucket,
    choose,
    fnv1a32,
    hash_state,
    ranges,
    shares,
    slot,
    slot_of_digits,
    variant_by_slot,
)

OFFSET = 0x811C9DC5

# Hash version 2 in GrowthBook's cases for SDKs (packages/sdk-js/test/cases.json).
PUBLISHED = [
    ("seed", "a", 0.0505),
    ("seed", "b", 0.2696),
    ("foo", "ab", 0.2575),
    ("foo", "def", 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 0.124),
    ("90850943850283058242805", "123", 0.7516),
    ("()**(%$##$%#$#", '___)((*":&', 0.0128),
]

weights = st.lists(st.floats(0, 1), min_size=1, max_size=10)
normal_weights = weights.filter(lambda values: sum(values) > 0.01).map(
    lambda values: [weight / sum(values) for weight in values]
)


def by_definition(units: list[int]) -> int:
    state = OFFSET
    for unit in units:
        state = ((state ^ unit) * 0x01000193) % 2**32
    return state


@pytest.mark.parametrize(
    ("text", "expected"), [("", OFFSET), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)]
)
def test_fnv_has_the_values_of_its_authors(text: str, expected: int) -> None:
    assert fnv1a32(OFFSET, text) == expected


@given(st.text(st.characters(max_codepoint=127), max_size=200))
def test_fnv_of_ascii_is_over_bytes_at_every_length(text: str) -> None:
    assert fnv1a32(OFFSET, text) == by_definition(list(text.encode()))


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_state_goes_on_where_a_prefix_ended(prefix: str, rest: str) -> None:
    assert fnv1a32(hash_state(prefix), rest) == fnv1a32(OFFSET, prefix + rest)


def test_other_characters_are_hashed_by_utf16_code_unit() -> None:
    assert fnv1a32(OFFSET, "é") == by_definition([0xE9])
    assert fnv1a32(OFFSET, "日x") == by_definition([0x65E5, 0x78])
    assert fnv1a32(OFFSET, "😀") == by_definition([0xD83D, 0xDE00])
    assert fnv1a32(OFFSET, "\ud83d") == by_definition([0xD83D])
    assert fnv1a32(OFFSET, "é" * 50) == by_definition([0xE9] * 50)


@pytest.mark.parametrize(("seed", "key", "expected"), PUBLISHED)
def test_bucket_has_the_published_values(seed: str, key: str, expected: float) -> None:
    assert bucket(seed, key) == expected


@given(st.text(max_size=40), st.text(max_size=40))
def test_bucket_is_the_hash_of_the_hash(seed: str, key: str) -> None:
    text = (seed + key).encode("utf-16-le", "surrogatepass")
    first = by_definition([text[i] | text[i + 1] << 8 for i in range(0, len(text), 2)])
    assert bucket(seed, key) == by_definition(list(str(first).encode())) % 10000 / 10000


def test_seeds_are_independent() -> None:
    """Of 4,000 keys, a quarter is in the upper half of both of two seeds: 1,000, with deviation 27."""
    keys = [f"{number:016x}" for number in range(4000)]
    both = sum(
        slot(hash_state("s1"), k) >= 5000 and slot(hash_state("s2"), k) >= 5000 for k in keys
    )
    assert abs(both - 1000) < 4 * 27.4


def test_ranges_include_their_start_and_not_their_end() -> None:
    assert [choose(position, [0.4, 0.6]) for position in (0, 0.3999, 0.4, 0.9999)] == [0, 0, 1, 1]
    assert choose(1.0, [0.4, 0.6]) is None
    assert choose(0.2, [0.4, 0.6], 0.5) is None
    assert choose(0.1999, [0.4, 0.6], 0.5) == 0


def test_variants_of_weight_0_get_no_visitor() -> None:
    variants = {choose(number / SLOTS, [0, 0.5, 0, 0.5, 0]) for number in range(SLOTS)}
    assert variants == {1, 3}


@pytest.mark.parametrize(
    ("weights", "starts"),
    [
        ([0.49, 0.5], (0, 0.49)),
        ([0.5, 0.51], (0, 0.5)),
        ([0.485, 0.5], (0, 0.485 / 0.985)),
        ([0.515, 0.5], (0, 0.515 / 1.015)),
        ([0.2, 0.6], (0, 0.25)),
        ([0.9, 0.3], (0, 0.75)),
        ([0, 0], (0, 0.5)),
        ([70, 30], (0, 0.7)),
        ([95, 5], (0, 0.95)),
        ([1, 1, 2], (0, 0.25, 0.5)),
        ([1.5e308, 0.5e308], (0, 0.75)),
        ([3e-323, 1e-323], (0, 0.75)),
    ],
)
def test_weights_are_ratios_of_any_size(weights: list[float], starts: tuple[float, ...]) -> None:
    assert ranges(weights).starts == pytest.approx(starts)


def test_95_to_5_is_no_even_split() -> None:
    assert shares([95, 5]) == [0.95, 0.05]
    assert [choose(position, [95, 5]) for position in (0.5, 0.9499, 0.95)] == [0, 0, 1]


@given(weights.filter(any), st.floats(1e-3, 1e6))
def test_the_size_of_ratios_does_not_matter(weights: list[float], factor: float) -> None:
    assume(all(weight == 0 or weight > 1e-300 for weight in weights))  # others may become 0
    scaled = [weight * factor for weight in weights]
    assert ranges(scaled).starts == pytest.approx(ranges(weights).starts, abs=0.02)
    assert ranges(scaled).ends[-1] == pytest.approx(1, abs=0.0101)


@pytest.mark.parametrize("bad", [[], [1.5, -0.5], [math.nan, 1], [math.inf, 0]])
def test_bad_weights_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        choose(0.5, bad)
    with pytest.raises(InvalidError):
        choose(0.5, bad)


def test_coverage_is_clamped_to_its_bounds_but_must_be_a_number() -> None:
    assert ranges([0.5, 0.5], 1.5) == ranges([0.5, 0.5], 1)
    assert ranges([0.5, 0.5], -0.2) == ranges([0.5, 0.5], 0)
    with pytest.raises(ValueError, match="coverage"):
        choose(0.5, [0.5, 0.5], math.nan)


@given(normal_weights, st.floats(0, 1), st.floats(0, 1), st.integers(0, SLOTS - 1))
def test_a_higher_coverage_keeps_each_visitors_variant(
    weights: list[float], first: float, second: float, number: int
) -> None:
    less, more = sorted((first, second))
    before = choose(number / SLOTS, weights, less)
    assert before is None or choose(number / SLOTS, weights, more) == before


@given(normal_weights, st.floats(0, 1), st.integers(0, SLOTS - 1))
def test_a_change_of_coverage_moves_no_visitor_between_variants(
    weights: list[float], coverage: float, number: int
) -> None:
    assert choose(number / SLOTS, weights, coverage) in (None, choose(number / SLOTS, weights))


def test_shares_are_the_slots_counted() -> None:
    assert shares([1 / 3] * 3) == [0.3334, 0.3333, 0.3333]
    assert shares([0.5, 0.5], 0) == [0, 0]
    assert shares([0.5, 0, 0.5], 0.1) == [0.5, 0, 0.5]


@given(st.text("0123456789abcdef", max_size=32), st.text(max_size=8))
def test_digits_fall_where_their_text_does(digits: str, seed: str) -> None:
    assert slot_of_digits(hash_state(seed), digits.encode()) == slot(hash_state(seed), digits)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=10).filter(any) | st.just([0.5, 0, 0.5]),
    st.floats(0, 1),
)
@settings(max_examples=25, deadline=None)
def test_the_table_of_slots_agrees_with_the_search(weights: list[float], coverage: float) -> None:
    total = sum(weights)
    variant_ranges = ranges([weight / total for weight in weights], coverage)
    table = variant_by_slot(variant_ranges)
    assert len(table) == SLOTS
    for number in range(SLOTS):
        variant = variant_ranges.find(number / SLOTS)
        assert table[number] == (NO_VARIANT if variant is None else variant)
