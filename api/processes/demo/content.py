"""The demo's page and experiments, as a program would send them to the API."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from engine.common.json_forms import time_text

Body = dict[str, Any]
PLANNER: Final[Body] = {
    "slug": "planner", "title": "Seed planner", "kind": "github",
    "target": "https://github.com/example/seed-planner",
}  # fmt: skip


def page(links: Mapping[str, str], pictures: Mapping[str, str], now: datetime) -> Body:
    """Return the draft. `links` are ids by slug, `pictures` ids of assets by name."""
    fair = (now.astimezone(UTC) + timedelta(days=16)).replace(
        hour=9, minute=0, second=0, microsecond=0
    )

    def link(block: str, slug: str, **fields: str) -> Body:
        return {"kind": "link", "id": block, "link_id": links[slug], **fields}

    return {
        "name": "Ada’s Garden",
        "bio": "Seeds, slow gardening, and a video each Sunday.\nFrom a small garden by the river.",
        "picture": pictures["face"],
        "picture_alt": "A flower of green leaves",
        "social": [
            {"url": "https://www.instagram.com/example"}, {"url": "https://www.youtube.com/@example"},
            {"url": "https://mastodon.social/@example"}, {"url": "mailto:ada@example.com", "service": "email"},
        ],
        "theme": "garden",
        "blocks": [
            link("spring", "spring", title="The spring collection", line="Forty seeds, packed by hand",
                 style="featured", picture=pictures["morning"], badge="new"),
            link("shop", "shop", title="The shop", line="Open day and night", style="filled"),
            {"kind": "video", "id": "tour", "title": "A walk through the garden", "line": "The beds in May",
             "link_id": links["video"], "picture": pictures["sunrise"], "duration_s": 754},
            {"kind": "heading", "id": "grow", "text": "Grow with me"},
            link("newsletter", "newsletter", title="Newsletter", line="One letter a month"),
            {"kind": "repository", "id": "planner", "link_id": links["planner"]},
            {"kind": "event", "id": "fair", "title": "Seed swap at the river", "starts_at": time_text(fair),
             "ends_at": time_text(fair + timedelta(hours=5)), "zone": "Europe/Berlin", "place": "Boathouse"},
            {"kind": "product", "id": "kit", "title": "Balcony kit", "line": "Six pots, six kinds",
             "picture": pictures["dusk"], "alt": "Beds at dusk", "price": "24.00", "currency": "EUR",
             "link_id": links["shop"]},
            {"kind": "faq", "id": "faq", "questions": [
                {"question": "When do I sow tomatoes?",
                 "answer": "Indoors, **eight weeks** before the last frost."},
                {"question": "Do you ship abroad?", "answer": "Within the EU, on Mondays."},
            ]},
            link("write", "write", title="Write to me", style="centre"),
        ],
    }  # fmt: skip


def experiments(links: Mapping[str, str]) -> list[Body]:
    """Return three experiments: on a target, on a title, and on a block's looks."""
    return [
        {
            "name": "Collection or video", "kind": "destination", "link_id": links["spring"], "goal": "link",
            "variants": [
                {"name": "collection", "weight": 0.5, "target": "https://example.com/spring-collection"},
                {"name": "video", "weight": 0.5, "target": "https://example.com/spring-video"},
            ],
        },
        {
            "name": "A warmer invitation", "kind": "page", "link_id": links["newsletter"],
            "variants": [
                {"name": "plain", "weight": 0.5},
                {"name": "warm", "weight": 0.5, "title": "A letter from the garden"},
            ],
        },
        {
            "name": "The shop, louder", "kind": "page", "block_id": "shop",
            "variants": [
                {"name": "filled", "weight": 0.5},
                {"name": "centred", "weight": 0.5, "style": "centre"},
            ],
        },
    ]  # fmt: skip
