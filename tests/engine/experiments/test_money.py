"""Amounts in main and minor units."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.experiments.money import amount, currency_code, minor_amount, minor_digits


@pytest.mark.parametrize(
    ("text", "currency", "value"),
    [
        ("4990", "EUR", "49.90"), ("500", "JPY", "500"), ("12345", "KWD", "12.345"),
        ("12345", "CLF", "1.2345"), ("-990", "USD", "-9.90"), ("1e2", "USD", "1"),
    ],
)  # fmt: skip
def test_minor_units_are_those_of_the_currency(text: str, currency: str, value: str) -> None:
    assert minor_amount(text, currency) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "x", "1,50", "NaN", "Infinity", "9" * 41, "1e999999999", "٣,٣"]
)
def test_what_is_no_amount_is_none(text: str) -> None:
    assert amount(text) is None
    assert amount(text, 100) is None


def test_currencies_are_written_in_capitals() -> None:
    assert [currency_code(text) for text in ("eur", " Eur ", "ßa", "euro", "")] == [
        "EUR", "EUR", "ßa", "euro", "",
    ]  # fmt: skip


@given(st.integers(-(10**14), 10**14), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_minor_units_lose_nothing(number: int, currency: str) -> None:
    value = minor_amount(str(number), currency)
    assert value is not None
    assert value * 10 ** minor_digits(currency) == number
