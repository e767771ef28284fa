"""Drafts of links: normalised, or refused with every error at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.text_rules import text_errors
from engine.links import name
from engine.links.link import MAX_TITLE_CHARS, STATUSES, LinkDraft, validate_draft
from engine.links.target import TARGET_KINDS

drafts = st.builds(
    LinkDraft,
    slug=st.text(max_size=10) | st.sampled_from(["Spring", "te\u0307l", "v1"]),
    target=st.text(max_size=20)
    | st.sampled_from(["https://Example.com", "mailto:a@b.example", "tel:0123", "http://10.0.0.1"]),
    title=st.text(max_size=10),
    status=st.sampled_from([*STATUSES, 200, 303]),
    kind=st.sampled_from([*TARGET_KINDS, "other"]),
    passthrough=st.booleans(),
    short=st.sampled_from([None, True, False]),
)


@given(drafts, st.booleans())
def test_a_normalised_draft_is_its_own_normal_form(draft: LinkDraft, private_hosts: bool) -> None:
    normalised, errors = validate_draft(draft, private_hosts=private_hosts)
    assert (normalised is None) is bool(errors)
    if normalised is None:
        assert {error.field for error in errors} <= {
            "slug",
            "target",
            "title",
            "status",
            "kind",
            "web_target",
        }
        return
    assert validate_draft(normalised, private_hosts=private_hosts) == (normalised, [])
    assert normalised.slug == name.slug_name(draft.slug or "")
    assert (normalised.title, normalised.status) == (draft.title, draft.status)
    assert (normalised.kind, normalised.passthrough) == (draft.kind, draft.passthrough)
    assert normalised.short == draft.short


def test_all_errors_are_returned_at_once() -> None:
    normalised, errors = validate_draft(
        LinkDraft(slug="a b", target="javascript:x", title="a\nb" + "c" * 200, status=200)
    )
    assert normalised is None
    assert [error.field for error in errors] == ["slug", "title", "title", "status", "target"]
    _, errors = validate_draft(LinkDraft(slug="a", target="https://a.example/", kind="fax"))
    assert [error.field for error in errors] == ["kind"]


def test_private_hosts_are_refused_by_option() -> None:
    draft = LinkDraft(slug="a", target="http://10.0.0.1/")
    assert validate_draft(draft)[1] == []
    assert [error.field for error in validate_draft(draft, private_hosts=False)[1]] == ["target"]


@pytest.mark.parametrize("text", ["a\x00", "a\r\nb", "\x7f", "\x85", "\ud800"])
def test_text_must_not_have_control_characters(text: str) -> None:
    assert [error.field for error in text_errors(text, "title", MAX_TITLE_CHARS)] == ["title"]


def test_text_has_a_length_limit() -> None:
    assert text_errors("\u00e9" * MAX_TITLE_CHARS, "title", MAX_TITLE_CHARS) == []
    (error,) = text_errors("a" * (MAX_TITLE_CHARS + 1), "title", MAX_TITLE_CHARS)
    assert str(MAX_TITLE_CHARS) in error.reason
