"""Blocklists: which lines are entries, and which targets they block."""

import hashlib

import ada_url
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.imports.row_error import RowError
from engine.links.imports.rows import RowReader
from engine.links.targets.blocklist import NO_BLOCKLIST, Blocklist, parse_blocklist
from engine.links.targets.target_policy import TargetPolicy

URL = "https://shop.example/pay?now=1"
HASH = hashlib.sha256(URL.encode()).hexdigest()
LIST = parse_blocklist(
    f"""
# comment
bad.example            # with a reason
0.0.0.0 ads.example
*.Wild.Example.
münchen.example
203.0.113.9
[2001:db8::1]
sha256:{HASH.upper()}
two words here
sha256:abc
https://a.example/path
localhost
-
""".splitlines()
)


def test_lines_that_are_no_entry_are_counted() -> None:
    hosts = {"bad.example", "ads.example", "wild.example", "xn--mnchen-3ya.example", "203.0.113.9"}
    assert LIST.hosts == hosts | {"[2001:db8::1]"}
    assert LIST.url_hashes == {HASH}
    assert LIST.ignored == 5


@pytest.mark.parametrize(
    "target",
    [
        "https://bad.example/", "http://a.b.bad.example:8080/x", "https://bad.example./",
        "https://ads.example/", "https://wild.example/", "https://xn--mnchen-3ya.example/", URL,
        "https://203.0.113.9/", "https://[2001:db8::1]/",
    ],
)  # fmt: skip
def test_hosts_with_their_subdomains_and_urls_are_blocked(target: str) -> None:
    assert LIST.reason(target)
    assert NO_BLOCKLIST.reason(target) is None


@pytest.mark.parametrize(
    "target",
    [
        "https://notbad.example/", "https://example/", "https://bad.example.org/", URL + "&more",
        "https://good.example/?u=bad.example", "mailto:a@good.example", "tel:+391", "no url",
    ],
)  # fmt: skip
def test_other_targets_are_free(target: str) -> None:
    assert LIST.reason(target) is None


def test_a_row_of_a_file_that_leads_to_a_blocked_host_is_an_error() -> None:
    reader = RowReader("ada", private_hosts=False, policy=TargetPolicy(blocklists=(LIST,)))
    with pytest.raises(RowError, match=r"target must not lead to bad\.example"):
        reader.row(1, {"slug": "a", "target": "https://bad.example/"})
    assert reader.row(2, {"slug": "b", "target": "https://good.example/"}).slug == "b"


@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_text_is_read(lines: list[str]) -> None:
    blocklist = parse_blocklist(lines)
    assert blocklist.entries + blocklist.ignored <= len(lines)
    assert blocklist.reason("https://good.example/") is None or "good" in "".join(lines)


@given(st.sets(st.from_regex(r"[a-z]{1,5}\.example", fullmatch=True), max_size=5), st.data())
def test_a_host_is_blocked_if_it_or_a_parent_is_listed(
    hosts: set[str], data: st.DataObject
) -> None:
    host = data.draw(st.from_regex(r"([a-z]{1,2}\.){0,2}[a-z]{1,5}\.example", fullmatch=True))
    blocklist = Blocklist(frozenset(hosts))
    naive = any(host == each or host.endswith("." + each) for each in hosts)
    assert (blocklist.reason(ada_url.URL(f"https://{host}/").href) is not None) == naive
