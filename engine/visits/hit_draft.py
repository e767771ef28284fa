"""An event that a server reports: a view of a profile, a click on a link or an own event elsewhere."""

import re
from typing import Annotated, Final, Literal

import msgspec

from engine.clicks.agents.client_hints import MAX_HINT_BYTES, with_hints
from engine.clicks.click import MAX_USER_AGENT_BYTES
from engine.clicks.own_event import (
    MAX_NAME_CHARS,
    MAX_PROPERTIES,
    MAX_VALUE_CHARS,
    PROPERTY_NAME,
    event_text,
    is_property_name,
    own_event,
)
from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import printable, text_errors, text_schema
from engine.links import name
from engine.links.slugs.link_path import link_path
from engine.links.slugs.slug_rules import slug_errors
from engine.visits.client_address import parse_address
from engine.visits.hit import ServerHit, hit_id

MAX_EVENTS: Final = 100  # of one request
MAX_ID_CHARS: Final = 64
MAX_URL_CHARS: Final = 2048
MAX_AGENT_CHARS: Final = 1024
MAX_LANGUAGE_CHARS: Final = 256
MAX_WITH_EXPERIMENTS: Final = 10  # of one request, as each answer may have many variants
MAX_SHOWN: Final = 500
_SUBJECT: Final = re.compile("[a-z0-9-]{1,32}").fullmatch


def _text(description: str, max_chars: int) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra_json_schema=text_schema(max_chars))


class HitDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event. What is left out is not known; without `user_agent` the visitor is a `tool`. What `url` and
    `referrer` say of an own event is its way, as of a view."""

    id: Annotated[
        str,
        _text("your own id: an event that comes again with it is recorded once", MAX_ID_CHARS),
        StandIn("a"),
    ]
    address: Annotated[
        str,
        msgspec.Meta(
            description="the visitor's IP address, used for place and pseudonym, and forgotten"
        ),
        StandIn("192.0.2.1"),
    ]
    type: Annotated[
        Literal["view", "click", "event"] | msgspec.UnsetType,
        msgspec.Meta(
            description="a view of the profile, a click on the link `slug`, or the own event `event`, which is "
            "the default where that is given"
        ),
    ] = msgspec.UNSET
    slug: Annotated[str, _text("the link's slug, of a click and, if you like, of an event", 64)] = (
        ""
    )
    event: Annotated[
        str, _text("the name of an own event, such as signup", MAX_NAME_CHARS), StandIn("a")
    ] = ""
    properties: Annotated[
        dict[str, str | bool | int | float],
        msgspec.Meta(
            description=f"of an own event: at most {MAX_PROPERTIES}, by name (letters, digits and `_.:-`, at "
            f"most {MAX_NAME_CHARS}); values of at most {MAX_VALUE_CHARS} characters, kept as text",
            extra_json_schema={
                "maxProperties": MAX_PROPERTIES,
                "propertyNames": {"pattern": f"^{PROPERTY_NAME}$"},
            },
        ),
    ] = {}
    user_agent: Annotated[str, _text("the visitor's User-Agent", MAX_AGENT_CHARS)] = ""
    sec_ch_ua: Annotated[str, _text("the visitor's Sec-CH-UA", MAX_HINT_BYTES)] = ""
    sec_ch_ua_mobile: Annotated[str, _text("the visitor's Sec-CH-UA-Mobile", MAX_HINT_BYTES)] = ""
    sec_ch_ua_platform: Annotated[
        str, _text("the visitor's Sec-CH-UA-Platform", MAX_HINT_BYTES)
    ] = ""
    language: Annotated[str, _text("the visitor's Accept-Language", MAX_LANGUAGE_CHARS)] = ""
    url: Annotated[
        str,
        _text("the page's URL: its host is the domain, its query the campaign", MAX_URL_CHARS),
    ] = ""
    referrer: Annotated[
        str, _text("the URL from which the visitor came to the page", MAX_URL_CHARS)
    ] = ""
    experiments: Annotated[
        bool,
        msgspec.Meta(
            description="whether the visitor takes part in experiments: your page shows the variants of the "
            "answer to a view, and leads a click to the `target` of its answer. At most "
            f"{MAX_WITH_EXPERIMENTS} events of a request"
        ),
    ] = False
    shows: Annotated[
        list[str] | msgspec.UnsetType,
        msgspec.Meta(
            description=f"of a view with `experiments`: ids of links and blocks, {MAX_SHOWN} at most, if your "
            "page shows only these; experiments on others leave the visitor out",
            extra_json_schema={"maxItems": MAX_SHOWN},
        ),
    ] = msgspec.UNSET


def validate_event(draft: HitDraft) -> tuple[HitDraft | None, list[FieldError]]:
    """Return the draft, its address in canonical form, or None and what is wrong with it."""
    errors = [
        *_text_errors("id", draft.id, MAX_ID_CHARS),
        *_text_errors("user_agent", draft.user_agent, MAX_AGENT_CHARS),
        *_text_errors("sec_ch_ua", draft.sec_ch_ua, MAX_HINT_BYTES),
        *_text_errors("sec_ch_ua_mobile", draft.sec_ch_ua_mobile, MAX_HINT_BYTES),
        *_text_errors("sec_ch_ua_platform", draft.sec_ch_ua_platform, MAX_HINT_BYTES),
        *_text_errors("language", draft.language, MAX_LANGUAGE_CHARS),
        *_text_errors("url", draft.url, MAX_URL_CHARS),
        *_text_errors("referrer", draft.referrer, MAX_URL_CHARS),
    ]
    if not draft.id:
        errors.append(FieldError("id", "must not be empty"))
    address = parse_address(draft.address)
    if address is None:
        errors.append(FieldError("address", "must be an IPv4 or IPv6 address"))
    type_ = draft.type or ("event" if draft.event else None)
    if type_ is None:
        errors.append(FieldError("type", "must be view, click or event"))
    elif type_ == "event":
        errors += _event_errors(draft)
    elif draft.event or draft.properties:
        field = "event" if draft.event else "properties"
        errors.append(FieldError(field, f"must be left out of a {type_}"))
    if type_ == "click" or (type_ == "event" and draft.slug):
        errors += slug_errors(draft.slug)
    elif draft.slug:
        errors.append(FieldError("slug", "must be left out of a view"))
    errors += _experiment_errors(draft, type_)
    if errors or address is None or type_ is None:
        return None, errors
    return msgspec.structs.replace(draft, address=address, type=type_), []


def _event_errors(draft: HitDraft) -> list[FieldError]:
    """Return the errors of an own event's name and properties."""
    errors = text_errors(draft.event, "event", MAX_NAME_CHARS)
    if not printable(draft.event).strip():
        errors.append(FieldError("event", "must name the own event, such as signup"))
    if len(draft.properties) > MAX_PROPERTIES:
        errors.append(FieldError("properties", f"must be at most {MAX_PROPERTIES}"))
        return errors
    for key, value in draft.properties.items():
        if not is_property_name(key):
            reason = f"must have names of 1 to {MAX_NAME_CHARS} letters, digits and _.:-"
            errors.append(FieldError("properties", reason))
            break
        errors += text_errors(_value_text(value), f"properties.{key}", MAX_VALUE_CHARS)
    return errors


def _experiment_errors(draft: HitDraft, type_: str | None) -> list[FieldError]:
    """Return the errors of `experiments` and `shows`."""
    errors = []
    if draft.experiments and type_ == "event":
        errors.append(FieldError("experiments", "must be left out of an own event"))
    if draft.shows is msgspec.UNSET:
        return errors
    if type_ != "view" or not draft.experiments:
        errors.append(FieldError("shows", "must be left out, except of a view with experiments"))
    if len(draft.shows) > MAX_SHOWN:
        errors.append(FieldError("shows", f"must be at most {MAX_SHOWN}"))
    elif not all(map(_SUBJECT, draft.shows)):
        errors.append(FieldError("shows", "must be ids of links and blocks of the page"))
    return errors


def _value_text(value: str | bool | float) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


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
    slug = name.slug_name(event.slug)
    return ServerHit(
        hit_id(tenant_id, profile_id, event.id),
        link_path(handle, slug) if slug else name.encode_path("@" + handle),
        event.address,
        _agent(event),
        event.language.encode(),
        event.url.encode(),
        event.referrer.encode(),
        _own_event(event) if event.type == "event" else b"",
        event.experiments,
        None if event.shows is msgspec.UNSET else frozenset(event.shows),
    )


def _agent(event: HitDraft) -> bytes:
    """Return the user agent with what the hints say more, as the visitor server reads both of a head."""
    agent = event.user_agent.strip(" ").encode()[:MAX_USER_AGENT_BYTES]
    if not event.sec_ch_ua:
        return agent
    hints = event.sec_ch_ua, event.sec_ch_ua_mobile, event.sec_ch_ua_platform
    return with_hints(agent, *(hint.encode() for hint in hints))


def _own_event(event: HitDraft) -> bytes:
    values = {key: _value_text(value) for key, value in event.properties.items()}
    own = own_event(event.event, values)
    assert own is not None, "a valid event has a name"
    return event_text(own).encode()
