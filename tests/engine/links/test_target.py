"""Targets: every valid one may be written into a Location header, and a browser goes to that very URL."""

import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.links.target import (
    MAX_TARGET_CHARS,
    TARGET_KINDS,
    TargetError,
    TargetKind,
    add_query,
    check,
    is_location_safe,
    is_private_host,
    leads_back,
    replace_query,
)
from engine.links.targets.program_target import kind_of_scheme

PIECES = st.sampled_from(
    ["http", "https", "HTTP", "javascript", "data", "mailto", "tel", "file", "blob", ":", "/", "//", "\\", "@",
     "user", "pass", "?", "#", "example.com", "EXAMPLE.com", "b\u00fccher.example", "127.0.0.1", "0x7f.1",
     "[::1]", "localhost", ".", "%0d%0a", "\r\n", "\t", "\n", "\x00", "\x7f", "\x85", "\u2028", " ", "\u00a0",
     "\ud800", "%", "%2e", "..", ":80", ":443", ":99999", "+39", "0123", ";ext=1", "\u00e9", "a"]
)  # fmt: skip
odd_urls = st.lists(PIECES, max_size=12).map("".join)
likely_urls = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["example.com", "a.example:8080", "b\u00fccher.example", "8.8.8.8", "[2606::1]"]),
    st.text(max_size=30) | odd_urls,
)  # fmt: skip
kinds: st.SearchStrategy[TargetKind] = st.sampled_from(TARGET_KINDS)


@given(odd_urls | likely_urls | st.text(max_size=40), kinds, st.booleans())
@example("mailto:\ud800@example.com", "mailto", True)
@example("http://a.example/\ud800", "url", True)
@example("http://@example.com/", "url", True)
@example("http:\\\\example.com\\a", "url", True)
def test_a_valid_target_is_safe_and_its_own_normal_form(
    url: str, kind: TargetKind, private_hosts: bool
) -> None:
    try:
        target = check(url, kind, private_hosts=private_hosts)
    except TargetError:
        return
    assert re.fullmatch(r"[\x21-\x7e]{1,32768}", target)
    assert is_location_safe(target.encode())
    assert check(target, kind, private_hosts=private_hosts) == target
    if kind not in ("url", "github"):
        assert kind_of_scheme(target) == kind
        return
    assert re.match(r"https?://[^/@\\]+(/|\Z)", target)
    parsed = ada_url.URL(target)
    assert (parsed.username, parsed.password) == ("", "")
    assert urlsplit(target).hostname == parsed.hostname.strip("[]")  # both parsers read one host
    assert private_hosts or not is_private_host(parsed.hostname)


@given(st.sampled_from(["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc"]),
       st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["\t", "\n", "\r", " ", "\x00", "\x01"])),
                max_size=4), st.booleans(), kinds)  # fmt: skip
def test_a_script_is_refused_in_any_disguise(
    url: str, noise: list[tuple[int, str]], upper: bool, kind: TargetKind
) -> None:
    url = url.upper() if upper else url
    for place, character in noise:
        url = url[:place] + character + url[place:]
    with pytest.raises(TargetError):
        check(url, kind)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must not be empty"),
        ("   ", "must not be empty"),
        ("example.com", "must be an absolute URL"),
        ("//example.com/", "must be an absolute URL"),
        ("javascript:alert(1)", "'javascript'"),
        ("data:text/html,x", "'data'"),
        ("mailto:a@example.com", "give the link the kind 'mailto'"),
        ("https://user@example.com/", "credentials"),
        ("https://:secret@example.com/", "credentials"),
        ("https://example.com/\r\nSet-Cookie: a=b", "control character"),
        ("https://example.com/\x85", "control character"),
        ("https://exa\tmple.com/", "control character"),
        ("https:///", "must be a valid URL"),
        ("https://a b.example/", "must be a valid URL"),
        ("https://example.com:99999/", "must be a valid URL"),
        ("https://[::1/", "must be a valid URL"),
        ("https://example.com/" + "a" * MAX_TARGET_CHARS, "must have at most"),
        ("https://example.com/" + "\u00e9" * (MAX_TARGET_CHARS // 2), "once encoded"),
    ],
)
def test_a_refused_target_has_a_reason(url: str, reason: str) -> None:
    with pytest.raises(TargetError, match=re.escape(reason)):
        check(url)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (" https://Example.COM ", "https://example.com/"),
        ("HTTP://example.com:80/a/../b?q#f", "http://example.com/b?q#f"),
        ("https://b\u00fccher.example/\u00e9 ?\u00e9#\u00e9",
         "https://xn--bcher-kva.example/%C3%A9%20?%C3%A9#%C3%A9"),
        ("https:\\\\example.com\\a", "https://example.com/a"),
        ("https://example.com/?next=https://u:p@x.example/", "https://example.com/?next=https://u:p@x.example/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
    ],
)  # fmt: skip
def test_a_valid_target_is_spelt_as_browsers_do(url: str, target: str) -> None:
    assert check(url) == target


@pytest.mark.parametrize(
    ("url", "kind", "target"),
    [
        ("mailto:a@example.com?subject=x%20y", "mailto", "mailto:a@example.com?subject=x%20y"),
        ("MAILTO:\u00e9@example.com", "mailto", "mailto:%C3%A9@example.com"),
        ("tel:+39-0123", "tel", "tel:+39-0123"),
        ("tel:0123;ext=9", "tel", "tel:0123;ext=9"),
        ("mailto:nobody", "mailto", None),
        ("mailto:a@b c", "mailto", None),
        ("mailto:a@b.example\r\nBcc: x", "mailto", None),
        ("tel:call-me", "tel", None),
        ("https://example.com/", "mailto", None),
        ("https://example.com/", "tel", None),
    ],
)
def test_contacts_take_their_own_scheme_only(
    url: str, kind: TargetKind, target: str | None
) -> None:
    if target is None:
        with pytest.raises(TargetError, match=r"must be a|control"):
            check(url, kind)
    else:
        assert check(url, kind) == target


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "a.localhost", "intranet", "printer.local", "db.internal", "x.home.arpa",
     "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
     "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::]", "[::1]", "[fe80::1]", "[fd00::1]",
     "[::ffff:10.0.0.1]", "[ff02::1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[::7f00:1]", "127.0.0.1."],
)  # fmt: skip
def test_private_hosts_are_refused_by_option(host: str) -> None:
    url = f"http://{host}:8080/x"
    assert check(url)  # allowed by default
    with pytest.raises(TargetError, match="must lead to a host on the public internet"):
        check(url, private_hosts=False)


@pytest.mark.parametrize(
    "host",
    ["example.com", "8.8.8.8", "[2606:4700::1]", "localhost.example", "internal.example", "[2002:808:808::]",
     "[64:ff9b::808:808]", "[::ffff:8.8.8.8]", "mylocal.example", "notlocalhost.example"],
)  # fmt: skip
def test_public_hosts_are_allowed(host: str) -> None:
    assert check(f"http://{host}/", private_hosts=False)


@given(st.ip_addresses(v=4))
def test_an_address_is_private_or_not_in_every_notation(address: ipaddress.IPv4Address) -> None:
    private = is_private_host(str(address))
    assert private is (not address.is_global or address.is_multicast)
    value = int(address)
    notations = [str(value), hex(value), f"[::ffff:{value >> 16:x}:{value & 0xFFFF:x}]"]
    notations += [f"[64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}]"]
    for host in notations:
        refused = True
        with contextlib.suppress(TargetError):
            refused = not check(f"http://{host}/", private_hosts=False)
        assert refused is private, host


safe_queries = st.from_regex(rb"[\x21\x22\x24-\x7e]{1,30}", fullmatch=True)


@given(likely_urls, safe_queries)
@example("https://example.com/&", b"a=1")
@example("https://example.com/?", b"a=1")
@example("https://example.com/?b=2&#f?g", b"a=1")
def test_a_visitors_query_follows_the_targets_own(url: str, query: bytes) -> None:
    try:
        target = check(url)
    except TargetError:
        return
    target_with_query = add_query(target.encode(), query)
    assert is_location_safe(target_with_query)
    before, after = urlsplit(target), urlsplit(target_with_query.decode())
    assert after[:3] == before[:3]  # scheme, host and path
    assert after.fragment == before.fragment
    assert after.query.startswith(before.query)
    assert after.query.endswith(query.decode())


@pytest.mark.parametrize(
    ("target", "query", "expected"),
    [("https://a.example/?a=1#f", b"a=2", "https://a.example/?a=2#f"),
     ("https://a.example/?a=1&b=2&a=3", b"a=4&c=5", "https://a.example/?b=2&a=4&c=5"),
     ("https://a.example/?%61=1&b", b"a", "https://a.example/?b&a"),
     ("https://a.example/?a=1", b"b=2", "https://a.example/?a=1&b=2"),
     ("https://a.example/", b"a=1", "https://a.example/?a=1"),
     ("https://a.example/#a=1", b"a=2", "https://a.example/?a=2#a=1")],
)  # fmt: skip
def test_a_visitors_parameter_replaces_the_targets(
    target: str, query: bytes, expected: str
) -> None:
    assert replace_query(target.encode(), query).decode() == expected


@pytest.mark.parametrize(
    ("target", "visitors_url", "back"),
    [("https://go.example/a", "https://go.example", True),
     ("http://go.example/", "https://go.example", True),
     ("https://go.example./a", "https://go.example", True),
     ("https://go.example:444/a", "https://go.example", False),
     ("https://go.example/@ada", "https://go.example", False),
     ("https://a.go.example/a", "https://go.example", False),
     ("http://localhost:8080/a", "http://127.0.0.1:8080", True),
     ("http://[::1]:8080/a", "http://127.0.0.1:8080", True),
     ("http://localhost:8081/a", "http://127.0.0.1:8080", False),
     ("mailto:a@go.example", "https://go.example", False),
     ("https://go.example/a", "", False)],
)  # fmt: skip
def test_a_target_that_leads_back(target: str, visitors_url: str, back: bool) -> None:
    assert leads_back(target, visitors_url) is back
