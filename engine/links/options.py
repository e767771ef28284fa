"""Options of a link beyond its slug and target: when it leads where, and what is added on the way."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.links import target
from engine.links.preview_card import PreviewCard, normalised_card
from engine.links.rules import MAX_RULES, LinkRule, normalised_rules

MAX_REASON_CHARS: Final = 200
MAX_UTM_CHARS: Final = 200
MAX_OPTIONS_BYTES: Final = 65_536
MAX_CLICK_LIMIT: Final = 1_000_000_000

UtmText = Annotated[str, msgspec.Meta(extra_json_schema=text_schema(MAX_UTM_CHARS))]
FallbackTarget = Annotated[
    str,
    msgspec.Meta(
        description="where visitors are led while the link is paused, outside its time or above its limit; "
        "empty: they get 404, or 410 once it is over",
        extra_json_schema={"maxLength": target.MAX_TARGET_CHARS},
    ),
]
WebTarget = Annotated[
    str,
    msgspec.Meta(
        description="with the kind app: where visitors are led who are on no phone or tablet",
        extra_json_schema={"maxLength": target.MAX_TARGET_CHARS},
    ),
]
ClickLimit = Annotated[
    int | None,
    msgspec.Meta(description="number of visits that may pass, over all edges; null: any number"),
]
PauseReason = Annotated[
    str,
    msgspec.Meta(
        description="why the link is paused, for members",
        extra_json_schema=text_schema(MAX_REASON_CHARS),
    ),
]
QuarantineReason = Annotated[
    str,
    msgspec.Meta(
        description="why the link is quarantined, for members",
        extra_json_schema=text_schema(MAX_REASON_CHARS),
    ),
]


class Utm(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Campaign parameters that a redirect adds to the target, unless the target has them."""

    source: UtmText = ""
    medium: UtmText = ""
    campaign: UtmText = ""
    term: UtmText = ""
    content: UtmText = ""


class LinkOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Options that edges obey. A link with none of them is a plain redirect. Times are aware."""

    paused: Annotated[bool, msgspec.Meta(description="visitors get the fallback target")] = False
    paused_reason: PauseReason = ""
    quarantined: Annotated[
        bool,
        msgspec.Meta(
            description="visitors get a page that warns of the target and names its host, and may go on from it"
        ),
    ] = False
    quarantine_reason: QuarantineReason = ""
    active_from: Annotated[
        datetime | None,
        msgspec.Meta(description="first moment at which the link leads to its target"),
    ] = None
    active_until: Annotated[
        datetime | None, msgspec.Meta(description="moment at which the link is over")
    ] = None
    click_limit: ClickLimit = None
    fallback_target: FallbackTarget = ""
    web_target: WebTarget = ""
    extra_path: Annotated[
        bool,
        msgspec.Meta(
            description="names behind the link's address go on behind its target, or fill its arguments: {1}, "
            "or {2:default}"
        ),
    ] = False
    rules: Annotated[
        tuple[LinkRule, ...],
        msgspec.Meta(
            description="the first rule whose conditions a visit meets chooses the target",
            extra_json_schema={"maxItems": MAX_RULES},
        ),
    ] = ()
    utm: Annotated[
        Utm | None, msgspec.Meta(description="campaign parameters added to the target")
    ] = None
    noindex: Annotated[
        bool, msgspec.Meta(description="ask search engines not to list the link")
    ] = False
    preview: Annotated[
        PreviewCard | None,
        msgspec.Meta(description="what messengers get instead of the redirect, to show it"),
    ] = None


NO_OPTIONS: Final = LinkOptions()
OPTION_FIELDS: Final = LinkOptions.__struct_fields__
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(LinkOptions).decode


def options_of(link: LinkOptions) -> LinkOptions | None:
    """Return the options of a link or draft, None for a plain one."""
    options = LinkOptions(**{name: getattr(link, name) for name in OPTION_FIELDS})
    return None if options == NO_OPTIONS else options


def pack_options(options: LinkOptions | None) -> str | None:
    """Return options as JSON without those that are unset; None for none."""
    return None if options is None else _encode(options).decode()


def unpack_options(text: str | None) -> LinkOptions | None:
    """Return the options in pack_options()' JSON."""
    return None if text is None else _decode(text)


def targets_by_field(options: LinkOptions) -> dict[str, str]:
    """Return the targets that options name, beyond the link's own, by field."""
    targets = {"fallback_target": options.fallback_target, "web_target": options.web_target}
    targets |= {f"rules[{n}].target": rule.target for n, rule in enumerate(options.rules)}
    return {field: url for field, url in targets.items() if url}


def normalised_options(
    draft: LinkOptions, private_hosts: bool
) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the options that change when normalised, by field, and all errors of the draft's options."""
    changed: dict[str, Any] = {}
    errors = text_errors(draft.paused_reason, "paused_reason", MAX_REASON_CHARS)
    errors += text_errors(draft.quarantine_reason, "quarantine_reason", MAX_REASON_CHARS)
    for field in ("fallback_target", "web_target"):
        if url := getattr(draft, field):
            try:
                changed[field] = target.check(url, private_hosts=private_hosts)
            except target.TargetError as error:
                errors.append(FieldError(field, str(error)))
    if draft.click_limit is not None and not 1 <= draft.click_limit <= MAX_CLICK_LIMIT:
        errors.append(FieldError("click_limit", f"must be 1 to {MAX_CLICK_LIMIT:,}, or null"))
    errors += _time_errors(draft)
    changed["rules"], rule_errors = normalised_rules(draft.rules, private_hosts)
    changed["preview"], card_errors = normalised_card(draft.preview, private_hosts)
    errors += rule_errors + card_errors
    if draft.utm is not None:
        for name in Utm.__struct_fields__:
            errors += text_errors(getattr(draft.utm, name), f"utm.{name}", MAX_UTM_CHARS)
        if draft.utm == Utm():
            changed["utm"] = None
    return changed, errors or _size_errors(draft, changed)


def _size_errors(draft: LinkOptions, changed: dict[str, Any]) -> list[FieldError]:
    """Return an error that names the largest option, if all together are too large."""
    kept = {name: changed.get(name, getattr(draft, name)) for name in OPTION_FIELDS}
    if len(_encode(LinkOptions(**kept))) <= MAX_OPTIONS_BYTES:
        return []
    largest = max(kept, key=lambda name: len(_encode(kept[name])))
    reason = f"makes the link's options larger than {MAX_OPTIONS_BYTES:,} bytes of JSON together"
    return [FieldError(largest, reason)]


def _time_errors(draft: LinkOptions) -> list[FieldError]:
    errors = [
        FieldError(name, "must have a time zone, such as Z")
        for name in ("active_from", "active_until")
        if (time := getattr(draft, name)) is not None and time.tzinfo is None
    ]
    both = draft.active_from is not None and draft.active_until is not None
    if both and not errors and draft.active_until <= draft.active_from:  # type: ignore[operator]
        errors.append(FieldError("active_until", "must be after active_from"))
    return errors
