"""The audit notices each way in which a count can be wrong; tags and answers are read right."""

from pathlib import Path

import pytest

from bench.kit import request_account
from bench.kit.click_audit import AuditFindings, DatabaseCounts, compare, mismatches
from bench.kit.link_set import SampleLink
from bench.kit.request_account import REFUSED, UNANSWERED, RequestAccount
from bench.load.load import is_whole

LINKS = [
    SampleLink("a", "x", "https://x.example/", ""),
    SampleLink("a", "y", "https://y.example/", ""),
]
IDS = {("a", "x"): (10, 1), ("a", "y"): (11, 1)}
# Requests 0 to 4: answered, answered, unanswered, refused, unanswered.
ENTRIES = [50, 60, UNANSWERED, REFUSED, UNANSWERED]


def counted(by_tag: dict[tuple[int, int], int], unknown: int = 0) -> AuditFindings:
    return compare(ENTRIES, LINKS, DatabaseCounts(IDS, by_tag, {}, {}, unknown, 0))


def test_an_exact_count_with_and_without_what_was_under_way() -> None:
    found = counted({(0, 10): 1, (1, 11): 1, (2, 10): 1})
    assert found.exact
    assert (found.answered, found.unanswered, found.refused, found.counted) == (2, 2, 1, 3)
    assert found.unanswered_counted == 1
    assert counted({(0, 10): 1, (1, 11): 1}).exact


@pytest.mark.parametrize(
    ("by_tag", "unknown", "wrong"),
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
def test_whatever_is_wrong_is_found(
    by_tag: dict[tuple[int, int], int], unknown: int, wrong: dict[str, int]
) -> None:
    found = counted(by_tag, unknown)
    assert not found.exact
    for name in ("lost", "duplicated", "phantoms"):
        assert getattr(found, name) == wrong.get(name, 0)


def test_counts_by_dimension_that_differ_are_found() -> None:
    found = DatabaseCounts(IDS, {(0, 10): 1, (1, 11): 1}, {}, {}, 0, 0, dimension_mismatches=1)
    assert not compare(ENTRIES, LINKS, found).exact


def test_sums_that_differ_from_the_raw_clicks_are_found() -> None:
    found = DatabaseCounts(IDS, {}, {10: 3, 11: 2}, {10: 3, 11: 2}, 0, 0)
    assert mismatches(found, {1: 5}) == 0
    assert mismatches(found, {1: 4}) == 1
    assert mismatches(found._replace(rollups={10: 3}), {1: 5}) == 1
    assert mismatches(found._replace(rollups={10: 3, 11: 2, 12: 1}), {1: 5}) == 1


def test_a_tag_is_read_back_whole_or_as_host() -> None:
    header = (request_account.REFERER % 1234).decode()
    referrer = header.partition(": ")[2].strip()
    assert request_account.number(referrer) == request_account.number(referrer.rstrip("/")) == 1234
    assert request_account.number("https://www.example.org/") is None
    assert request_account.number("https://t12.load.example.org/") is None
    assert request_account.number(None) is None


def test_the_account_is_seen_by_who_maps_the_same_file(tmp_path: Path) -> None:
    ours = RequestAccount(tmp_path / "account", make=True)
    theirs = RequestAccount(tmp_path / "account")
    for number, entry in enumerate([7000, UNANSWERED, 3000, REFUSED, 5000]):
        theirs.entries[number] = entry
    theirs.counts[0] = 5
    assert ours.all() == [7000, UNANSWERED, 3000, REFUSED, 5000]
    assert ours.percentile_ms(50) == 5.0
    assert ours.percentile_ms(99) == 7.0


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n", False),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 3\r\n\r\nabc", True),
    ],
)
def test_only_a_whole_answer_is_one(data: bytes, whole: bool) -> None:
    assert is_whole(data) is whole
