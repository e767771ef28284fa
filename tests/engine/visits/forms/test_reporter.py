"""Reporters: one a day for a network, told apart by link, and none of a visitor's other pseudonyms."""

from engine.visits.client_address import packed_network
from engine.visits.forms.reporter import form_token, reporter_of
from engine.visits.pseudonym import Pseudonymiser

TODAY, TOMORROW = Pseudonymiser(b"a" * 32), Pseudonymiser(b"b" * 32)


def test_a_network_is_one_reporter_a_day_and_link() -> None:
    here, there = packed_network("203.0.113.9"), packed_network("203.0.113.10")
    assert reporter_of(TODAY, 7, here) == reporter_of(TODAY, 7, here)
    others = {
        reporter_of(TODAY, 7, there),
        reporter_of(TODAY, 8, here),
        reporter_of(TOMORROW, 7, here),
    }
    assert len(others | {reporter_of(TODAY, 7, here)}) == 4


def test_a_line_with_many_networks_is_one_reporter() -> None:
    one, other = packed_network("2001:db8:1:1::1"), packed_network("2001:db8:1:ffff::1")
    assert one != other
    assert reporter_of(TODAY, 7, one) == reporter_of(TODAY, 7, other)
    assert reporter_of(TODAY, 7, one) != reporter_of(TODAY, 7, packed_network("2001:db8:2::1"))


def test_the_token_of_a_form_reveals_no_reporter() -> None:
    network = packed_network("203.0.113.9")
    token = form_token(TODAY, 7, network)
    assert bytes.fromhex(token) != reporter_of(TODAY, 7, network)
    assert token != form_token(TODAY, 8, network)
    assert token != form_token(TOMORROW, 7, network)
