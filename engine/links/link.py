"""A link: a slug of a profile that leads to a target."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.github.repository import WEB_HOST, LinkSync
from engine.links import name, target
from engine.links.abuse.quarantine import EngineQuarantine
from engine.links.health import LinkHealth
from engine.links.labels import (
    ExternalId,
    Folder,
    Notes,
    Tags,
    label_errors,
    normalised_tags,
)
from engine.links.link_clicks import LinkClickCounts
from engine.links.options import LinkOptions, normalised_options, targets_by_field
from engine.links.slugs import slug_rules
from engine.links.targets.extra_path import mask_arguments, unmask_arguments

STATUSES: Final = (301, 302, 307, 308)
MAX_TITLE_CHARS: Final = 200
MAX_POSITION: Final = 1_000_000_000
MAX_PASSWORD_CHARS: Final = 200
MAX_OPENING_CLICKS: Final = 1_000_000_000_000

Slug = Annotated[
    str,
    msgspec.Meta(
        description="1-200 letters of any script, digits, `-`, `_`; where a domain of the profile allows "
        "it, `/`, `.` and emoji. Case is ignored, unless a domain of the profile is case-sensitive",
        extra_json_schema={"pattern": slug_rules.SLUG_PATTERN, "examples": ["spring"]},
    ),
]
LinkTarget = Annotated[
    str,
    msgspec.Meta(
        description="an http or https URL; with another kind an address of that kind, with github a "
        "repository's page",
        extra_json_schema={
            "minLength": 1,
            "maxLength": target.MAX_TARGET_CHARS,
            "examples": ["https://example.com/spring", "mailto:ada@example.com"],
        },
    ),
]
LinkTitle = Annotated[
    str,
    msgspec.Meta(
        description="shown on the profile's page", extra_json_schema=text_schema(MAX_TITLE_CHARS)
    ),
]
RedirectStatus = Annotated[
    int,
    msgspec.Meta(
        description="browsers keep 301 and 308 for 90 seconds",
        extra_json_schema={"enum": list(STATUSES)},
    ),
]
LinkKind = Annotated[
    str,
    msgspec.Meta(
        description="what the target is", extra_json_schema={"enum": list(target.TARGET_KINDS)}
    ),
]
Passthrough = Annotated[
    bool,
    msgspec.Meta(
        description="add a visitor's query string to the target's, instead of parameters of equal names"
    ),
]
HasClickId = Annotated[
    bool,
    msgspec.Meta(
        description="add a click id, `wp_click=…`, to http(s) targets, by which conversions are reported"
    ),
]
Short = Annotated[
    bool | None,
    msgspec.Meta(
        description="true: also claim `/{slug}` of the default domain, or fail; false: do not; "
        "null: claim it when it is free"
    ),
]


Position = Annotated[
    int | None,
    msgspec.Meta(
        description="its place on the profile's page, the smallest first; null in a request: behind the last"
    ),
]
Hidden = Annotated[
    bool, msgspec.Meta(description="not on the profile's page; its address leads on all the same")
]
Password = Annotated[
    str | None,
    msgspec.Meta(
        description=f"asked of visitors before they pass, 1-{MAX_PASSWORD_CHARS} characters; null: none. "
        "Responses say only whether there is one (`has_password`)"
    ),
]


OpeningClicks = Annotated[
    int,
    msgspec.Meta(
        description="clicks that another service counted before; statistics do not have them",
        extra_json_schema={"minimum": 0, "maximum": MAX_OPENING_CLICKS},
    ),
]


class LinkDraft(LinkOptions, frozen=True, kw_only=True, omit_defaults=False):
    """A link as a request wants it. validate_draft() normalises it. Without a slug the store makes one.

    `password` is the hash of what the request has (storage/accounts/passwords.py).
    """

    slug: Annotated[Slug | None, StandIn(None)] = None
    target: Annotated[LinkTarget, StandIn("https://a.example/")]
    title: LinkTitle = ""
    status: RedirectStatus = 302
    # An invalid stand-in, because the rules of the target depend on the kind: the target is not validated then.
    kind: Annotated[LinkKind, StandIn("")] = "url"
    passthrough: Passthrough = False
    click_id: HasClickId = False
    short: Short = None
    external_id: ExternalId = ""
    tags: Tags = ()
    folder: Folder = ""
    notes: Notes = ""
    hidden: Hidden = False
    position: Position = None
    password: Password = None
    opening_clicks: OpeningClicks = 0


class Link(LinkOptions, frozen=True, kw_only=True, omit_defaults=False):
    """A stored link. `short`: it also owns `/{slug}` on the default domain. `password` is its hash. `github` is
    its synchronisation with GitHub, if it has one; `health` is the state of its target, once checked; `clicks`
    those of the period that a question names. `counts_offset` were its clicks when its counts were reset. No
    member sets `engine_quarantine`."""

    id: int
    profile_id: int
    slug: str
    target: str
    title: str
    status: int
    kind: str
    passthrough: bool
    click_id: bool
    short: bool
    version: int
    created_at: datetime
    updated_at: datetime
    external_id: str = ""
    tags: tuple[str, ...] = ()
    folder: str = ""
    notes: str = ""
    hidden: bool = False
    position: int = 0
    password: str | None = None
    opening_clicks: int = 0
    counts_offset: int = 0
    github: LinkSync | None = None
    health: LinkHealth | None = None
    clicks: LinkClickCounts | None = None
    engine_quarantine: EngineQuarantine | None = None


def validate_draft(
    draft: LinkDraft,
    *,
    private_hosts: bool = True,
    github_host: str = WEB_HOST,
    visitors_url: str = "",
) -> tuple[LinkDraft | None, list[FieldError]]:
    """Return the draft normalised (the slug in NFC, the target as a browser parses it), or None and all errors.

    `private_hosts`: whether targets off the public internet are allowed. `visitors_url`: no target may lead
    back to this server, if it is known.
    """
    errors = [] if draft.slug is None else slug_rules.slug_errors(draft.slug)
    errors += text_errors(draft.title, "title", MAX_TITLE_CHARS)
    if draft.status not in STATUSES:
        errors.append(FieldError("status", "must be 301, 302, 307 or 308"))
    if draft.position is not None and abs(draft.position) > MAX_POSITION:
        errors.append(FieldError("position", f"must be at most {MAX_POSITION:,}"))
    if not 0 <= draft.opening_clicks <= MAX_OPENING_CLICKS:
        errors.append(FieldError("opening_clicks", f"must be 0 to {MAX_OPENING_CLICKS:,}"))
    errors += label_errors(draft.folder, draft.notes, draft.external_id)
    tags, tag_errors = normalised_tags(draft.tags)
    options, option_errors = normalised_options(draft, private_hosts)
    normalised, target_errors = _normalised_target(draft, private_hosts, github_host)
    errors += tag_errors + option_errors + target_errors + _web_target_errors(draft)
    errors += _loop_errors(normalised, options, visitors_url)
    if errors:
        return None, errors
    slug = None if draft.slug is None else name.slug_name(draft.slug)
    return msgspec.structs.replace(draft, slug=slug, target=normalised, tags=tags, **options), []


def _loop_errors(
    own_target: str, options: Mapping[str, Any], visitors_url: str
) -> list[FieldError]:
    targets = {"target": own_target, **targets_by_field(LinkOptions(**options))}
    return [
        FieldError(field, target.LOOP_REASON)
        for field, url in targets.items()
        if target.leads_back(url, visitors_url)
    ]


def _web_target_errors(draft: LinkDraft) -> list[FieldError]:
    if draft.kind == "app" and not draft.web_target:
        reason = "must be given with the kind app: visitors who are on no phone are led there"
        return [FieldError("web_target", reason)]
    if draft.web_target and draft.kind in target.TARGET_KINDS and draft.kind != "app":
        return [FieldError("web_target", "must be empty, as the link is not of the kind app")]
    return []


def _normalised_target(
    draft: LinkDraft, private_hosts: bool, github_host: str
) -> tuple[str, list[FieldError]]:
    if draft.kind not in target.TARGET_KINDS:
        return "", [FieldError("kind", f"must be one of {', '.join(target.TARGET_KINDS)}")]
    if draft.extra_path and draft.kind != "url":
        return "", [FieldError("extra_path", "must be false, as the link is not of the kind url")]
    arguments: dict[str, str] = {}
    try:
        text = draft.target
        if draft.extra_path:
            text, arguments = mask_arguments(text)
        normalised = target.check(
            text,
            draft.kind,  # type: ignore[arg-type]  # checked against TARGET_KINDS above
            private_hosts=private_hosts,
            github_host=github_host,
        )
        return unmask_arguments(normalised, arguments), []
    except (target.TargetError, ValueError) as error:
        return "", [FieldError("target", str(error))]
