"""A page that shows off, of a garden: twelve blocks of most kinds, its links, repositories and pictures."""

from datetime import UTC, datetime
from typing import Any, Final

from engine.github.repository import Release, RepositoryFacts
from engine.pages.html.sources import LinkCard, PagePicture, PageSources, RepositoryCard
from engine.pages.page import ProfilePage
from engine.pages.validation import parse_page

NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
FACE: Final = "1" * 32
MEADOW: Final = "2" * 32
HILL: Final = "3" * 32
PACKET: Final = "4" * 32
GREENHOUSE: Final = "5" * 32
NIGHT: Final = "6" * 32
TULIPS: Final = "7" * 32
SUNSET: Final = "8" * 32

BLOCKS: Final[list[dict[str, Any]]] = [
    {"kind": "link", "link_id": "1", "title": "Spring collection", "picture": MEADOW, "badge": "New",
     "line": "32 kinds, packed by hand, sent until May", "style": "featured"},
    {"kind": "link", "link_id": "2", "title": "The shop", "picture": HILL, "style": "picture"},
    {"kind": "link", "link_id": "3", "title": "Gewächshausbelüftungssteuerung selbst gebaut",
     "line": "Bauplan, 12 Seiten"},
    {"kind": "event", "title": "Open garden", "starts_at": "2026-12-06T09:00:00Z",
     "ends_at": "2026-12-06T16:00:00Z", "zone": "Europe/Rome", "place": "Via dei Tigli 4, Cuneo"},
    {"kind": "product", "title": "Marigold, old kind", "line": "20 seeds, sow from April",
     "picture": PACKET, "alt": "A packet of marigold seeds", "price": "4.50", "currency": "EUR",
     "link_id": "4"},
    {"kind": "gallery", "caption": "This November",
     "pictures": [{"picture": GREENHOUSE, "alt": "Greenhouse in the morning"},
                  {"picture": PACKET, "alt": "A packet of seeds"},
                  {"picture": NIGHT, "alt": "New moon above the hills"},
                  {"picture": TULIPS, "alt": "A row of tulips"}]},
    {"kind": "video", "title": "Garden tour, no talking", "picture": SUNSET, "duration_s": 724,
     "url": "https://videos.example.org/tour"},
    {"kind": "heading", "text": "What I build"},
    {"kind": "repository", "link_id": "5"},
    {"kind": "repository", "link_id": "6"},
    {"kind": "faq", "questions": [
        {"question": "Do you send abroad?",
         "answer": "To the EU and Switzerland, from 3 euros. Seeds need papers elsewhere."},
        {"question": "When are seeds packed?", "answer": "On Mondays."},
        {"question": "Are they organic?", "answer": "Yes, inspected each June."}]},
    {"kind": "link", "link_id": "7", "title": "Write to me", "style": "filled"},
]  # fmt: skip
# The kinds that the page above has not.
MORE_BLOCKS: Final[list[dict[str, Any]]] = [
    {"kind": "text", "text": "First Sunday of the month, **10 to 17**. Bring boots. "
     "[How to get here](https://example.org/map)."},
    {"kind": "image", "picture": SUNSET, "alt": "The garden at sunset", "caption": "Last Sunday"},
    {"kind": "audio", "title": "Birds at six", "link_id": "2", "duration_s": 1_861, "picture": HILL},
    {"kind": "audio", "title": "Rain", "url": "https://sounds.example.org/rain"},
    {"kind": "until", "text": "Free postage", "ends_at": "2026-12-24T22:59:00Z",
     "zone": "Europe/Rome"},
    {"kind": "qr", "caption": "Show it to a friend"},
    {"kind": "divider"},
    {"kind": "contact", "name": "Ada Conti", "organisation": "Selbstversorgergarten & seeds",
     "email": "ada@example.com", "phone": "+39 0171 000 000"},
    {"kind": "email_form", "title": "Newsletter", "line": "Once a month, on the new moon",
     "consent": "I want the newsletter. I can end it at any time."},
    {"kind": "social", "items": [{"url": "https://www.linkedin.com/in/ada"},
                                 {"url": "https://x.com/ada"}, {"url": "https://ada.example.org"}]},
    {"kind": "link", "link_id": "3", "title": "In the middle", "style": "centre", "line": "A line"},
    {"kind": "link", "link_id": "2", "title": "Seeds of the month", "badge": "Sale"},
]  # fmt: skip
HEAD: Final[dict[str, Any]] = {
    "name": "Ada's Garden",
    "bio": "Seeds, slow video and a newsletter from a small garden in Piedmont.",
    "picture": FACE,
    "social": [
        {"url": "https://www.instagram.com/ada"},
        {"url": "https://www.youtube.com/@ada"},
        {"url": "https://mastodon.social/@ada"},
        {"url": "https://github.com/ada"},
        {"url": "mailto:ada@example.com"},
    ],
}


def picture(hash_: str, width: int = 1_040, height: int = 780) -> PagePicture:
    """Return a picture with the renditions that such an upload gets."""
    widths = tuple(w for w in (320, 640, 1_040) if w <= width)
    return PagePicture(hash=hash_, width=width, height=height, widths=widths)


SIZES: Final = {FACE: (640, 640), MEADOW: (1_040, 520), SUNSET: (1_040, 585), HILL: (640, 640)}
PICTURES: Final = {
    hash_: picture(hash_, *SIZES.get(hash_, (1_040, 780)))
    for hash_ in (FACE, MEADOW, HILL, PACKET, GREENHOUSE, NIGHT, TULIPS, SUNSET)
}


def repository(
    name: str, description: str, stars: int, language: str, **more: Any
) -> RepositoryFacts:
    values: dict[str, Any] = {
        "full_name": f"ada/{name}", "stars": stars, "forks": 3, "language": language,
        "description": description, "topics": (), "licence": None, "avatar_url": None,
        "archived": False,
    }  # fmt: skip
    return RepositoryFacts(**(values | more))


SOURCES: Final = PageSources(
    url="https://links.example.com/@ada",
    path="/@ada",
    handle="ada",
    title="Ada",
    links={n: LinkCard(href=f"/ada/link-{n}", title=f"Link {n}") for n in range(1, 9)},
    repositories={
        5: RepositoryCard(
            facts=repository(
                "seed-planner",
                "When to sow what, by frost dates of your village. Runs in a terminal.",
                1_284,
                "Python",
                licence="MIT",
                last_release=Release(tag="v2.3", published_at=datetime(2026, 11, 19, tzinfo=UTC)),
            ),
            synced_at=NOW,
        ),
        6: RepositoryCard(
            facts=repository("moon-dates", "New moons as a calendar.", 96, "Rust", archived=True),
            synced_at=datetime(2026, 11, 21, tzinfo=UTC),
        ),
    },
    pictures=PICTURES,
    sharing_picture=f"/a/{'9' * 32}.png",
)


def sample_page(blocks: list[dict[str, Any]] = BLOCKS, **changes: Any) -> ProfilePage:
    """Return the page, as a request's JSON makes it, with these fields instead."""
    page, errors = parse_page(HEAD | {"blocks": blocks} | changes)
    assert page is not None, errors
    return page
