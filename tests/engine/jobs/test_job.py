"""Jobs: bounds of a draft, and the waits between attempts."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.jobs.job import (
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    MAX_ERROR_CHARS,
    MAX_PAYLOAD_BYTES,
    JobDraft,
    retry_delay_s,
    storable_error,
)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "A"}, {"kind": ""}, {"kind": "a" * 65}, {"queue": "a b"}, {"priority": 3},
        {"priority": -3}, {"max_attempts": 0}, {"max_attempts": 101}, {"unique_key": ""},
        {"unique_key": "k" * 201}, {"run_at": datetime(2026, 1, 1)},
        {"payload": {"k": "x" * MAX_PAYLOAD_BYTES}}, {"payload": {"k": {1, 2}}},
    ],
)  # fmt: skip
def test_a_draft_out_of_bounds_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        JobDraft(**{"kind": "a"} | fields)  # type: ignore[arg-type]


def test_a_payload_may_fill_its_bound() -> None:
    draft = JobDraft(kind="a", payload={"k": "x" * (MAX_PAYLOAD_BYTES - len('{"k":""}'))})
    assert len(draft.payload_json()) == MAX_PAYLOAD_BYTES


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_random_up_to_a_bound_that_doubles(failures: int, random: float) -> None:
    assert 0 <= retry_delay_s(failures, random) < LONGEST_RETRY_S
    assert retry_delay_s(1, random) == FIRST_RETRY_S * random
    longest = retry_delay_s(failures, 0.5)
    assert retry_delay_s(failures + 1, 0.5) in (2 * longest, LONGEST_RETRY_S / 2)


@given(st.text(st.characters(exclude_categories=())))
def test_every_error_text_can_be_stored(text: str) -> None:
    assert len(storable_error(text).encode()) <= 4 * MAX_ERROR_CHARS
    assert "\0" not in storable_error(text)
