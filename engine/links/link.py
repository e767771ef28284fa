"""A link: a slug of a profile that leads to a target."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.common.text_rules import text_errors, text_schema
from engine.github.repository import WEB_HOST, LinkSync
from engine.links import name, target
from engine.links.health import LinkHealth

STATUSES: Final = (301, 302, 307, 308)
MAX_TITLE_CHARS: Final = 200


Slug = Annotated[
    str,
    msgspec.Meta(
        description="1-64 letters of any script, digits, `-`, `_`; case is ignored",
        extra_json_schema={"pattern": name.SLUG_PATTERN, "examples": ["spring"]},
    ),
]
LinkTarget = Annotated[
    str,
    msgspec.Meta(
        description="an http or https URL; with kind mailto or tel an address of that kind, with github a "
        "repository's page",
        extra_json_schema={
            "minLength": 1,
            "maxLength": target.MAX_TARGET_CHARS,
            "pattern": "^ *([Hh][Tt][Tt][Pp][Ss]?|[Mm][Aa][Ii][Ll][Tt][Oo]|[Tt][Ee][Ll]):",
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
    bool, msgspec.Meta(description="add a visitor's query string to the target's")
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


class LinkDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A link as a request wants it. validate_draft() normalises it."""

    slug: Annotated[Slug, StandIn("a")]
    target: Annotated[LinkTarget, StandIn("https://a.example/")]
    title: LinkTitle = ""
    status: RedirectStatus = 302
    # An invalid stand-in, because the rules of the target depend on the kind: the target is not validated then.
    kind: Annotated[LinkKind, StandIn("")] = "url"
    passthrough: Passthrough = False
    click_id: HasClickId = False
    short: Short = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A stored link. `short`: it also owns `/{slug}` on the default domain. `github` is its synchronisation
    with GitHub, if it has one; `health` is the state of its target, once checked."""

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
    github: LinkSync | None = None
    health: LinkHealth | None = None


def validate_draft(
    draft: LinkDraft, *, private_hosts: bool = True, github_host: str = WEB_HOST
) -> tuple[LinkDraft | None, list[FieldError]]:
    """Return the draft normalised (canonical slug, target as a browser parses it), or None and all errors.

    `private_hosts`: whether targets off the public internet are allowed.
    """
    errors = name.slug_errors(draft.slug) + text_errors(draft.title, "title", MAX_TITLE_CHARS)
    if draft.status not in STATUSES:
        errors.append(FieldError("status", "must be 301, 302, 307 or 308"))
    normalised = draft.target
    if draft.kind not in target.TARGET_KINDS:
        errors.append(FieldError("kind", f"must be one of {', '.join(target.TARGET_KINDS)}"))
    else:
        try:
            normalised = target.check(
                draft.target,
                draft.kind,  # type: ignore[arg-type]  # checked against TARGET_KINDS above
                private_hosts=private_hosts,
                github_host=github_host,
            )
        except target.TargetError as error:
            errors.append(FieldError("target", str(error)))
    if errors:
        return None, errors
    return msgspec.structs.replace(
        draft, slug=name.canonical_name(draft.slug), target=normalised
    ), []
