"""Movements of value by refunds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.experiments.refund import REFUND_KINDS, RefundKind, VerifiedRefund, movements

AT: Final = datetime(2026, 5, 1, tzinfo=UTC)
VALUE: Final = Decimal(50)


def refund(hour: int, kind: RefundKind, value: int = 0, currency: str = "EUR") -> VerifiedRefund:
    is_void = kind == "void"
    return VerifiedRefund(
        "sale", "1", f"{hour} {kind} {value}", kind, None if is_void else Decimal(value),
        None if is_void else currency, AT + timedelta(hours=hour),
    )  # fmt: skip


def moved(*refunds: VerifiedRefund) -> list[tuple[int, int]]:
    """Return (hour, value) of each movement."""
    return [
        ((movement.at - AT) // timedelta(hours=1), int(movement.value))
        for movement in movements(VALUE, "EUR", refunds)
    ]


@pytest.mark.parametrize(
    ("refunds", "moves"),
    [
        ([refund(1, "amount", 10), refund(2, "amount", 5)], [(1, -10), (2, -5)]),
        ([refund(1, "amount", 60)], [(1, -50)]),
        ([refund(1, "amount", 60), refund(2, "amount", 5)], [(1, -50)]),
        ([refund(1, "amount", 30), refund(2, "amount", -30)], [(1, -30), (2, 30)]),
        ([refund(1, "amount", -30)], []),
        ([refund(1, "total", 10), refund(2, "total", 25)], [(1, -10), (2, -15)]),
        ([refund(2, "total", 10), refund(1, "total", 25)], [(1, -25)]),
        ([refund(1, "amount", 10), refund(2, "total", 10)], [(1, -10)]),
        ([refund(1, "amount", 10), refund(2, "void")], [(1, -10), (2, -40)]),
        ([refund(1, "void"), refund(2, "amount", 10)], [(1, -50)]),
        ([refund(1, "amount", 10, "USD")], []),
    ],
)
def test_refunds_move_value_when_they_happen(
    refunds: list[VerifiedRefund], moves: list[tuple[int, int]]
) -> None:
    assert moved(*refunds) == moves
    assert moved(*reversed(refunds)) == moves


REFUNDS = st.lists(
    st.builds(refund, st.integers(0, 9), st.sampled_from(REFUND_KINDS), st.integers(-60, 60)),
    max_size=8,
)


@given(REFUNDS, st.randoms())
def test_an_order_gives_back_at_most_its_value_in_whichever_order_refunds_come(
    refunds: list[VerifiedRefund], shuffler: object
) -> None:
    shuffled = refunds[:]
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    moves = moved(*refunds)
    rest = 50
    for _, value in moves:
        rest += value
        assert 0 <= rest <= 50
    assert moved(*shuffled) == moves
