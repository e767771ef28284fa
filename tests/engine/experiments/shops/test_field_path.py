"""Paths into shops' bodies."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.experiments.shops.field_path import MAX_STEPS, value_at_path

BODY = {
    "order": {"total": 49.9, "id": 7, "paid": True, "empty": ""},
    "lines": [{"price": "1"}, {"price": "2"}],
    "notes": [{"name": "gift", "value": "no"}, {"name": "wp.click", "value": "c"}, 5],
    "codes": [{"code": 7, "value": "seven"}],
    "url_params": {"wp_click": "c"},
}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("order.total", "49.9"),
        ("order.id", "7"),
        ("lines.1.price", "2"),
        ("notes[name=wp.click].value", "c"),
        ("notes.[name=wp.click].value", "c"),
        ("codes[code=7].value", "seven"),
        ("url_params[wp_click]", "c"),
        ("order.none|order.empty | order.id", "7"),
        ("order.none", None),
        ("order.paid", None),
        ("order", None),
        ("lines.2.price", None),
        ("lines.²", None),
        ("lines." + "9" * 5000, None),
        ("notes[name=other].value", None),
        ("order[name=x]", None),
        ("[", None),
        ("", None),
        (None, None),
    ],
)
def test_a_path_leads_by_name_and_by_position(path: str | None, text: str | None) -> None:
    assert value_at_path(BODY, path) == text


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from("abn"), children, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON, st.text("abn.[]=|0123²", max_size=40))
def test_no_path_breaks_on_any_body(body: Any, path: str) -> None:
    assert isinstance(value_at_path(body, path), str | None)


def test_a_path_has_a_bounded_number_of_steps() -> None:
    body: Any = "deep"
    for _ in range(5 * MAX_STEPS):
        body = {"a": body}
    assert value_at_path(body, ".".join("a" * 5 * MAX_STEPS)) is None
