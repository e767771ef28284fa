"""What may be told of a security event."""

import pytest

from engine.audit.security_event import MAX_CHARS, MAX_DETAILS, WITHHELD, redact_detail


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1", "2001:db8::1", "[2001:db8::1]", "from 10.0.0.1, again", "a@example.com", "::1"],
)
def test_nothing_says_where_from(text: str) -> None:
    assert redact_detail({"reason": text}) == {"reason": WITHHELD}


def test_what_is_told_is_short() -> None:
    detail: dict[str, str | int] = {f"n{n}": "x" * 1000 for n in range(50)}
    found = redact_detail(detail)
    assert len(found) == MAX_DETAILS
    assert {len(str(value)) for value in found.values()} == {MAX_CHARS}
    route: dict[str, str | int] = {
        "status": 403,
        "route": "/v1/profiles/<profile_id>",
        "method": "GET",
    }
    assert redact_detail(route) == route
