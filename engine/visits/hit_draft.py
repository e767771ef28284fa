"""An event as a server reports it: a view of a profile, or a click on one of its links, on a page elsewhere."""

from typing import Annotated, Final, Literal

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_schema
from engine.links import name
from engine.visits.client_address import parse_address
from engine.visits.hit import ServerHit, hit_id

MAX_EVENTS: Final = 100  # of one request
MAX_ID_CHARS: Final = 64
MAX_URL_CHARS: Final = 2048
MAX_AGENT_CHARS: Final = 1024
MAX_LANGUAGE_CHARS: Final = 256


def _text(description: str, max_chars: int) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra_json_schema=text_schema(max_chars))


class HitDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event. What is left out is not known; without `user_agent` the visitor is a `tool`."""

    id: Annotated[
        str,
        _text("your own id: an event that comes again with it is recorded once", MAX_ID_CHARS),
        StandIn("a"),
    ]
    type: Annotated[
        Literal["view", "click"],
        msgspec.Meta(description="a view of the profile, or a click on the link `slug`"),
        StandIn("view"),
    ]
    address: Annotated[
        str,
        msgspec.Meta(
            description="the visitor's IP address, used for place and pseudonym, and forgotten"
        ),
        StandIn("192.0.2.1"),
    ]
    slug: Annotated[str, _text("of a click: the link's slug", 64)] = ""
    user_agent: Annotated[str, _text("the visitor's User-Agent", MAX_AGENT_CHARS)] = ""
    language: Annotated[str, _text("the visitor's Accept-Language", MAX_LANGUAGE_CHARS)] = ""
    url: Annotated[
        str,
        _text("the page's URL: its host is the domain, its query the campaign", MAX_URL_CHARS),
    ] = ""
    referrer: Annotated[
        str, _text("the URL from which the visitor came to the page", MAX_URL_CHARS)
    ] = ""


def validate_event(draft: HitDraft) -> tuple[HitDraft | None, list[FieldError]]:
    """Return the draft, its address in canonical form, or None and what is wrong with it."""
    errors = [
        *_text_errors("id", draft.id, MAX_ID_CHARS),
        *_text_errors("user_agent", draft.user_agent, MAX_AGENT_CHARS),
        *_text_errors("language", draft.language, MAX_LANGUAGE_CHARS),
        *_text_errors("url", draft.url, MAX_URL_CHARS),
        *_text_errors("referrer", draft.referrer, MAX_URL_CHARS),
    ]
    if not draft.id:
        errors.append(FieldError("id", "must not be empty"))
    address = parse_address(draft.address)
    if address is None:
        errors.append(FieldError("address", "must be an IPv4 or IPv6 address"))
    if draft.type == "click":
        errors += name.slug_errors(draft.slug)
    elif draft.slug:
        errors.append(FieldError("slug", "must be left out of a view"))
    if errors or address is None:
        return None, errors
    return msgspec.structs.replace(draft, address=address), []


def _text_errors(field: str, text: str, max_chars: int) -> list[FieldError]:
    errors = []
    if len(text) > max_chars:
        errors.append(FieldError(field, f"must have at most {max_chars} characters"))
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        errors.append(FieldError(field, "must not contain control characters"))
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        errors.append(FieldError(field, "must not contain lone surrogates"))
    return errors


def hit_of_event(event: HitDraft, tenant_id: int, profile_id: int, handle: str) -> ServerHit:
    """Return what an edge records of a valid event of the profile."""
    slug = name.canonical_name(event.slug)
    return ServerHit(
        hit_id(tenant_id, profile_id, event.id),
        name.encode_path(handle, slug) if slug else name.encode_path("@" + handle),
        event.address,
        event.user_agent.encode(),
        event.language.encode(),
        event.url.encode(),
        event.referrer.encode(),
    )
