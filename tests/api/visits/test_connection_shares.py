"""Shares of the connections: an address, a /64 and a /48 have a bound each, and the gone leave nothing."""

from hypothesis import given
from hypothesis import strategies as st

from api.visits.connection_shares import WIDE_SHARES, ConnectionShares


def test_an_address_holds_its_share_and_others_theirs() -> None:
    shares = ConnectionShares(2, proxied=False)
    mine, others = shares.networks_of("192.0.2.1"), shares.networks_of("192.0.2.2")
    for _ in range(2):
        assert shares.exceeded(mine) is None
        shares.take(mine)
    assert shares.exceeded(mine) == "192.0.2.1"
    assert shares.exceeded(others) is None
    shares.give_back(mine)
    assert shares.exceeded(mine) is None


def test_a_line_counts_by_its_64_and_a_customer_more_widely_by_its_48() -> None:
    shares = ConnectionShares(2, proxied=False)
    shares.take(shares.networks_of("2001:db8:1:2::3"))
    shares.take(shares.networks_of("2001:db8:1:2::4"))
    assert shares.exceeded(shares.networks_of("2001:db8:1:2::5")) == "2001:db8:1:2::/64"
    for line in range(2 * WIDE_SHARES - 2):
        networks = shares.networks_of(f"2001:db8:1:{0x100 + line:x}::1")
        assert shares.exceeded(networks) is None
        shares.take(networks)
    assert shares.exceeded(shares.networks_of("2001:db8:1:fff::1")) == "2001:db8:1::/48"
    assert shares.exceeded(shares.networks_of("2001:db8:2::1")) is None


def test_proxies_and_unix_sockets_have_no_share() -> None:
    assert ConnectionShares(1, proxied=True).networks_of("192.0.2.1") == ()
    assert ConnectionShares(1, proxied=False).networks_of("") == ()
    assert ConnectionShares(0, proxied=False).networks_of("192.0.2.1") == ()


@given(st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"])))
def test_nothing_is_left_once_all_have_gone(peers: list[str]) -> None:
    shares = ConnectionShares(1, proxied=False)
    for peer in peers:
        shares.take(shares.networks_of(peer))
    for peer in reversed(peers):
        shares.give_back(shares.networks_of(peer))
    assert shares.counts == {}
