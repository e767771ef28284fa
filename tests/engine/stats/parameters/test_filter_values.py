"""Values of filters: split at commas, joined again, normalised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.dimension import BY_NAME, OTHER, SPECS, Dimension
from engine.stats.parameters.filter_values import filter_value, joined_values, split_values


@given(st.lists(st.text(alphabet="ab,\\ ü", max_size=8), min_size=1, max_size=5))
def test_joined_values_are_read_as_they_were(values: list[str]) -> None:
    assert split_values(joined_values(values)) == values


@pytest.mark.parametrize("dimension", list(BY_NAME.values()))
def test_a_normalised_value_stays_and_an_unknown_one_may_be_asked_for(dimension: Dimension) -> None:
    examples = {
        Dimension.LINK: "5", Dimension.COUNTRY: "it", Dimension.CONTINENT: "eu", Dimension.REGION: "IT-25",
        Dimension.LANGUAGE: "IT", Dimension.REFERRER: "WWW.Example.org", Dimension.DOMAIN: "Go.example:8080",
        Dimension.DEVICE: "Phone", Dimension.TRIGGER: "QR", Dimension.KIND: "Human",
        Dimension.VARIANT: "9.1.0", Dimension.PROPERTY: "plan=Pro",
    }  # fmt: skip
    value = filter_value(dimension, examples.get(dimension, "Any"))
    assert filter_value(dimension, value) == value
    if SPECS[dimension].cap is not None:
        assert filter_value(dimension, OTHER) == OTHER
    if dimension is not Dimension.LINK:
        assert filter_value(dimension, "") == ""
