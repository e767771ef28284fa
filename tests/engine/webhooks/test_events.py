"""The catalogue of events: its examples fit their types, and only its fields are sent."""

from datetime import UTC, datetime

import msgspec
import pytest

from engine.webhooks.events import (
    EVENT_TYPES,
    SUBSCRIBABLE_NAMES,
    encode_body,
    event_id,
    matching_names,
)

AT = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_example_fits_its_type(name: str) -> None:
    example = dict(EVENT_TYPES[name].example)
    sent = msgspec.json.decode(encode_body(name, AT, example))
    assert sent == {"type": name, "timestamp": "2026-05-01T09:30:00Z", "data": example}


def test_every_type_has_a_schema() -> None:
    schemas, _ = msgspec.json.schema_components([type_.data for type_ in EVENT_TYPES.values()])
    assert len(schemas) == len(EVENT_TYPES)


def test_a_webhook_may_name_a_type_its_group_or_all() -> None:
    assert matching_names("link.created") == ("link.created", "link.*", "*")
    assert matching_names("link.clicked") == ("link.clicked",)
    assert {"*", "link.*", "member.*", "github.*", "link.clicked"} <= set(SUBSCRIBABLE_NAMES)


def test_columns_that_the_catalogue_lacks_are_not_sent() -> None:
    row = {"id": "2", "slug": "s", "target": "https://e.com/", "title": "", "status": 302, "kind": "url",
           "passthrough": False, "password": "hidden"}  # fmt: skip
    data = {"id": "2", "profile_id": "1", "user_id": None, "before": None, "after": row, "more": 1}
    body = encode_body("link.created", AT, data)
    assert b"hidden" not in body
    assert b"more" not in body
    assert msgspec.json.decode(body)["data"]["after"]["id"] == "2"
    assert body == encode_body("link.created", AT, data)


def test_data_of_another_shape_is_refused() -> None:
    for data in ({"profile_id": "1"}, {"profile_id": 1, "link_id": "2", "clicks": 10}):
        with pytest.raises(msgspec.ValidationError):
            encode_body("link.milestone", AT, data)


def test_an_event_id_has_no_full_stop() -> None:
    assert event_id(17) == "evt_17"
