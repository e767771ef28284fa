"""Drafts of webhooks: normalised URLs, and hostile text in every field."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.target import TargetError
from engine.webhooks.webhook import NewWebhookDraft, WebhookDraft, validate_draft, validate_url

GOOD = NewWebhookDraft(url="https://example.com/hook", event_types=["*"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com", "https://example.com/"),
        ("  https://Example.COM:443/a b?c=d ", "https://example.com/a%20b?c=d"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://example.com/../a/./b", "https://example.com/a/b"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://example.com\\@127.0.0.1:x/", "https://example.com/@127.0.0.1:x/"),
        ("https://134744072/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700:0::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://example.com/" + "a" * 2028, "https://example.com/" + "a" * 2028),
    ],
)
def test_urls_are_normalised(url: str, expected: str) -> None:
    assert validate_url(url) == expected
    assert validate_url(expected) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "example.com", "//example.com", "ftp://example.com/", "file:///etc/passwd", "gopher://a.b/",
        "javascript:alert(1)", "mailto:a@b.c", "https://", "https:///", "http://example.com/",
        "https://user@example.com/", "https://user:pass@example.com/", "https://:pass@example.com/",
        "https://example.com/#x", "https://example.com/#", "https://example.com:0/", "https://example.com:99999/",
        "https://example.com/\r\nX: y", "https://example.com/\x00", "https://exa\tmple.com/",
        "https://example.com/" + "a" * 2029, "https://localhost/", "https://a.localhost/", "https://intranet/",
        "https://db.internal/", "https://printer.local/", "https://127.0.0.1/", "https://127.1/",
        "https://0x7f000001/", "https://017700000001/", "https://2130706433/", "https://0/",
        "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://100.100.100.200/",
        "https://[::1]/", "https://[::]/", "https://[::ffff:8.8.8.8]/", "https://[64:ff9b::808:808]/",
        "https://[2002:808:808::]/", "https://[fe80::1]/", "https://[fd00:ec2::254]/", "https://224.0.0.1/",
        "https://①②⑦.0.0.1/", "https://\ud800.com/",
    ],
)  # fmt: skip
def test_invalid_and_private_urls_are_refused(url: str) -> None:
    with pytest.raises(TargetError):
        validate_url(url)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/", "http://localhost:9/", "https://localhost/", "http://[::1]:9/", "http://127.1/",
     "https://example.com/"],
)  # fmt: skip
def test_loopback_urls_are_allowed_by_option(url: str) -> None:
    validate_url(url, loopback=True)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "http://10.0.0.1/", "https://10.0.0.1/", "http://0.0.0.0/", "http://169.254.169.254/",
     "http://[::ffff:127.0.0.1]/", "http://localhost.evil.example/", "http://u@localhost/"],
)  # fmt: skip
def test_the_loopback_option_allows_no_other_private_url(url: str) -> None:
    with pytest.raises(TargetError):
        validate_url(url, loopback=True)


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"url": "http://x/"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["link.exploded"]}, "event_types"),
        ({"event_types": ["link.created", "**"]}, "event_types"),
        ({"event_types": ["*"] * 51}, "event_types"),
        ({"description": "x" * 201}, "description"),
        ({"description": "a\nb"}, "description"),
        ({"signature": "v2"}, "signature"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 101}, "max_concurrency"),
        ({"max_rate": -1}, "max_rate"),
        ({"max_rate": 10_001}, "max_rate"),
    ],
)
def test_bad_fields_are_named(fields: dict[str, object], bad: str) -> None:
    draft, errors = validate_draft(msgspec.structs.replace(GOOD, **fields))
    assert draft is None
    assert [error.field for error in errors] == [bad]


def test_all_bad_fields_are_named_at_once() -> None:
    _, errors = validate_draft(WebhookDraft(url="", event_types=["x"], description="\x00"))
    assert {error.field for error in errors} == {"url", "event_types", "description"}


def test_event_types_are_sorted_without_duplicates() -> None:
    draft, _ = validate_draft(
        msgspec.structs.replace(GOOD, event_types=["member.*", "*", "member.*"])
    )
    assert draft is not None
    assert draft.event_types == ["*", "member.*"]


@given(st.text())
def test_any_text_is_refused_or_gives_a_plain_https_url(text: str) -> None:
    for candidate in (text, "https://" + text):
        try:
            url = validate_url(candidate)
        except TargetError:
            continue
        assert url.startswith("https://")
        assert url.isascii()
        assert url.isprintable()
        assert "@" not in url.split("/")[2]
