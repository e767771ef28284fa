"""Known shops: no body breaks their reading, and what they report can be recorded or is refused in words."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.common.errors import InvalidError
from engine.experiments.conversion import conversion_of_order
from engine.experiments.conversion_hook import HookFieldPaths, ResolvedHook, read_report
from engine.experiments.shops.shop import SHOP_NAMES, SHOPS
from engine.experiments.shops.shop_report import click_id_of, moment

NOW: Final = datetime(2026, 11, 2, 12, tzinfo=UTC)
SCALARS: Final = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["", "0", "-1", "1e400", "NaN", "9" * 50, "true", "0001-01-01T00:00:00+14:00",
                       "9999-12-31T23:59:59-14:00", "refunded", "cancelled", "approved", "\ud800"])
)  # fmt: skip
VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["id", "total", "transactions", "kind", "amount", "value"]), inner, max_size=2
    ),
    max_leaves=4,
)  # fmt: skip
EVENTS: Final = [event for shop in SHOPS.values() for event in shop.events]


def places(body: Any) -> list[list[Any]]:
    """Return the path of every value in a body."""
    items = (
        body.items()
        if isinstance(body, dict)
        else enumerate(body)
        if isinstance(body, list)
        else ()
    )
    return [path for key, value in items for path in ([key], *([key, *p] for p in places(value)))]


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_no_body_breaks_the_reading_of_a_shop(data: st.DataObject) -> None:
    name: Any = data.draw(st.sampled_from(SHOP_NAMES))
    sample = SHOPS[name].sample if name in SHOPS else {"order_id": 1, "value": 2, "currency": "EUR"}
    body: Any = orjson.loads(orjson.dumps(dict(sample)))
    for event in ("type", "event_type", "resource_name"):
        if event in body:
            body[event] = data.draw(st.sampled_from(EVENTS))
    for _ in range(data.draw(st.integers(0, 3))):
        *steps, last = data.draw(st.sampled_from(places(body)))
        target = body
        for step in steps:
            target = target[step]
        target[last] = data.draw(VALUES)
    hook = ResolvedHook(1, 2, "sale", name, HookFieldPaths(), 1, ())
    try:
        report = read_report(hook, body, "ab" * 32)
        if report.order is not None:
            recorded = conversion_of_order(report.order, "sale", None, NOW)
            assert recorded.at <= NOW
            assert recorded.draft.order_id
    except InvalidError:
        return
    assert all(refund.order_id and refund.refund_id for refund in report.refunds)


@pytest.mark.parametrize(
    ("text", "click_id"),
    [
        ("abc", "abc"),
        (" abc ", "abc"),
        ("", None),
        ("/tea?wp_click=abc&x=1", "abc"),
        ("https://shop.example/?wp_click=a&wp_click=b", "b"),
        ("https://shop.example/?x=1", None),
        ("https://[/?wp_click=a", None),
        ("/?" + "&".join(f"a{n}=1" for n in range(300)), None),
    ],
)
def test_a_click_id_stands_alone_or_in_an_address(text: str, click_id: str | None) -> None:
    assert click_id_of(text) == click_id


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (None, None),
        ("", None),
        ("1793613600", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("1793613600000", None),
        ("99999999999999999999", None),
        ("2026-11-02T11:00:00+01:00", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("2026-11-02T10:00:00Z", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("2026-11-02T10:00:00", datetime(2026, 11, 2, 10, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
    ],
)
def test_a_time_is_read_as_shops_write_it(text: str | None, at: datetime | None) -> None:
    assert moment(text) == at
