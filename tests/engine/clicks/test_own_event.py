"""Own events: what texts of a browser give, and the bytes of a record."""

from hypothesis import given
from hypothesis import strategies as st

from engine.clicks.own_event import (
    MAX_NAME_CHARS,
    MAX_PROPERTIES,
    MAX_VALUE_CHARS,
    OwnEvent,
    event_items,
    event_text,
    own_event,
    parse_event,
    readable,
    text_of_items,
)
from engine.clicks.record_items import items

TEXTS = st.text(max_size=200)
NAMES = st.from_regex(r"[A-Za-z0-9_.:-]{1,40}", fullmatch=True)


@given(TEXTS, st.dictionaries(TEXTS | NAMES, TEXTS, max_size=15))
def test_whatever_a_browser_sends_is_read_back_as_it_was_kept(
    name: str, properties: dict[str, str]
) -> None:
    event = own_event(name, properties)
    if event is None:
        assert not any(c.isprintable() and not c.isspace() for c in name[:MAX_NAME_CHARS].strip())
        return
    assert 1 <= len(event.name) <= MAX_NAME_CHARS
    assert len(event.properties) <= MAX_PROPERTIES
    for text in event.properties:
        key, _, value = text.partition("=")
        assert key in properties
        assert len(value) <= MAX_VALUE_CHARS
    text = event_text(event)
    kept = text_of_items(items(event_items(text.encode()))).decode()
    assert readable(kept) == kept == text
    assert parse_event(kept) == event


def test_the_longest_event_is_kept_whole() -> None:
    names = [f"{n:040d}" for n in range(MAX_PROPERTIES)]
    event = own_event("\U0001f600" * 60, dict.fromkeys(names, "😀" * 200))
    assert event is not None
    assert (len(event.name), len(event.properties)) == (MAX_NAME_CHARS, MAX_PROPERTIES)
    text = event_text(event)
    assert text_of_items(items(event_items(text.encode()))).decode() == text


def test_a_damaged_text_is_readable() -> None:
    assert readable("a\x00b\x1f\x1fx\x1fx") == "ab\x1f\x1fx"
    assert parse_event("") == OwnEvent("")
    assert len(parse_event(readable("a" + "\x1fb=" + "\x1fc" * 30)).properties) <= MAX_PROPERTIES
