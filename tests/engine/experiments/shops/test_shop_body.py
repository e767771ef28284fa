"""Forms of shops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.errors import InvalidError
from engine.experiments.shops.shop_body import MAX_FIELDS, parse_form


def test_a_form_is_read_as_json_would_be() -> None:
    body = (
        b"price=4990&url_params%5Bwp_click%5D=c&a[b][c]=1&list[]=1&list[]=2&twice=1&twice=2&empty="
    )
    assert parse_form(body) == {
        "price": "4990", "url_params": {"wp_click": "c"}, "a": {"b": {"c": "1"}},
        "list": ["1", "2"], "twice": "2", "empty": "",
    }  # fmt: skip


def test_fields_that_contradict_each_other_break_nothing() -> None:
    assert parse_form(b"a=1&a[b]=2&c[]=1&c[d]=2&e[f]=1&e[]=2") == {
        "a": "1", "c": ["1", "2"], "e": {"f": "1", "": "2"},
    }  # fmt: skip
    deep = b"a" + b"[b]" * 50 + b"=1"
    assert parse_form(deep) == {deep[:-2].decode(): "1"}


def test_a_form_has_a_bounded_number_of_fields() -> None:
    assert len(parse_form("&".join(f"a{n}=1" for n in range(MAX_FIELDS)).encode())) == MAX_FIELDS
    with pytest.raises(InvalidError, match="1000"):
        parse_form("&".join(f"a{n}=1" for n in range(MAX_FIELDS + 1)).encode())


@given(st.binary(max_size=60) | st.text("ab[]=&%5", max_size=60).map(str.encode))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    assert isinstance(parse_form(body), dict)
