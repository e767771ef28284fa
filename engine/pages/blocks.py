"""Blocks of a page: one struct for each kind, told apart by `kind`.

All have an id, which stays the same while the block is changed and moved, and may be hidden or shown for a
while only. Pictures are named by the ids of assets, links by their ids.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, get_args

import msgspec

from engine.common.drafts import StandIn
from engine.common.text_rules import text_schema
from engine.links.target import MAX_URL_CHARS

MAX_ALT_CHARS: Final = 300
MAX_TITLE_CHARS: Final = 120
MAX_LINE_CHARS: Final = 160
MAX_BADGE_CHARS: Final = 12
MAX_HEADING_CHARS: Final = 80
MAX_TEXT_CHARS: Final = 2_000
MAX_QUESTION_CHARS: Final = 200
MAX_ANSWER_CHARS: Final = 1_000
MAX_CONTACT_CHARS: Final = 120
MAX_PLACE_CHARS: Final = 160
MAX_BUTTON_CHARS: Final = 40
MAX_SOCIAL_ITEMS: Final = 12
MIN_GALLERY_PICTURES: Final = 2
MAX_GALLERY_PICTURES: Final = 6
MAX_QUESTIONS: Final = 10
MAX_DURATION_S: Final = 86_400
MAX_ID_CHARS: Final = 32

LinkStyle = Literal["plain", "picture", "featured", "filled", "centre"]
LINK_STYLES: Final[tuple[str, ...]] = get_args(LinkStyle)


def _text(description: str, max_chars: int) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra_json_schema=text_schema(max_chars))


def _lines(description: str, max_chars: int) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra_json_schema={"maxLength": max_chars})


BlockId = Annotated[
    str,
    msgspec.Meta(
        description="names the block within its page; left out: the first of b1, b2, … that is free",
        extra_json_schema={"pattern": "^([a-z0-9][a-z0-9-]{0,31})?$", "examples": ["b1"]},
    ),
]
LinkId = Annotated[
    str,
    msgspec.Meta(
        description="id of a link of the profile; visits by the block are its clicks",
        extra_json_schema={"pattern": "^([1-9][0-9]{0,18})?$"},
    ),
]
AssetId = Annotated[
    str,
    msgspec.Meta(
        description="id of a picture among the profile's assets; empty: none",
        extra_json_schema={"pattern": "^([A-Za-z0-9_-]{8,64})?$"},
    ),
]
AltText = Annotated[
    str, _text("what the picture shows, for who cannot see it; empty: it adds nothing", 300)
]
Title = Annotated[str, _text("", MAX_TITLE_CHARS)]
Line = Annotated[str, _text("a line below the title", MAX_LINE_CHARS)]
Caption = Annotated[str, _text("a line below the picture", MAX_LINE_CHARS)]
WebUrl = Annotated[
    str,
    msgspec.Meta(
        description="an http or https URL", extra_json_schema={"maxLength": MAX_URL_CHARS}
    ),
]
Zone = Annotated[
    str,
    msgspec.Meta(
        description="zone in which times are shown", extra_json_schema={"examples": ["Europe/Rome"]}
    ),
]
DurationS = Annotated[
    int,
    msgspec.Meta(
        description="length in seconds; 0: not shown",
        extra_json_schema={"minimum": 0, "maximum": MAX_DURATION_S},
    ),
]


class BlockBase(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Fields of every block. It is shown from `from` until just before `until`, while it is not hidden."""

    id: BlockId = ""
    hidden: Annotated[bool, msgspec.Meta(description="kept, but not shown")] = False
    shown_from: Annotated[
        datetime | None, msgspec.Meta(description="moment from which it is shown")
    ] = msgspec.field(default=None, name="from")
    shown_until: Annotated[
        datetime | None, msgspec.Meta(description="moment from which it is no more shown")
    ] = msgspec.field(default=None, name="until")


class BlockPart(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A part of a block, such as one picture of a gallery."""


class LinkBlock(BlockBase, frozen=True, tag_field="kind", tag="link"):
    """A link of the profile, in one of five styles."""

    link_id: Annotated[LinkId, StandIn("1")]
    title: Annotated[str, _text("empty: the link's title", MAX_TITLE_CHARS)] = ""
    line: Line = ""
    picture: AssetId = ""
    badge: Annotated[str, _text("a word on it, such as New", MAX_BADGE_CHARS)] = ""
    style: LinkStyle = "plain"


class HeadingBlock(BlockBase, frozen=True, tag_field="kind", tag="heading"):
    """A heading of the blocks below it."""

    text: Annotated[str, _text("", MAX_HEADING_CHARS), StandIn("a")]


class TextBlock(BlockBase, frozen=True, tag_field="kind", tag="text"):
    """Paragraphs in a subset of Markdown: emphasis, links and lists."""

    text: Annotated[
        str, _lines("Markdown: *em*, **strong**, [link](https://…), lists", 2_000), StandIn("a")
    ]


class ImageBlock(BlockBase, frozen=True, tag_field="kind", tag="image"):
    """A picture, which may lead to a link."""

    picture: Annotated[AssetId, StandIn("stand-in")]
    alt: AltText = ""
    link_id: LinkId = ""
    caption: Caption = ""


class GalleryPicture(BlockPart, frozen=True):
    """A picture of a gallery."""

    picture: Annotated[AssetId, StandIn("stand-in")]
    alt: AltText = ""


class GalleryBlock(BlockBase, frozen=True, tag_field="kind", tag="gallery"):
    """Two to six pictures in a grid."""

    pictures: Annotated[
        tuple[GalleryPicture, ...],
        msgspec.Meta(
            extra_json_schema={
                "minItems": MIN_GALLERY_PICTURES,
                "maxItems": MAX_GALLERY_PICTURES,
            }
        ),
        StandIn((GalleryPicture(picture="stand-in"),) * 2),
    ]
    caption: Caption = ""


class SocialItem(BlockPart, frozen=True):
    """An account elsewhere. Its icon and label follow from the service."""

    url: Annotated[
        str,
        msgspec.Meta(
            description="an http or https URL, or a mailto or tel address",
            extra_json_schema={"maxLength": MAX_URL_CHARS},
        ),
        StandIn("https://a.example/"),
    ]
    service: Annotated[
        str,
        msgspec.Meta(
            description="a known service, such as instagram; left out: as the URL's host says",
            extra_json_schema={"maxLength": 32},
        ),
    ] = ""


SocialItems = Annotated[
    tuple[SocialItem, ...],
    msgspec.Meta(
        description="accounts elsewhere, a row of icons",
        extra_json_schema={"maxItems": MAX_SOCIAL_ITEMS},
    ),
]


class SocialBlock(BlockBase, frozen=True, tag_field="kind", tag="social"):
    """A row of icons that lead to accounts elsewhere."""

    items: Annotated[SocialItems, StandIn((SocialItem(url="https://a.example/"),))]


class RepositoryBlock(BlockBase, frozen=True, tag_field="kind", tag="repository"):
    """A repository on GitHub, with its stars, language, release and licence: a link of kind github."""

    link_id: Annotated[LinkId, StandIn("1")]


class PlayableBlock(BlockBase, frozen=True):
    """Fields of videos and sounds: a picture and where they play. Nothing of them is loaded from there."""

    title: Annotated[Title, StandIn("a")]
    link_id: LinkId = ""
    url: WebUrl = ""
    line: Line = ""
    picture: AssetId = ""
    duration_s: DurationS = 0


class VideoBlock(PlayableBlock, frozen=True, tag_field="kind", tag="video"):
    """A video elsewhere. Give either a link of the profile or a URL."""


class AudioBlock(PlayableBlock, frozen=True, tag_field="kind", tag="audio"):
    """A sound elsewhere. Give either a link of the profile or a URL."""


class ContactBlock(BlockBase, frozen=True, tag_field="kind", tag="contact"):
    """Somebody's address, which visitors may save as a vCard."""

    name: Annotated[str, _text("", MAX_CONTACT_CHARS), StandIn("a")]
    organisation: Annotated[str, _text("", MAX_CONTACT_CHARS)] = ""
    email: Annotated[str, _text("", MAX_CONTACT_CHARS)] = ""
    phone: Annotated[str, _text("", 32)] = ""


class EventBlock(BlockBase, frozen=True, tag_field="kind", tag="event"):
    """An event, which visitors may add to their calendar."""

    title: Annotated[Title, StandIn("a")]
    starts_at: Annotated[datetime, StandIn(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))]
    ends_at: datetime | None = None
    zone: Zone = "UTC"
    place: Annotated[str, _text("", MAX_PLACE_CHARS)] = ""
    line: Line = ""


class UntilBlock(BlockBase, frozen=True, tag_field="kind", tag="until"):
    """A sentence with the date until which it holds. It goes by itself at that moment."""

    text: Annotated[str, _text("", MAX_LINE_CHARS), StandIn("a")]
    ends_at: Annotated[datetime, StandIn(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))]
    zone: Zone = "UTC"


class DividerBlock(BlockBase, frozen=True, tag_field="kind", tag="divider"):
    """A line between blocks."""


class ProductBlock(BlockBase, frozen=True, tag_field="kind", tag="product"):
    """Something to buy, with its price. Give either a link of the profile or a URL."""

    title: Annotated[Title, StandIn("a")]
    link_id: LinkId = ""
    url: WebUrl = ""
    line: Line = ""
    picture: AssetId = ""
    alt: AltText = ""
    price: Annotated[
        str,
        msgspec.Meta(
            description="such as 4.50; empty: not shown",
            extra_json_schema={"pattern": r"^([0-9]{1,9}(\.[0-9]{1,3})?)?$"},
        ),
    ] = ""
    currency: Annotated[
        str,
        msgspec.Meta(
            description="ISO 4217, such as EUR", extra_json_schema={"pattern": "^([A-Z]{3})?$"}
        ),
    ] = ""


class FaqItem(BlockPart, frozen=True):
    """A question and its answer."""

    question: Annotated[str, _text("", MAX_QUESTION_CHARS), StandIn("a")]
    answer: Annotated[str, _lines("Markdown, as in a text", MAX_ANSWER_CHARS), StandIn("a")]


class FaqBlock(BlockBase, frozen=True, tag_field="kind", tag="faq"):
    """Questions whose answers visitors open."""

    questions: Annotated[
        tuple[FaqItem, ...],
        msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_QUESTIONS}),
        StandIn((FaqItem(question="a", answer="a"),)),
    ]


class QrBlock(BlockBase, frozen=True, tag_field="kind", tag="qr"):
    """The QR code of the page itself."""

    caption: Caption = ""


class EmailFormBlock(BlockBase, frozen=True, tag_field="kind", tag="email_form"):
    """A form that asks visitors for their mail address."""

    title: Annotated[Title, StandIn("a")]
    line: Line = ""
    button: Annotated[str, _text("empty: a word in the page's language", MAX_BUTTON_CHARS)] = ""
    consent: Annotated[str, _text("what visitors agree to", MAX_LINE_CHARS)] = ""
    double_opt_in: Annotated[
        bool,
        msgspec.Meta(
            description="true: an address is on the list once its visitor has opened a link that is mailed "
            "there; only where the engine sends mail"
        ),
    ] = False


Block = (
    LinkBlock | HeadingBlock | TextBlock | ImageBlock | GalleryBlock | SocialBlock | RepositoryBlock
    | VideoBlock | AudioBlock | ContactBlock | EventBlock | UntilBlock | DividerBlock | ProductBlock
    | FaqBlock | QrBlock | EmailFormBlock
)  # fmt: skip
BLOCK_TYPES: Final[tuple[type[BlockBase], ...]] = get_args(Block)


def kind_of(block: BlockBase | type[BlockBase]) -> str:
    """Return the kind of a block or of its type, as in JSON."""
    tag = block.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


TYPE_BY_KIND: Final = {kind_of(type_): type_ for type_ in BLOCK_TYPES}
