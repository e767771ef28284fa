"""Pages of tests: a good block of each kind, as a request has it."""

from typing import Any, Final

PICTURE: Final = "a3f1" * 8

EVERY_KIND: Final[list[dict[str, Any]]] = [
    {"kind": "link", "link_id": "101", "title": "The shop", "line": "Seeds", "picture": PICTURE,
     "badge": "New", "style": "featured"},
    {"kind": "heading", "text": "What I build"},
    {"kind": "text", "text": "First Sunday, *10 to 17*. [How to get here](https://example.org/map)."},
    {"kind": "image", "picture": PICTURE, "alt": "A hill", "link_id": "101", "caption": "Here"},
    {"kind": "gallery", "caption": "This November",
     "pictures": [{"picture": PICTURE, "alt": "Morning"}, {"picture": PICTURE, "alt": "Night"}]},
    {"kind": "social", "items": [{"url": "https://mastodon.social/@ada"}]},
    {"kind": "repository", "link_id": "102"},
    {"kind": "video", "title": "Garden tour", "url": "https://videos.example.org/1",
     "picture": PICTURE, "duration_s": 724},
    {"kind": "audio", "title": "Birds at six", "link_id": "103", "duration_s": 61},
    {"kind": "contact", "name": "Ada Conti", "organisation": "Seeds", "email": "ada@example.com",
     "phone": "+39 0171 000 000"},
    {"kind": "event", "title": "Open garden", "starts_at": "2026-12-06T09:00:00Z",
     "ends_at": "2026-12-06T16:00:00Z", "zone": "Europe/Rome", "place": "Via dei Tigli 4"},
    {"kind": "until", "text": "Free postage", "ends_at": "2026-12-24T23:00:00Z"},
    {"kind": "divider"},
    {"kind": "product", "title": "Marigold", "url": "https://shop.example.org/m", "price": "4.50",
     "currency": "EUR", "picture": PICTURE, "alt": "A packet"},
    {"kind": "faq", "questions": [{"question": "Do you send abroad?", "answer": "To the EU."}]},
    {"kind": "qr", "caption": "Show it to a friend"},
    {"kind": "email_form", "title": "Newsletter", "line": "Once a month"},
]  # fmt: skip
