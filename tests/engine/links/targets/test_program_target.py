"""Targets that programs open: what is normalised, what is refused, and which kind a scheme needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.links.target import TargetError, TargetKind, check
from engine.links.targets.program_target import (
    APP_SCHEMES,
    EXAMPLES,
    kind_of_scheme,
    normalised_program_target,
)

PIECES = st.sampled_from(
    ["mailto:", "TEL:", "sms:", "smsto:", "magnet:", "spotify:", "whatsapp://", "a@b.example", ",", ";", " ",
     "%20", "?", "&", "subject=x y", "body=", "xt=urn:btih:c9", "+39", "012 345", "//", "<", "é", "\u00a0", "#"]
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "target"),
    [
        ("mailto", "mailto:a@x.example, b@y.example", "mailto:a@x.example,b@y.example"),
        ("mailto", "MailTo: a@x.example ;b@y.example;", "mailto:a@x.example,b@y.example"),
        ("mailto", "mailto:%20a@x.example%20,b@y.example", "mailto:a@x.example,b@y.example"),
        ("mailto", "mailto:a@x.example?subject=Two words&cc=b@y.example",
         "mailto:a@x.example?subject=Two%20words&cc=b@y.example"),
        ("mailto", "mailto:?subject=Look&body=at this", "mailto:?subject=Look&body=at%20this"),
        ("mailto", "mailto:", None),
        ("mailto", "mailto:a@x.example, nobody", None),
        ("mailto", "mailto:a@x.example?subject=<b>", None),
        ("tel", "tel:+39 012 345", "tel:+39012345"),
        ("tel", "tel:+39\u00a0012%20345;ext=9", "tel:+39012345;ext=9"),
        ("tel", "tel:+39,+40", None),
        ("sms", "sms:+39 012, +39 013?body=Hello there", "sms:+39012,+39013?body=Hello%20there"),
        ("sms", "smsto:+39012", "sms:+39012"),
        ("sms", "sms:?body=x", "sms:?body=x"),
        ("sms", "sms:", None),
        ("magnet", "magnet:?dn=A file&xt=urn:btih:c9e15763", "magnet:?dn=A%20file&xt=urn:btih:c9e15763"),
        ("magnet", "magnet:?dn=A", None),
        ("magnet", "magnet:xt=urn:btih:c9", None),
        ("app", "Spotify:album:4aawyAB9vmqN3uQ7FjRGTy", "spotify:album:4aawyAB9vmqN3uQ7FjRGTy"),
        ("app", "tg://resolve?domain=ada", "tg://resolve?domain=ada"),
        ("app", "whatsapp://send?phone=39012&text=Hello there", "whatsapp://send?phone=39012&text=Hello%20there"),
        ("app", "whatsapp:", None),
        ("app", "whatsapp://", None),
        ("app", "intent://x#Intent;scheme=http;end", None),
        ("app", "javascript:alert(1)", None),
        ("app", "https://example.com/", None),
        ("mailto", "tel:+39", None),
    ],
)  # fmt: skip
def test_a_target_of_a_program(kind: str, text: str, target: str | None) -> None:
    assert normalised_program_target(text, kind) == target


def test_a_kind_that_is_missing_is_named_in_the_reason() -> None:
    for text, kind in (
        ("sms:+39", "sms"), ("SMSTO:+39", "sms"), ("magnet:?xt=urn:btih:c9", "magnet"), ("tg://x", "app"),
    ):  # fmt: skip
        with pytest.raises(TargetError, match=f"kind '{kind}'"):
            check(text)
    assert kind_of_scheme("https://wa.me/39012") == "url"
    assert check("https://wa.me/39012") == "https://wa.me/39012"


@given(st.lists(PIECES, max_size=8).map("".join), st.sampled_from(list(EXAMPLES)))
def test_what_is_normalised_is_its_own_normal_form(text: str, kind: TargetKind) -> None:
    try:
        target = check(text, kind)
    except TargetError:
        return
    assert check(target, kind) == target
    assert target.isascii()
    assert " " not in target
    scheme = target.partition(":")[0]
    assert scheme in APP_SCHEMES if kind == "app" else scheme == kind
