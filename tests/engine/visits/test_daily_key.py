"""Daily keys: the choice between several, the time that they are kept, and their bytes."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from engine.visits.daily_key import (
    DAY_US,
    KEPT_US,
    PREPARE_US,
    DailyKey,
    KeyAnnouncement,
    best,
    fingerprint,
    is_kept,
    pack_greeting,
    pack_keys,
    unpack,
    unpack_keys,
    wanted_days,
)

DAY = 20_000
NOON_US = DAY * DAY_US + DAY_US // 2
KEYS = st.builds(
    DailyKey,
    st.just(DAY),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([b"a" * 32, b"b" * 32]),
)


@given(st.lists(KEYS, max_size=4))
def test_the_choice_does_not_depend_on_the_order_of_keys(keys: list[DailyKey]) -> None:
    chosen = set()
    for order in permutations(keys):
        chosen_keys: dict[int, DailyKey] = {}
        for key in order:
            chosen_keys = best([*chosen_keys.values(), key], NOON_US)
        chosen.add(chosen_keys.get(DAY))
    assert len(chosen) == 1
    if any(key.used for key in keys):
        assert chosen.pop().used  # type: ignore[union-attr]


@given(st.integers(DAY * DAY_US, (DAY + 3) * DAY_US))
def test_todays_key_is_always_wanted_and_none_is_kept_for_48_hours(now_us: int) -> None:
    today = now_us // DAY_US
    assert today in wanted_days(now_us)
    assert all(is_kept(day, now_us) for day in wanted_days(now_us))
    assert not is_kept(today - 2, now_us)
    assert (today + 1 in wanted_days(now_us)) == (now_us % DAY_US >= DAY_US - PREPARE_US)
    assert PREPARE_US + KEPT_US < 48 * 3_600_000_000


def test_packed_keys_are_unpacked() -> None:
    keys = [DailyKey(DAY, True, NOON_US, bytes(range(32))), DailyKey(DAY + 1, False, 0, bytes(32))]
    assert unpack_keys(pack_keys(keys)) == unpack(pack_keys(keys)) == keys
    greeting = KeyAnnouncement(DAY, fingerprint(keys[0].key))
    assert unpack(pack_greeting(greeting)) == greeting
    assert keys[0].key.hex() not in pack_greeting(greeting).decode()
    assert fingerprint(keys[0].key) != fingerprint(keys[1].key)


@given(st.binary(max_size=100))
def test_anything_else_is_refused(data: bytes) -> None:
    content = unpack(data)
    assert content is None or isinstance(content, KeyAnnouncement) or content == []
