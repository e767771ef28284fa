"""The audit's findings for each kind of wrong count, and its parsing of tags and answers."""

from pathlib import Path

import pytest

from bench.kit import request_account
from bench.kit.link_set import SampleLink
from bench.kit.request_account import REFUSED, UNANSWERED, RequestAccount
from bench.load.click_audit import AuditFindings, DatabaseCounts, compare, mismatches
from bench.load.load import is_complete

LINKS = [
    SampleLink("a", "x", "https://x.example/", ""),
    SampleLink("a", "y", "https://y.example/", ""),
]
IDS = {("a", "x"): (10, 1), ("a", "y"): (11, 1)}
# Requests 0 to 4: answered, answered, unanswered, refused, unanswered.
ENTRIES = [50, 60, UNANSWERED, REFUSED, UNANSWERED]


def counted(by_request: dict[tuple[int, int], int], untagged: int = 0) -> AuditFindings:
    return compare(ENTRIES, LINKS, DatabaseCounts(IDS, by_request, {}, untagged, 0))


def test_a_count_is_exact_with_and_without_unanswered_requests() -> None:
    findings = counted({(0, 10): 1, (1, 11): 1, (2, 10): 1})
    assert findings.exact
    assert (findings.answered, findings.unanswered, findings.refused, findings.counted) == (
        2,
        2,
        1,
        3,
    )
    assert findings.unanswered_counted == 1
    assert counted({(0, 10): 1, (1, 11): 1}).exact


@pytest.mark.parametrize(
    ("by_request", "untagged", "expected"),
    [
        ({(0, 10): 1}, 0, {"lost": 1}),
        ({(0, 10): 2, (1, 11): 1}, 0, {"duplicated": 1}),
        ({(0, 10): 1, (1, 11): 1, (2, 10): 3}, 0, {"duplicated": 2}),
        ({(0, 10): 1, (1, 11): 1, (3, 11): 1}, 0, {"phantoms": 1}),
        ({(0, 10): 1, (1, 11): 1, (9, 11): 1}, 0, {"phantoms": 1}),
        ({(0, 11): 1, (1, 11): 1}, 0, {"phantoms": 1, "lost": 1}),
        ({(0, 10): 1, (1, 11): 1}, 1, {"phantoms": 1}),
    ],
)
def test_each_kind_of_wrong_count_is_found(
    by_request: dict[tuple[int, int], int], untagged: int, expected: dict[str, int]
) -> None:
    findings = counted(by_request, untagged)
    assert not findings.exact
    for name in ("lost", "duplicated", "phantoms"):
        assert getattr(findings, name) == expected.get(name, 0)


def test_a_dimension_mismatch_is_not_exact() -> None:
    counts = DatabaseCounts(IDS, {(0, 10): 1, (1, 11): 1}, {}, 0, 0, dimension_mismatches=1)
    assert not compare(ENTRIES, LINKS, counts).exact


def test_days_and_api_totals_that_differ_from_raw_clicks_are_found() -> None:
    counts = DatabaseCounts(IDS, {}, {10: 3, 11: 2}, 0, 0)
    assert mismatches(counts, {1: 5}) == 0
    assert mismatches(counts, {1: 4}) == 1
    assert mismatches(counts._replace(day_mismatches=2), {1: 5}) == 2


def test_a_tag_is_read_from_a_referrer_or_its_host() -> None:
    header = (request_account.REFERER % 1234).decode()
    referrer = header.partition(": ")[2].strip()
    assert (
        request_account.request_number(referrer)
        == request_account.request_number(referrer.rstrip("/"))
        == 1234
    )
    assert request_account.request_number("https://www.example.org/") is None
    assert request_account.request_number("https://t12.load.example.org/") is None
    assert request_account.request_number(None) is None


def test_two_processes_share_an_account(tmp_path: Path) -> None:
    reader = RequestAccount(tmp_path / "account", make=True)
    writer = RequestAccount(tmp_path / "account")
    for number, entry in enumerate([7000, UNANSWERED, 3000, REFUSED, 5000]):
        writer.entries[number] = entry
    writer.counts[0] = 5
    assert reader.sent_entries() == [7000, UNANSWERED, 3000, REFUSED, 5000]
    assert reader.percentile_ms(50) == 5.0
    assert reader.percentile_ms(99) == 7.0


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nabc", True),
    ],
)
def test_a_response_is_complete_with_its_whole_body(data: bytes, complete: bool) -> None:
    assert is_complete(data) is complete
