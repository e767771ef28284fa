"""Words, dates and amounts in the languages that pages speak."""

from datetime import UTC, datetime

import pytest

from engine.pages.html.wording import (
    WORDS,
    amount,
    clock,
    direction_of,
    in_zone,
    span,
    whole_number,
    words_of,
    zone_name,
)


@pytest.mark.parametrize("language", WORDS)
def test_every_language_has_all_months_and_days(language: str) -> None:
    words = WORDS[language]
    assert words.language == language
    assert (len(words.months), len(words.weekdays)) == (12, 7)
    assert all(words)
    assert "{host}" in words.plays_at


@pytest.mark.parametrize(
    ("language", "price", "currency", "shown"),
    [
        ("en", "4.50", "EUR", "€4.50"),
        ("de", "1234.50", "EUR", "1.234,50 €"),
        ("nl", "4.50", "EUR", "€\u00a04,50"),
        ("en", "1200", "JPY", "¥1,200"),
        ("en", "5", "SEK", "SEK\u00a05"),
        ("en", "x", "", "x"),
    ],
)
def test_amounts(language: str, price: str, currency: str, shown: str) -> None:
    assert amount(price, currency, words_of(language)) == shown


def test_spans_of_time_are_in_their_zone() -> None:
    begin = in_zone(datetime(2026, 12, 6, 9, tzinfo=UTC), "Europe/Rome")
    end = in_zone(datetime(2026, 12, 6, 16, tzinfo=UTC), "Europe/Rome")
    later = in_zone(datetime(2026, 12, 7, 16, tzinfo=UTC), "Europe/Rome")
    words = words_of("en-GB")
    assert span(begin, None, words) == "Sun 6 Dec 2026, 10:00"
    assert span(begin, end, words).replace("\u2060", "") == "Sun 6 Dec 2026, 10:00–17:00"
    assert span(begin, later, words) == "Sun 6 Dec 2026, 10:00 – Mon 7 Dec 2026, 17:00"
    assert in_zone(begin, "Mars/Olympus") == begin
    assert zone_name("America/New_York") == "New York"


def test_numbers_lengths_and_directions() -> None:
    assert whole_number(1_284_000, words_of("fr")) == "1\u202f284\u202f000"
    assert (clock(5), clock(724), clock(3_723)) == ("0:05", "12:04", "1:02:03")
    assert (direction_of("he-IL"), direction_of("en")) == ("rtl", "ltr")
    assert words_of("xx") is words_of("en")
