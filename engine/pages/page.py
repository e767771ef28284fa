"""A profile's page as members write it and as it is published: who it is of, how it looks, and its blocks.

One struct serves as draft and as published page; engine/pages/validation.py says what may stand in it.
"""

from typing import Annotated, Final, Literal, get_args

import msgspec

from engine.common.drafts import StandIn
from engine.common.text_rules import text_schema
from engine.pages.blocks import AltText, AssetId, Block, BlockId, DividerBlock, SocialItems

MAX_BLOCKS: Final = 100
MAX_NAME_CHARS: Final = 120
MAX_BIO_CHARS: Final = 300
MAX_SHARING_TITLE_CHARS: Final = 120
MAX_SHARING_TEXT_CHARS: Final = 300
MAX_TRANSLATIONS: Final = 20

ThemeName = Literal["garden", "paper", "night", "clay", "tide", "bold", "press", "mono"]
THEME_NAMES: Final[tuple[str, ...]] = get_args(ThemeName)
Scheme = Literal["auto", "light", "dark"]
SCHEMES: Final[tuple[str, ...]] = get_args(Scheme)

_LANGUAGE_PATTERN: Final = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"

PageName = Annotated[
    str,
    msgspec.Meta(
        description="whose page it is; empty: the profile's title or handle",
        extra_json_schema=text_schema(MAX_NAME_CHARS),
    ),
]
Bio = Annotated[
    str,
    msgspec.Meta(
        description="a few lines below the name", extra_json_schema={"maxLength": MAX_BIO_CHARS}
    ),
]
Colour = Annotated[
    str,
    msgspec.Meta(
        description="#rrggbb; empty: the theme's own. What visitors could not read on it is corrected "
        "when the page is made",
        extra_json_schema={"pattern": "^(#[0-9a-fA-F]{6})?$", "examples": ["#2f6b45"]},
    ),
]
Language = Annotated[
    str,
    msgspec.Meta(
        description="language of the page's texts (BCP 47)",
        extra_json_schema={"pattern": _LANGUAGE_PATTERN, "examples": ["en", "pt-BR"]},
    ),
]


class Sharing(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The card that networks and messengers show of the page. Empty fields: name, bio, a drawn picture."""

    title: Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_SHARING_TITLE_CHARS))] = ""
    text: Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_SHARING_TEXT_CHARS))] = ""
    picture: AssetId = ""


class BlockChange(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Other values for a block: in a translation of the page, or in a variant of an experiment.

    A field that is null stays as the block has it, and so does one that the block's kind has not.
    """

    block: BlockId
    title: str | None = None
    line: str | None = None
    text: str | None = None
    caption: str | None = None
    badge: str | None = None
    picture: str | None = None
    style: str | None = None
    position: int | None = None
    hidden: bool | None = None


class Translation(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The page's texts in another language, for visitors who prefer it."""

    language: Language
    name: PageName = ""
    bio: Bio = ""
    blocks: tuple[BlockChange, ...] = ()


class ProfilePage(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False
):
    """A profile's page. All fields have defaults: an empty page is a valid draft."""

    name: PageName = ""
    bio: Bio = ""
    picture: AssetId = ""
    picture_alt: AltText = ""
    social: SocialItems = ()
    theme: ThemeName = "garden"
    scheme: Annotated[
        Scheme,
        msgspec.Meta(description="light or dark colours; auto: as the visitor's device has them"),
    ] = "auto"
    accent: Colour = ""
    background: Colour = ""
    language: Language = "en"
    indexing: Annotated[
        bool, msgspec.Meta(description="false: ask search engines not to list the page")
    ] = True
    sharing: Sharing = Sharing()
    translations: Annotated[
        tuple[Translation, ...], msgspec.Meta(extra_json_schema={"maxItems": MAX_TRANSLATIONS})
    ] = ()
    blocks: Annotated[
        tuple[Annotated[Block, StandIn(DividerBlock())], ...],
        msgspec.Meta(
            description="what the page shows, from the top",
            extra_json_schema={"maxItems": MAX_BLOCKS},
        ),
    ] = ()
