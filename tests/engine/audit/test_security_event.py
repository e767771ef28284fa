"""The detail of a security event: short, without addresses."""

import pytest

from engine.audit.security_event import MAX_CHARS, MAX_DETAILS, WITHHELD, redact_detail


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1", "2001:db8::1", "[2001:db8::1]", "from 10.0.0.1, again", "a@example.com", "::1"],
)
def test_a_text_with_an_address_is_withheld(text: str) -> None:
    assert redact_detail({"reason": text}) == {"reason": WITHHELD}


def test_a_detail_is_short() -> None:
    detail: dict[str, str | int] = {f"n{n}": "x" * 1000 for n in range(50)}
    redacted = redact_detail(detail)
    assert len(redacted) == MAX_DETAILS
    assert {len(str(value)) for value in redacted.values()} == {MAX_CHARS}
    route: dict[str, str | int] = {
        "status": 403,
        "route": "/v1/profiles/<profile_id>",
        "method": "GET",
    }
    assert redact_detail(route) == route
