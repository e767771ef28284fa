"""Domains: hosts in their canonical form, drafts, and what a look at a record means."""

from datetime import timedelta

import pytest

from engine.links.domain import (
    PENDING_LOOKS,
    VERIFIED_EVERY,
    VERIFIED_LOOKS,
    DomainDraft,
    DueDomain,
    NewDomainDraft,
    TxtAnswer,
    canonical_host,
    look_result,
    record_name,
    record_value,
    validate_domain,
)
from engine.links.targets.blocklist import Blocklist

DUE = DueDomain(1, 2, "links.example.com", "abc", "pending", 0)
RIGHT = TxtAnswer(("v=spf1", record_value("abc")))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("links.example.com", "links.example.com"),
        ("LINKS.Example.com.", "links.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_a_host_is_stored_as_browsers_send_it(text: str, host: str) -> None:
    assert canonical_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "localhost", "a..b", "-a.example", "a_b.example", "a.example:80", "https://a.example",
        "a.example/x", "user@a.example", "a.exam ple", "127.0.0.1", "[::1]", "0x7f.1", "a.1", "a%2eexample.com",
        "a" * 64 + ".example", ("a" * 60 + ".") * 5 + "example", "a.example?x", "xn--\u2028.example",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(text: str) -> None:
    assert canonical_host(text) is None


def test_every_error_of_a_draft_is_named() -> None:
    bad = NewDomainDraft(host="localhost", root_target="javascript:x", not_found_target="")
    _, errors = validate_domain(bad)
    assert [error.field for error in errors] == ["host", "root_target", "not_found_target"]
    for host in ("go.example", "printer.local", "a.internal"):
        _, errors = validate_domain(NewDomainDraft(host=host), ("go.example",))
        assert [error.field for error in errors] == ["host"], host


def test_no_target_of_a_domain_goes_in_circles_or_to_the_blocklist() -> None:
    own = "https://links.example"
    blocklist = Blocklist(frozenset({"bad.example"}))
    for root, not_found, fields in (
        (f"{own}/", f"{own}/lost", ["root_target", "not_found_target"]),
        (f"{own}/start", f"{own}/@ada", []),
        ("https://www.bad.example/", "https://bad.example/", ["root_target", "not_found_target"]),
    ):
        new = NewDomainDraft(host="links.example", root_target=root, not_found_target=not_found)
        _, errors = validate_domain(new, policy=blocklist)
        assert [error.field for error in errors] == fields
        change = DomainDraft(root_target=root, not_found_target=not_found)
        _, errors = validate_domain(change, host="links.example", policy=blocklist)
        assert [error.field for error in errors] == fields
    stored = frozenset({"https://bad.example/"})
    kept = DomainDraft(root_target="https://bad.example/")
    assert validate_domain(kept, policy=blocklist, stored=stored) == (kept, [])


def test_a_draft_is_normalised() -> None:
    draft = NewDomainDraft(host="Links.Example.", root_target="HTTPS://example.com")
    assert validate_domain(draft) == (
        NewDomainDraft(host="links.example", root_target="https://example.com/"), [],
    )  # fmt: skip
    assert validate_domain(DomainDraft()) == (DomainDraft(), [])


def test_the_record_verifies_a_domain_in_every_state() -> None:
    for state in ("pending", "verified"):
        look = look_result(DUE._replace(state=state, failures=7), RIGHT)
        assert look[1:] == ("verified", "", 0, VERIFIED_EVERY)


def test_a_pending_domain_is_looked_at_ever_more_rarely_for_a_week_then_it_failed() -> None:
    waited, domain = timedelta(), DUE
    for _ in range(PENDING_LOOKS - 1):
        look = look_result(domain, TxtAnswer(("v=spf1",)))
        assert look.state == "pending"
        assert look.wait is not None
        waited += look.wait
        domain = domain._replace(failures=look.failures)
    assert timedelta(days=6) < waited < timedelta(days=8)
    last = look_result(domain, TxtAnswer())
    assert (last.state, last.wait) == ("failed", None)
    assert record_name(DUE.host) in last.reason


def test_a_verified_domain_survives_dns_that_is_away_and_a_day_without_its_record() -> None:
    domain = DUE._replace(state="verified")
    away = look_result(domain, TxtAnswer(error="timed out"))
    assert (away.state, away.failures, away.reason) == ("verified", 0, "timed out")
    waited = timedelta()
    for _ in range(VERIFIED_LOOKS - 1):
        look = look_result(domain, TxtAnswer((record_value("other"),)))
        assert look.state == "verified"
        assert "another value" in look.reason
        waited += look.wait or timedelta()
        domain = domain._replace(failures=look.failures)
    assert timedelta(hours=20) < waited < timedelta(hours=40)
    assert look_result(domain, TxtAnswer()).state == "failed"


def test_what_slugs_may_have_is_kept_once_and_in_order() -> None:
    draft = DomainDraft(slugs=("emoji", "dots", "emoji"))
    normalised, errors = validate_domain(draft)
    assert errors == []
    assert normalised is not None
    assert normalised.slugs == ("dots", "emoji")
