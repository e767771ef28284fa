"""Bound of new texts: made-up ones are counted together, and nobody else's."""

from uuid import UUID

import pytest

from engine.clicks import new_texts
from engine.clicks.click import Click
from engine.clicks.copy_rows import EncodedTexts, FoldRows
from engine.clicks.dimension_values import parse_items
from engine.clicks.new_texts import NEW_TEXTS_PER_S, OTHER_TEXT, NewTexts
from engine.clicks.own_event import OwnEvent, event_items, parse_event
from engine.clicks.record_items import EVENT, EXPOSURES, HOST, PLACE, UTM, VariantRef, item
from engine.clicks.record_items import pack_variant_refs as pack_refs
from engine.clicks.utm import UtmParameters
from tests.kit.shipped_batches import batch, click

MALLORY, ADA = b"profile-mallory!", b"profile-of-ada-!"


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_texts, "NEW_TEXTS", 20)


def exhausted() -> NewTexts:
    """Return texts of which Mallory's profile may bring no new one of any kind."""
    texts = NewTexts()
    kinds = (new_texts._ORIGIN, new_texts._AGENT, new_texts._LANGUAGE, HOST, UTM, EVENT)
    assert all(texts.allows(MALLORY, kind) for kind in kinds for _ in range(20))
    return texts


def test_beyond_its_bound_a_profile_gets_one_text_for_all() -> None:
    texts = exhausted()
    assert texts.agent(MALLORY, b"Made/1") == texts.agent(MALLORY, b"Made/2") == OTHER_TEXT
    assert texts.agent(ADA, b"Made/1") == b"Made/1"
    assert texts.replaced["user_agent"] == 2


def test_a_profile_may_bring_new_texts_again_as_time_passes() -> None:
    texts = exhausted()
    texts.now_s = 2 / NEW_TEXTS_PER_S
    assert [texts.allows(MALLORY) for _ in range(3)] == [True, True, False]
    texts.now_s = 1_000.0
    assert [texts.allows(MALLORY) for _ in range(21)] == [True] * 20 + [False]


def test_a_referrer_of_a_known_origin_is_kept() -> None:
    texts = exhausted()
    assert texts.referrer(MALLORY, b"https://a.example/x?1") == OTHER_TEXT
    assert texts.referrer(ADA, b"https://a.example/x?2") == b"https://a.example/x?2"
    assert texts.referrer(MALLORY, b"https://a.example/x?3") == b"https://a.example/x?3"
    assert texts.referrer(MALLORY, b"https://made-up.example/") == OTHER_TEXT


def test_a_language_keeps_its_first() -> None:
    assert exhausted().language(MALLORY, b"de-AT;q=0.123,en") == b"de"


def test_made_up_parameters_and_hosts_become_other_and_nothing_else_does() -> None:
    texts = exhausted()
    exposures = item(EXPOSURES, pack_refs([VariantRef(1, 2, 3)]))
    others = item(PLACE, b"EU\x1fDE\x1fBE\x1fBerlin") + exposures
    packed = others + item(HOST, b"made.up") + item(UTM, b"utm_source=v1&UTM_TERM=v2&x=1")
    parsed = parse_items(texts.items(MALLORY, packed))
    assert parsed.utm == UtmParameters(source="(other)", term="(other)")
    assert (parsed.domain, parsed.place.city) == ("(other)", "Berlin, DE")
    assert parsed.exposures == parse_items(packed).exposures
    assert texts.items(MALLORY, others) == others
    assert texts.items(ADA, packed) == packed
    assert texts.items(MALLORY, packed) == packed  # known by now, as Ada's visitors brought it
    assert (texts.replaced["host"], texts.replaced["utm"]) == (1, 1)


def test_made_up_names_and_properties_of_own_events_become_other() -> None:
    texts = exhausted()
    host, event = item(HOST, b"known.example"), event_items(b"signup\x1fplan=pro\x1fseats=3")
    assert texts.items(ADA, host + event) == host + event
    made_up = event_items(b"m4de\x1fplan=pro\x1fx=1\x1fy=2" + b"z" * 600)
    counted = parse_items(texts.items(MALLORY, host + made_up))
    assert parse_event(counted.event) == OwnEvent("(other)", ("plan=pro", "(other)"))
    assert counted.domain == "known.example"
    assert texts.replaced["event"] == 1


def test_profiles_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_texts, "MAX_PROFILES", 3)
    texts = exhausted()
    for number in range(3):
        texts.allows(bytes((number,)))
    assert texts.allows(MALLORY)
    assert len(texts._left) == 3


def test_known_texts_are_free_and_made_up_ones_are_neither_stored_nor_kept() -> None:
    texts = EncodedTexts()
    folding = FoldRows(UUID(int=7), texts)
    regular = click(profile_id=3, user_agent=b"Mozilla/5.0 (X11; Linux) Firefox/130.0")
    made_up = [click(profile_id=2, user_agent=b"Made/%d" % n, referrer=b"") for n in range(60)]
    folding.add(batch(1, [*made_up, *_times(regular, 60)]), 0)
    assert len(texts.unstored) == len(texts.agents) <= 22
    assert texts.new_texts.replaced["user_agent"] == 60 - 20
    assert folding.clicks == 120
    rows = b"".join(folding.rows)
    assert rows.count(b"Firefox") == 60


def test_a_referrer_that_is_not_counted_apart_is_kept_with_the_raw_click() -> None:
    texts = EncodedTexts()
    folding = FoldRows(UUID(int=7), texts)
    folding.add(batch(1, [click(referrer=b"https://t%d.example/" % n) for n in range(60)]), 0)
    assert texts.new_texts.replaced["referrer"] == 40
    rows = b"".join(folding.rows)
    assert all(b"https://t%d.example/" % n in rows for n in range(60))
    assert rows.count(OTHER_TEXT) == 40


def test_made_up_texts_of_one_kind_leave_the_others_alone() -> None:
    texts = NewTexts()
    for number in range(30):
        texts.agent(MALLORY, b"Made/%d" % number)
    assert texts.replaced["user_agent"] == 10
    assert texts.referrer(MALLORY, b"https://l.instagram.com/") == b"https://l.instagram.com/"


def _times(one: Click, count: int) -> list[Click]:
    return [one] * count
