"""Domains: hosts of a profile's own, proven by a DNS record, at which its links answer without its handle."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import ada_url
import msgspec

from engine.common.drafts import StandIn
from engine.common.errors import FieldError
from engine.links.slugs.slug_rules import FEATURES, Features, SlugFeature
from engine.links.target import MAX_URL_CHARS, TargetError, check, is_private_host, leads_back
from engine.links.targets.target_policy import NO_POLICY, RefusedTargets

MAX_DOMAINS: Final = 20  # of one profile
MAX_HOST_CHARS: Final = 253
TXT_LABEL: Final = "_waypost"
TXT_VALUE: Final = "waypost="

# The next look after each one that did not find the record.
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=6)
PENDING_LOOKS: Final = 35  # about a week
VERIFIED_EVERY: Final = timedelta(days=1)
VERIFIED_LOOKS: Final = 12  # about a day without the record ends a verified domain
_NAME: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)

DomainState = Literal["pending", "verified", "failed"]
Host = Annotated[
    str,
    msgspec.Meta(
        description="a DNS name such as `links.example.com`, without scheme, port and path; other scripts are "
        "stored in punycode",
        extra_json_schema={"minLength": 3, "maxLength": MAX_HOST_CHARS},
    ),
]
RootTarget = Annotated[
    str | None,
    msgspec.Meta(description="where `/` leads; null: the profile's page is shown"),
]
NotFoundTarget = Annotated[
    str | None,
    msgspec.Meta(description="where unknown paths lead (302); null: they are answered with 404"),
]


Slugs = Annotated[
    tuple[SlugFeature, ...],
    msgspec.Meta(
        description="what slugs may have at the domain beyond letters, digits, `-` and `_`; `case_sensitive`: "
        "`Spring` is another slug than `spring` (docs/domains.md)",
        extra_json_schema={"uniqueItems": True, "maxItems": len(FEATURES)},
    ),
]


class DomainDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as a request wants it. Its host cannot be changed."""

    root_target: RootTarget = None
    not_found_target: NotFoundTarget = None
    slugs: Slugs = ()


class NewDomainDraft(DomainDraft, frozen=True, kw_only=True):
    """A domain to be created."""

    host: Annotated[Host, StandIn("links.example")]


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """A stored domain. `token` is the value that the TXT record must have behind `waypost=`; `reason` says why
    the last look did not verify it, `next_check_at` when the next one is (None: only on request). Nobody is led
    to `blocked_targets`, as they are on a blocklist."""

    id: int
    profile_id: int
    host: str
    root_target: str | None
    not_found_target: str | None
    slugs: tuple[SlugFeature, ...]
    state: DomainState
    token: str
    reason: str
    verified_at: datetime | None
    checked_at: datetime | None
    next_check_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    blocked_targets: tuple[str, ...] = ()


class DomainAddress(NamedTuple):
    """The handle of the profile whose links answer at a verified domain, and what slugs may have there."""

    handle: str
    slugs: Features


class DueDomain(NamedTuple):
    """A domain whose record is to be looked at, and how many looks in a row have not found it."""

    tenant_id: int
    id: int
    host: str
    token: str
    state: DomainState
    failures: int


class TxtAnswer(NamedTuple):
    """The texts of a name's TXT records; or why they could not be read, if `error` is set."""

    texts: tuple[str, ...] = ()
    error: str = ""


class DomainLook(NamedTuple):
    """The result of a look: the domain's next state, why, and when to look again; None: only on request."""

    domain: DueDomain
    state: DomainState
    reason: str
    failures: int
    wait: timedelta | None


Draft = TypeVar("Draft", bound=DomainDraft)


def canonical_host(text: str) -> str | None:
    """Return a host as browsers send it: in lower case and punycode; None for what is no DNS name.

    The ways of a URL to hide a host (credentials, ports, percent-encoding) are none here.
    """
    text = text.strip(" ").removesuffix(".")
    if not text or len(text) > MAX_HOST_CHARS or any(c in "/\\?#@:[]%" or c <= " " for c in text):
        return None
    try:
        host = ada_url.URL(f"https://{text}/").hostname
    except ValueError:
        return None
    return host if len(host) <= MAX_HOST_CHARS and _NAME.fullmatch(host) else None


def host_of_url(url: str) -> str:
    """Return the host of a valid URL; empty for an empty one."""
    return ada_url.URL(url).hostname if url else ""


def record_name(host: str) -> str:
    """Return the name of the TXT record that proves a host."""
    return f"{TXT_LABEL}.{host}"


def record_value(token: str) -> str:
    """Return the value of the TXT record that proves a host."""
    return TXT_VALUE + token


def validate_domain(
    draft: Draft,
    own_hosts: tuple[str, ...] = (),
    *,
    host: str = "",
    policy: RefusedTargets = NO_POLICY,
    stored: frozenset[str] = frozenset(),
) -> tuple[Draft | None, list[FieldError]]:
    """Return the draft normalised and no errors, or None and every error.

    `own_hosts` are the deployment's own, which no profile can have; `host` is that of a stored domain, and
    `stored` its targets, which `policy` may refuse by now.
    """
    errors: list[FieldError] = []
    changed: dict[str, Any] = {"slugs": tuple(f for f in FEATURES if f in draft.slugs)}
    if isinstance(draft, NewDomainDraft):
        host = changed["host"] = canonical_host(draft.host) or ""
        if not host:
            errors.append(FieldError("host", "must be a DNS name, such as links.example.com"))
        elif host in own_hosts or is_private_host(host):
            errors.append(FieldError("host", "must be a host on the public internet that is yours"))
    for field in ("root_target", "not_found_target"):
        target = getattr(draft, field)
        if target is None:
            continue
        try:
            changed[field] = url = check(target, max_chars=MAX_URL_CHARS)
        except TargetError as error:
            errors.append(FieldError(field, str(error)))
            continue
        reason = None if url in stored else policy.reason(url)
        if _goes_in_circles(field, url, host):
            reason = "must not be an address of the domain that leads there itself"
        if reason is not None:
            errors.append(FieldError(field, reason))
    return (None, errors) if errors else (msgspec.structs.replace(draft, **changed), [])


def _goes_in_circles(field: str, target: str, host: str) -> bool:
    """Return whether a domain's target is its own root, or where an unknown path may lead again."""
    if not host or not leads_back(target, f"https://{host}/"):
        return False
    return field == "not_found_target" or ada_url.URL(target).pathname == "/"


def look_result(domain: DueDomain, answer: TxtAnswer) -> DomainLook:
    """Return what the answer to a look means.

    A verified domain stays so while DNS cannot be asked, and for about a day without its record.
    """
    if record_value(domain.token) in answer.texts:
        return DomainLook(domain, "verified", "", 0, VERIFIED_EVERY)
    is_verified = domain.state == "verified"
    if answer.error and is_verified:
        return DomainLook(domain, "verified", answer.error, domain.failures, timedelta(hours=1))
    failures = domain.failures + 1
    reason = answer.error or _reason(domain, answer)
    if failures >= (VERIFIED_LOOKS if is_verified else PENDING_LOOKS):
        return DomainLook(domain, "failed", reason, failures, None)
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures - 1, 16))
    return DomainLook(domain, domain.state, reason, failures, wait)


def _reason(domain: DueDomain, answer: TxtAnswer) -> str:
    name = record_name(domain.host)
    if any(text.startswith(TXT_VALUE) for text in answer.texts):
        return f"the TXT record of {name} has another value"
    return f"{name} has no TXT record with the value"
