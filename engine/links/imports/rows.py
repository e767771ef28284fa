"""Rows of imports: texts by column become a valid row, by the rules of the API."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.common.errors import FieldError
from engine.links import link, profile
from engine.links.imports.row_error import RowError
from engine.links.imports.values import (
    derived_slug,
    flag_of,
    number_of,
    slug_of,
    tags_of,
    time_of,
)
from engine.links.link import LinkDraft
from engine.links.name import canonical_name, slug_name
from engine.links.options import Utm
from engine.links.ports import ImportRow
from engine.links.preview_card import PreviewCard
from engine.links.profile import ProfileDraft
from engine.links.rules import LinkRule
from engine.links.targets.program_target import kind_of_scheme
from engine.links.targets.target_policy import (
    NO_POLICY,
    TargetPolicy,
    blocked_fields,
    with_suspicion,
)

_decode_rules: Final = msgspec.json.Decoder(tuple[LinkRule, ...]).decode
_decode_card: Final = msgspec.json.Decoder(PreviewCard).decode
# As PasswordHasher writes it: a hash with other costs would let a file choose what a visit takes.
_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=([1-9]\d{0,5}),t=([1-9]\d?),p=[1-8]\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{21,128}"
)
_LINE_BREAKS: Final = re.compile(r"\s*[\r\n]\s*")
MAX_HASH_MEMORY_KIB: Final = 65_536
MAX_HASH_PASSES: Final = 4
_UTM: Final = tuple(f"utm_{name}" for name in Utm.__struct_fields__)


def _text(text: str) -> str:
    return text


def _limit(text: str) -> int | None:
    return number_of(text) or None  # other services write "none" as 0


def _rules(text: str) -> tuple[LinkRule, ...]:
    try:
        return _decode_rules(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"must be a list of rules in JSON: {error}") from None


def _preview(text: str) -> PreviewCard:
    try:
        return _decode_card(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"must be a preview card in JSON: {error}") from None


def _hash(text: str) -> str:
    match = _HASH.fullmatch(text)
    if not match or int(match[1]) > MAX_HASH_MEMORY_KIB or int(match[2]) > MAX_HASH_PASSES:
        raise ValueError("must be a hash of argon2id with at most 64 MiB and 4 passes")
    return text


def _password(text: str) -> None:
    # Whether there is one is all that other services say. Without it the link would be open to everybody.
    if text.strip().lower() not in ("false", "0", "no"):
        raise ValueError("is not imported: leave the column empty, then set one for the link")


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(
        (
            "external_id",
            "folder",
            "notes",
            "paused_reason",
            "quarantine_reason",
            "fallback_target",
            "web_target",
        ),
        _text,
    ),
    **dict.fromkeys(
        (
            "passthrough",
            "click_id",
            "short",
            "hidden",
            "paused",
            "quarantined",
            "noindex",
            "extra_path",
        ),
        flag_of,
    ),
    **dict.fromkeys(("active", "crawlable"), flag_of),
    **dict.fromkeys(("status", "position", "opening_clicks"), number_of),
    **dict.fromkeys(("active_from", "active_until", "created_at"), time_of),
    "click_limit": _limit,
    "rules": _rules,
    "preview": _preview,
    "password_hash": _hash,
    "password": _password,
}


class RowReader:
    """Maker of rows. `handle` is the profile of rows that name none; a row that names another is an error.
    `case_sensitive` are the handles of profiles in whose slugs case counts.

    `tag_separators` are the characters between tags. No target may lead back to `visitors_url`, if it is known,
    nor to an address that `policy` refuses.
    """

    def __init__(
        self,
        handle: str,
        *,
        private_hosts: bool,
        tag_separators: str = ",",
        visitors_url: str = "",
        policy: TargetPolicy = NO_POLICY,
        case_sensitive: frozenset[str] = frozenset(),
    ) -> None:
        self._handle = handle
        self._private_hosts = private_hosts
        self._visitors_url = visitors_url
        self._separators = tag_separators
        self._policy = policy
        self._case_sensitive = case_sensitive

    def row(self, line: int, texts: Mapping[str, str]) -> ImportRow:
        """Return the row of line number `line`. Raises RowError that names every bad field."""
        texts = {column: text for column, text in texts.items() if text}
        _require_unicode(texts)
        handle = self._handle_of(texts.get("handle", "").strip().lower())
        target = texts.get("target", "").strip()
        if not target:
            raise RowError("target must not be empty")
        fields, errors = self._fields(texts)
        created_at = fields.pop("created_at", None)
        profile_draft, handle_errors = profile.validate_draft(ProfileDraft(handle=handle))
        draft, link_errors = link.validate_draft(
            LinkDraft(
                slug=slug_of(texts["slug"]) if texts.get("slug") else derived_slug(target),
                target=target,
                title=_LINE_BREAKS.sub(" ", texts.get("title", "")),
                kind=texts.get("kind") or kind_of_scheme(target),
                **fields,
            ),
            private_hosts=self._private_hosts,
            visitors_url=self._visitors_url,
        )
        errors = [*handle_errors, *errors, *link_errors]
        if draft is not None:
            errors += blocked_fields(draft, draft.target, frozenset(), self._policy)
        if errors or profile_draft is None or draft is None or draft.slug is None:
            raise RowError("; ".join(f"{error.field} {error.reason}" for error in errors))
        draft = with_suspicion(draft, self._policy)
        slug = self._settled(profile_draft.handle, draft.slug or "")
        names = {*fields, "quarantined", "quarantine_reason"} if draft.quarantined else fields
        return ImportRow(
            line,
            profile_draft.handle,
            slug,
            draft.target,
            draft.title,
            draft.kind,
            {name: getattr(draft, name) for name in names},
            created_at,
            chars=sum(map(len, texts.values())),
        )

    def address(self, texts: Mapping[str, str]) -> tuple[str, str]:
        """Return the handle and slug that a record's link would have, good or not."""
        slug = texts.get("slug", "")
        slug = slug_of(slug) if slug else derived_slug(texts.get("target", "").strip())
        handle = self._handle or texts.get("handle", "").strip().lower()
        return handle, self._settled(handle, slug_name(slug))

    def _settled(self, handle: str, slug: str) -> str:
        return slug if handle in self._case_sensitive else canonical_name(slug)

    def _handle_of(self, own: str) -> str:
        if self._handle and own not in ("", self._handle):
            raise RowError(f"handle must be {self._handle} or empty with this --profile")
        return self._handle or own

    def _fields(self, texts: Mapping[str, str]) -> tuple[dict[str, Any], list[FieldError]]:
        """Return the values of the columns beyond the first, by field of a link, and all errors."""
        fields: dict[str, Any] = {}
        errors: list[FieldError] = []
        for column, text in texts.items():
            if column == "tags":
                fields["tags"] = tags_of(text, self._separators)
            elif column in _READ:
                try:
                    fields[column] = _READ[column](text)
                except ValueError as error:
                    errors.append(FieldError(column, str(error)))
        fields.pop("password", None)
        for column, field in (("active", "paused"), ("crawlable", "noindex")):
            if (value := fields.pop(column, None)) is not None:
                fields[field] = bool(fields.get(field)) or not value
        if (password := fields.pop("password_hash", None)) is not None:
            fields["password"] = password
        if utm := {name.removeprefix("utm_"): texts[name] for name in _UTM if name in texts}:
            fields["utm"] = Utm(**utm)
        if fields.get("click_limit", 0) is None:
            del fields["click_limit"]
        return fields, errors


def _require_unicode(texts: Mapping[str, str]) -> None:
    for column, text in texts.items():
        if text.isascii():
            continue
        if "\ufffd" in text:
            raise RowError(f"{column} has U+FFFD, which stands for a character that was lost")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise RowError("must be valid UTF-8") from None
