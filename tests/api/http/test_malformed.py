"""A flood of malformed requests is counted and does not flood the log."""

import pytest

from api.http.malformed import MALFORMED, WARNING_INTERVAL_S, MalformedRequests


def test_each_request_is_counted_and_one_warning_a_second_says_how_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    malformed = MalformedRequests(lambda: now)
    for _ in range(1_000):
        malformed.count("illegal header line")
        now += WARNING_INTERVAL_S / 400.5
    assert malformed.samples() == [MALFORMED.sample(1_000)]
    assert len(caplog.records) == 3
    assert caplog.messages[0].endswith("illegal header line (1 since the last warning)")
    assert caplog.messages[1].endswith("illegal header line (401 since the last warning)")
