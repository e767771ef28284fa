"""Entrances: which referrers are the profile's own page, which way a visit from there has, and what is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.click import MAX_REFERRER_BYTES
from engine.visits.entrance import (
    KEPT_US,
    Entrance,
    EntranceMemory,
    OwnReferrer,
    own_referrer,
    pack_entrances,
    unpack_entrances,
    way_from_page,
)

PAGE = OwnReferrer(True, b"")
ORIGIN = OwnReferrer(False, b"")


def entered(
    visitor: int, at_us: int = 0, *, profile: int = 1, referrer: bytes = b"r", query: bytes = b""
) -> Entrance:
    return Entrance(profile, at_us, visitor.to_bytes(8), referrer, query)


@pytest.mark.parametrize(
    ("referrer", "expected"),
    [
        (b"https://links.example/@shop", PAGE),
        (b"http://LINKS.example.:8080/@shop?x#y?z", OwnReferrer(True, b"x")),
        (b"HTTPS://me@links.example/@shop#x?y", PAGE),
        (b"https://links.example/@shop/", PAGE),
        (b"https://links.example/@Shop?utm_source=a&b", OwnReferrer(True, b"utm_source=a&b")),
        (b"https://links.example/%40shop", PAGE),
        (b"https://links.example/", ORIGIN),
        (b"https://links.example", ORIGIN),
        (b"https://links.example/@shop2", None),
        (b"https://links.example/shop/a", None),
        (b"https://links.example.evil/@shop", None),
        (b"https://evil/links.example/@shop", None),
        (b"https://links.example@evil/@shop", None),
        (b"android-app://links.example/@shop", None),
        (b"//links.example/@shop", None),
        (b"https://[::1/@shop", None),
        (b"/@shop", None),
        (b"", None),
    ],
)
def test_the_own_page_is_no_referrer(referrer: bytes, expected: OwnReferrer | None) -> None:
    assert own_referrer(referrer, b"links.example", b"/@shop") == expected


def test_the_own_page_by_an_address() -> None:
    assert own_referrer(b"http://[::1]:80/@a?b", b"[::1]", b"/@a") == OwnReferrer(True, b"b")
    assert own_referrer(b"http://[::2]/@a", b"[::1]", b"/@a") is None


def test_the_last_parameter_of_a_referrer_that_is_cut_is_not_read() -> None:
    url = b"https://links.example/@shop?utm_source=ig&fbclid=" + b"x" * 300
    own = own_referrer(url[:MAX_REFERRER_BYTES], b"links.example", b"/@shop")
    assert own == OwnReferrer(True, b"utm_source=ig")


@given(st.binary(max_size=255), st.binary(max_size=20))
def test_no_referrer_is_too_strange(referrer: bytes, host: bytes) -> None:
    own_referrer(referrer, host, b"/@shop")
    own_referrer(b"https://" + host + b"/" + referrer, host, b"/@shop")


@pytest.mark.parametrize(
    ("own", "page", "entrance", "way"),
    [
        # The page's query, where no entrance is known.
        (b"", b"", None, (b"", b"")),
        (b"", b"a=1&UTM_Source=ig&utm_term=", None, (b"", b"UTM_Source=ig&utm_term=")),
        (b"utm_source=own", b"utm_source=ig", None, (b"", b"utm_source=own")),
        # The entrance's referrer and campaign.
        (b"", b"", (b"https://ig", b""), (b"https://ig", b"")),
        (b"", b"", (b"https://ig", b"utm_source=ig"), (b"https://ig", b"utm_source=ig")),
        (b"", b"utm_source=ig", (b"https://ig", b"utm_source=ig"), (b"https://ig", b"utm_source=ig")),
        (b"utm_term=own", b"", (b"https://ig", b"utm_source=ig"), (b"https://ig", b"utm_term=own")),
        # The page is of another entrance than the last one: two tabs, or two visitors of one pseudonym.
        (b"", b"utm_source=ig", (b"https://google", b""), (b"", b"utm_source=ig")),
        (b"", b"utm_source=ig", (b"https://x", b"utm_source=x"), (b"", b"utm_source=ig")),
    ],
)  # fmt: skip
def test_the_way_of_a_visit_from_the_page(
    own: bytes, page: bytes, entrance: tuple[bytes, bytes] | None, way: tuple[bytes, bytes]
) -> None:
    last = entered(1, referrer=entrance[0], query=entrance[1]) if entrance else None
    assert way_from_page(own, page, last) == way


def test_the_last_entrance_counts_for_thirty_minutes() -> None:
    memory = EntranceMemory(10)
    memory.add(entered(1, 5, referrer=b"first"))
    memory.add(entered(1, 7, referrer=b"second"))
    memory.add(entered(1, 6, referrer=b"late, by another edge"))
    assert memory.last(bytes(8), 7) is None
    last = memory.last((1).to_bytes(8), 7 + KEPT_US)
    assert last is not None
    assert last.referrer == b"second"
    assert memory.last((1).to_bytes(8), 8 + KEPT_US) is None
    assert not memory.forget(7 + KEPT_US, 5)
    assert len(memory) == 1
    assert not memory.forget(8 + KEPT_US, 5)
    assert len(memory) == 0


def test_forgetting_stops_at_its_limit() -> None:
    memory = EntranceMemory(100)
    for visitor in range(10):
        memory.add(entered(visitor, profile=visitor))
    assert memory.forget(2 * KEPT_US, 4)
    assert len(memory) == 6
    assert not memory.forget(2 * KEPT_US, 7)


def test_a_profile_forgets_its_own_oldest_first() -> None:
    memory = EntranceMemory(16)  # so 2 of one profile
    memory.add(entered(100, profile=2))
    for visitor in range(5):
        memory.add(entered(visitor, visitor))
    assert memory.evicted_for == {"profile": 3, "edge": 0}
    assert [memory.last(v.to_bytes(8), 9) is not None for v in (100, 0, 1, 2, 3, 4)] == [
        True, False, False, False, True, True,
    ]  # fmt: skip


def test_an_edge_forgets_the_oldest_of_all() -> None:
    memory = EntranceMemory(8)
    for visitor in range(10):
        memory.add(entered(visitor, profile=visitor))
    assert len(memory) == 8
    assert memory.evicted_for == {"profile": 0, "edge": 2}
    assert memory.last((1).to_bytes(8), 1) is None


def test_an_edge_may_remember_nothing() -> None:
    memory = EntranceMemory(0)
    memory.add(entered(1))
    assert len(memory) == 0


VISITS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 3)), max_size=60)


@given(VISITS)
def test_the_memory_agrees_with_a_plain_one_and_keeps_its_bounds(
    visits: list[tuple[int, int, int]],
) -> None:
    memory, plain = EntranceMemory(1000), dict[bytes, Entrance]()
    small = EntranceMemory(8)
    for visitor, at_us, profile in visits:
        entrance = entered(visitor * 10 + profile, at_us, profile=profile)
        memory.add(entrance)
        small.add(entrance)
        assert len(small) <= 8
        former = plain.get(entrance.visitor_id)
        if former is None or former.at_us <= at_us:
            plain[entrance.visitor_id] = entrance
    assert len(memory) == len(plain)
    assert all(memory.last(visitor, 30) == entrance for visitor, entrance in plain.items())


TEXTS = st.binary(max_size=255)
ENTRANCES = st.builds(
    Entrance,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(min_size=8, max_size=8),
    TEXTS,
    TEXTS,
)


@given(st.lists(ENTRANCES, max_size=5))
def test_a_message_has_its_entrances(entrances: list[Entrance]) -> None:
    message = pack_entrances(entrances)
    assert unpack_entrances(message) == entrances
    assert all(
        (whole := unpack_entrances(message[:end])) is None or whole == entrances[: len(whole)]
        for end in range(len(message))
    )


@given(st.binary(max_size=100))
def test_other_messages_are_none(message: bytes) -> None:
    unpack_entrances(message)
    assert unpack_entrances(b"") is None
    assert unpack_entrances(b"\2" + message) is None
