"""Keys that stand twice in one JSON object are found, at any depth and in any spelling."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.json_keys import duplicate_key

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{}", None),
        ('{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}', None),
        ('{"a":1,"A":1,"a ":1}', None),
        ('{"a":1,"a":1}', "a"),
        ('{"":1,"":{}}', ""),
        (r'{"a":1,"\u0061":2}', "a"),
        ('[0,{"b":{"c":[{"d":1,"e":2,"d":3}]}}]', "d"),
        ('{"t":"\\"a\\":1,\\"a\\":1"}', None),
        ('{"n":' + "9" * 5_000 + ',"f":1e999}', None),
    ],
)
def test_a_key_that_stands_twice_is_named(text: str, key: str | None) -> None:
    assert duplicate_key(text) == duplicate_key(text.encode()) == key


@given(values, st.text(max_size=3))
def test_what_a_program_writes_has_none_until_a_key_is_repeated(value: Any, key: str) -> None:
    text = json.dumps(value)
    assert duplicate_key(text) is None
    pair = f"{json.dumps(key)}:{text}"
    assert duplicate_key(f"[{{{pair},{pair}}}]") == key


def test_nesting_that_is_too_deep_for_the_check_is_an_error() -> None:
    text = "[" * 1_000 + "]" * 1_000
    assert orjson.loads(text)
    with pytest.raises(RecursionError):
        duplicate_key(text)
