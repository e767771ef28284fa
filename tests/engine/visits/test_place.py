"""Places of geo files' records, also of malformed ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.record_items import PLACE, item, items
from engine.common.continent import CONTINENTS, continent_of
from engine.visits.place import (
    MAX_CITY_BYTES,
    MAX_REGION_BYTES,
    pack_place,
    place_of_record,
    unpack_place,
)

RECORDS = st.recursive(
    st.text(max_size=80) | st.integers() | st.none() | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["country", "continent", "city", "names", "en", "iso_code", "code", "subdivisions",
                 "country_code"]
            ),
            inner,
        )
    ),
)  # fmt: skip


@given(RECORDS)
def test_any_record_gives_a_place_that_fits_its_item(record: object) -> None:
    data = place_of_record(record)
    continent, country, region, city = unpack_place(data)
    assert continent == "" or continent in CONTINENTS
    assert country == "" or (len(country) == 2 and country.isascii() and country.isupper())
    assert len(region.encode()) <= MAX_REGION_BYTES
    assert len(city.encode()) <= MAX_CITY_BYTES
    assert data.count(b"\x1f") in (0, 3)
    assert not any(byte < 0x1F or byte == 0x7F for byte in data)
    assert items(item(PLACE, data)).get(PLACE, b"") == data


@given(st.text(max_size=90), st.text(max_size=90))
def test_text_is_cut_between_characters(region: str, city: str) -> None:
    data = pack_place("EU", "DE", region, city)
    assert data.decode("utf-8").startswith("EU\x1fDE\x1f")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "DE"}}, ("EU", "DE", "", "")),  # no continent: by country
        ({"country_code": "JP", "city": "Tokyo"}, ("AS", "JP", "", "Tokyo")),
        ({"country": {"iso_code": "ZZ"}}, ("", "ZZ", "", "")),
        ({"continent": {"code": "AF"}}, ("AF", "", "", "")),
        ({"continent": {"code": "XX"}, "country": {"iso_code": "de"}}, ("", "", "", "")),
        ({"registered_country": {"iso_code": "DE"}}, ("", "", "", "")),
        (None, ("", "", "", "")),
    ],
)
def test_the_place_of_a_record(record: object, expected: tuple[str, ...]) -> None:
    assert unpack_place(place_of_record(record)) == expected


@pytest.mark.parametrize(
    ("country", "continent"),
    [("DE", "EU"), ("RU", "EU"), ("TR", "AS"), ("EG", "AF"), ("GL", "NA"), ("CL", "SA"), ("FJ", "OC"),
     ("AQ", "AN"), ("XK", "EU"), ("ZZ", ""), ("", "")],
)  # fmt: skip
def test_the_continent_of_a_country(country: str, continent: str) -> None:
    assert continent_of(country) == continent
