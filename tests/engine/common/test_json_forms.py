"""Ids as texts and times with `Z`, in values that have no struct of a response."""

import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from engine.common.json_forms import id_text, is_id_name, time_text, with_text_ids
from tests.kit.engines import ROOT

LARGE = 2**53 + 1
ROOMS = ("engine", "storage", "actors", "api")


@pytest.mark.parametrize("name", ["id", "link_id", "invited_by"])
def test_a_field_of_this_name_is_an_id(name: str) -> None:
    assert is_id_name(name)
    assert with_text_ids({name: LARGE}) == {name: str(LARGE)}


@pytest.mark.parametrize("name", ["paid", "ids", "id_of", "by", "clicks", ""])
def test_a_field_of_another_name_stays_a_number(name: str) -> None:
    assert with_text_ids({name: 7}) == {name: 7}


def test_what_is_no_number_stays_as_it_is() -> None:
    fields = {"id": "7", "link_id": None, "user_id": True, "invited_by": {"id": 1}}
    assert with_text_ids(fields) == fields
    assert (id_text(None), id_text(LARGE)) == ("", str(LARGE))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 5, 1, 10, tzinfo=UTC), "2026-05-01T10:00:00Z"),
        (datetime(2026, 5, 1, 10, 0, 0, 5, tzinfo=UTC), "2026-05-01T10:00:00.000005Z"),
        (
            datetime(2026, 5, 1, 10, tzinfo=timezone(timedelta(hours=2))),
            "2026-05-01T10:00:00+02:00",
        ),
    ],
)
def test_a_time_is_written_as_json_has_it(time: datetime, text: str) -> None:
    assert time_text(time) == text
    assert msgspec.json.encode(time) == f'"{text}"'.encode()


def test_no_other_code_writes_times() -> None:
    """json_forms.py writes times as JSON has them; logs and files of calendars have forms of their own."""
    writing = re.compile(r"(?<!date\(\))\.isoformat\(|%dT")
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(files) > 300
    writers = {str(path.relative_to(ROOT)) for path in files if writing.search(path.read_text())}
    assert writers == {"engine/operations/logs.py", "engine/pages/files.py"}
