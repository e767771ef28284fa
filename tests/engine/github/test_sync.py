"""When a member may request a synchronisation: by state, job and time since the last request."""

import pytest

from engine.common.errors import ConflictError, TooSoonError
from engine.github.sync import require_sync_allowed


def test_a_request_is_refused_for_a_minute_after_the_last() -> None:
    for since_request_s in (None, 60.0, 1e9):
        require_sync_allowed("synced", since_request_s, job_created=True)
    for since_request_s in (0.0, 59.9):
        with pytest.raises(TooSoonError) as caught:
            require_sync_allowed("synced", since_request_s, job_created=True)
        assert caught.value.retry_after_s == 60 - since_request_s


def test_a_queued_job_serves_a_request_unless_it_was_requested_itself() -> None:
    for since_request_s in (None, 60.0):
        require_sync_allowed("queued", since_request_s, job_created=False)
    with pytest.raises(ConflictError):
        require_sync_allowed("queued", 59.9, job_created=False)
    with pytest.raises(ConflictError):
        require_sync_allowed("running", None, job_created=False)
