"""Extra paths: what they make of a target, and that no name leads elsewhere."""

import re
from urllib.parse import quote, unquote

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.links.link import LinkDraft, validate_draft
from engine.links.targets.extra_path import (
    MAX_FILLED_BYTES,
    extended,
    has_arguments,
    mask_arguments,
    unmask_arguments,
)

BASE = "https://t.example"
NAMES = st.text(max_size=8) | st.sampled_from(
    [".", "..", "%2e", "%2E.", "//evil.example", "\\evil", "@evil.example", "a b", "é",
     "?x=1", "#f", "&y=2", "%"]
)  # fmt: skip


@pytest.mark.parametrize(
    ("target", "extra", "location"),
    [
        ("/", "", "/"),
        ("/", "/foo/bar", "/foo/bar"),
        ("/base", "/foo/", "/base/foo/"),
        ("/base/?q=1#f", "/foo", "/base/foo?q=1#f"),
        ("/base#a?b", "/foo", "/base/foo#a?b"),
        ("/", "/a%20b/%C3%A9/x@y", "/a%20b/%C3%A9/x@y"),
        ("/", "/a%2Fb", "/a%2Fb"),
        ("/", "/a//b", None),
        ("/", "/../b", None),
        ("/", "/%2E%2e/b", None),
        ("/", "/%252e%252e", None),
        ("/", "/a%0d%0ab", None),
        ("/{1}", "", None),
        ("/{1}", "/17", "/17"),
        ("/{1}", "/17/", "/17"),
        ("/{1}", "/17/18", None),
        ("/{1:main}", "", "/main"),
        ("/{2}/{1}?q={1}&r={3:}", "/a/b", "/b/a?q=a&r="),
        ("/?q={1}#{2:top}", "/a&b=c%23", "/?q=a%26b%3Dc%23#top"),
        ("/x{1}", "/..", None),
        ("/.{1}", "/x", "/.x"),
        ("/.{1:}", "", None),
        ("/.{1:.}/y", "", None),
        ("/{1}", "/..%2f..", "/..%2F.."),
        ("/{1}", f"/{'a' * MAX_FILLED_BYTES}", None),
        ("/{0}", "/a", "/{0}/a"),
    ],
)
def test_what_is_behind_an_address_goes_behind_the_target_or_fills_it(
    target: str, extra: str, location: str | None
) -> None:
    result = extended((BASE + target).encode(), extra.encode())
    assert result == (None if location is None else (BASE + location).encode())


@given(st.sampled_from(["/", "/base/x?q=1#f", "/a/{1}/b?c={2:d}#{3:e}", "/pre{1}.{2:x}post"]),
       st.lists(NAMES, max_size=4))  # fmt: skip
@example("/.{1}", ["."])
def test_no_name_changes_the_host_or_climbs(target: str, names: list[str]) -> None:
    extra = "".join("/" + quote(name.encode("utf-8", "replace"), safe="") for name in names)
    location = extended((BASE + target).encode(), extra.encode())
    if location is None:
        return
    assert re.fullmatch(rb"[\x21-\x7e]+", location)
    url = ada_url.URL(location.decode())
    assert (url.hostname, url.port, url.username) == ("t.example", "", "")
    assert url.href == location.decode()  # a browser's reading removes nothing
    if not has_arguments(target):
        base = target.partition("?")[0].rstrip("/")
        assert url.pathname.startswith(base)
        assert unquote(url.pathname.removeprefix(base)).rstrip("/") == "".join(
            f"/{name}" for name in names
        ).rstrip("/")


@pytest.mark.parametrize(
    "target",
    ["https://{1}/", "https://{1}.example/", "https://a.example{1}/", "https://a.example:{1}/", "{1}://a.example/",
     "https://{1}@a.example/", "https://a.example/{1}/../b", "https://a.example/" + "{1}" * 10],
)  # fmt: skip
def test_an_argument_in_front_of_the_path_is_refused(target: str) -> None:
    draft, errors = validate_draft(LinkDraft(target=target, extra_path=True))
    assert draft is None
    assert [error.field for error in errors] == ["target"]


def test_arguments_are_kept_as_they_are() -> None:
    target = "https://T.example/Argument/{1}/é?argumentx={2:a}#{1}"
    draft, errors = validate_draft(LinkDraft(target=target, extra_path=True))
    assert errors == []
    assert draft is not None
    assert draft.target == "https://t.example/Argument/{1}/%C3%A9?argumentx={2:a}#{1}"
    assert validate_draft(draft) == (draft, [])
    masked, words = mask_arguments(target)
    assert unmask_arguments(masked, words) == target
    plain, _ = validate_draft(LinkDraft(target="https://t.example/{1}"))
    assert plain is not None
    assert plain.target == "https://t.example/%7B1%7D"
