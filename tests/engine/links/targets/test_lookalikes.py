"""Lookalikes: which hosts can be taken for others, and that no host is taken for itself."""

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.targets.lookalikes import BRANDS, Lookalikes, skeleton
from engine.links.targets.shorteners import SHORTENERS, shortener_of

LOOKALIKES = Lookalikes(["go.example.com", "localhost"])


def host_of(name: str) -> str:
    return ada_url.URL(f"https://{name}/").hostname


@pytest.mark.parametrize(
    ("name", "imitated"),
    [
        ("раypal.com", "paypal.com"),
        ("www.paypa1.example", "paypal.com"),
        ("login.rnicrosoft.com", "microsoft.com"),
        ("göogle.de", "google.com"),
        ("аррӏе.com", "apple.com"),
        ("paypal.com.evil.example", "paypal.com"),
        ("go.examp1e.com", "go.example.com"),
        ("xn--pypal-4ve.com", "paypal.com"),
    ],
)
def test_a_host_that_looks_like_another_names_it(name: str, imitated: str) -> None:
    assert imitated in (LOOKALIKES.reason(host_of(name)) or "")


@pytest.mark.parametrize("name", ["exаmple.example", "сор.example"])
def test_a_label_of_mixed_or_imitated_scripts_is_doubtful(name: str) -> None:
    assert "label" in (LOOKALIKES.reason(host_of(name)) or "")


@pytest.mark.parametrize(
    "name",
    [
        "www.paypal.com", "google.com.br", "google.de", "go.example.com", "a.go.example.com", "localhost",
        "münchen.example", "сор.рф", "пример.рф", "203.0.113.9", "[2001:db8::1]", "example.com", "x.com.",
    ],
)  # fmt: skip
def test_other_hosts_are_as_they_look(name: str) -> None:
    assert LOOKALIKES.reason(host_of(name)) is None


def test_brands_do_not_look_like_each_other() -> None:
    assert len({skeleton(brand) for brand in BRANDS}) == len(BRANDS)
    assert all(host_of(brand) == brand and LOOKALIKES.reason(brand) is None for brand in BRANDS)


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,10}){0,4}\.?", fullmatch=True))
def test_any_host_is_judged_and_never_for_itself(name: str) -> None:
    reason = Lookalikes([name]).reason(name)
    assert reason is None or "." not in name.rstrip(".") or name.endswith(".")
    assert LOOKALIKES.reason("www.paypal.com") is None


def test_shorteners_are_known_with_their_subdomains() -> None:
    assert shortener_of("bit.ly") == shortener_of("www.bit.ly.") == "bit.ly"
    assert shortener_of("notbit.ly") is None
    assert shortener_of("ly") is None
    assert all(host_of(name) == name for name in SHORTENERS)
