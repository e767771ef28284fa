"""Values of each field that a link can be given: one that is kept, and one that is refused."""

from typing import Any, Final

from engine.links.link import LinkDraft

TARGET: Final = "https://example.com/"

# As requests have them. None is the field's default.
GOOD: Final[dict[str, Any]] = {
    "slug": "another", "target": "https://example.org/", "title": "Title", "status": 307, "passthrough": True,
    "click_id": True, "short": False, "external_id": "sku-1", "tags": ["Print", "été"], "folder": "Shop",
    "notes": "two\nlines", "hidden": True, "position": 7, "password": "correct horse", "opening_clicks": 9,
    "paused": True, "paused_reason": "sold out", "quarantined": True, "quarantine_reason": "phishing?",
    "active_from": "2026-05-01T10:00:00Z", "active_until": "2026-06-01T10:00:00Z", "click_limit": 100,
    "fallback_target": "https://example.com/over", "extra_path": True, "noindex": True,
    "rules": [{"when": {"device": ["phone"]}, "target": "https://phone.example/"}],
    "utm": {"source": "bio", "medium": "social"},
    "preview": {"title": "Spring", "text": "All of it", "image": "https://example.com/spring.png"},
}  # fmt: skip
# Fields that only go together.
GOOD_TOGETHER: Final[dict[str, Any]] = {
    "kind": "app", "web_target": "https://t.me/ada", "target": "tg://resolve?domain=ada",
}  # fmt: skip
BAD: Final[dict[str, Any]] = {
    "slug": "x" * 201, "target": "javascript:x", "title": "x" * 201, "status": 200, "kind": "fax",
    "passthrough": "yes", "click_id": 1, "short": "no", "external_id": " a", "tags": ["a,b"],
    "folder": "x" * 101, "notes": "x\0", "hidden": "no", "position": 10**10, "password": "",
    "opening_clicks": -1, "paused": "yes", "paused_reason": "x" * 201, "quarantined": 0,
    "quarantine_reason": "a\nb", "active_from": "2026-05-01T10:00:00", "active_until": "tomorrow",
    "click_limit": 0, "fallback_target": "tel:+39", "web_target": TARGET, "extra_path": "yes",
    "noindex": "yes", "rules": [{"when": {}, "target": TARGET}], "utm": {"source": "a\nb"},
    "preview": {"image": "javascript:x"},
}  # fmt: skip
FIELDS: Final = LinkDraft.__struct_fields__


def body_of(field: str) -> dict[str, Any]:
    """Return the part of a request's body that gives a link this field."""
    return {field: GOOD[field]} if field in GOOD else GOOD_TOGETHER
