"""Preview card of a link: what messengers and networks show of it to their users."""

from typing import Annotated, Final

import msgspec

from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.links import target

MAX_CARD_TITLE_CHARS: Final = 200
MAX_CARD_TEXT_CHARS: Final = 500

CardTitle = Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_CARD_TITLE_CHARS))]
CardText = Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_CARD_TEXT_CHARS))]
CardImage = Annotated[
    str,
    msgspec.Meta(
        description="an http or https URL",
        extra_json_schema={"maxLength": target.MAX_URL_CHARS},
    ),
]


class PreviewCard(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A card's title, text and image; each may be empty, but not all."""

    title: CardTitle = ""
    text: CardText = ""
    image: CardImage = ""


def normalised_card(
    card: PreviewCard | None, private_hosts: bool
) -> tuple[PreviewCard | None, list[FieldError]]:
    """Return the card with its image's URL normalised, None for an empty one, and all errors."""
    if card is None or card == PreviewCard():
        return None, []
    errors = text_errors(card.title, "preview.title", MAX_CARD_TITLE_CHARS)
    errors += text_errors(card.text, "preview.text", MAX_CARD_TEXT_CHARS)
    image = card.image
    if image:
        try:
            image = target.check(image, private_hosts=private_hosts, max_chars=target.MAX_URL_CHARS)
        except target.TargetError as error:
            errors.append(FieldError("preview.image", str(error)))
    return msgspec.structs.replace(card, image=image), errors
