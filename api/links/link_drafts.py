"""Drafts of links from the bodies of requests."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from api.http.bodies import Validator, draft_of
from engine.common.errors import FieldError, InvalidError
from engine.links.link import MAX_PASSWORD_CHARS, Link, LinkDraft
from engine.links.targets.target_policy import (
    TargetPolicy,
    blocked_fields,
    targets_of,
    with_suspicion,
)

FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(LinkDraft))
HashPassword = Callable[[str], Awaitable[str]]


class LinkDrafts:
    """Maker of drafts. `validate` validates them; `hash_password` computes what is kept of a password;
    `policy` returns where links may lead."""

    def __init__(
        self,
        validate: Validator[LinkDraft],
        hash_password: HashPassword,
        policy: Callable[[], TargetPolicy],
    ) -> None:
        self._validate = validate
        self._hash_password = hash_password
        self.policy = policy

    async def with_hash(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields with the hash of their password in its place. Raises InvalidError for a bad one,
        and UnavailableError when too many are being hashed."""
        password = fields.get("password")
        if not isinstance(password, str):
            return dict(fields)
        if not 1 <= len(password) <= MAX_PASSWORD_CHARS:
            reason = f"must have 1 to {MAX_PASSWORD_CHARS} characters, or be null"
            raise InvalidError([FieldError("password", reason)])
        return {**fields, "password": await self._hash_password(password)}

    def draft(self, fields: Mapping[str, Any], stored: Link | None = None) -> LinkDraft:
        """Return the draft of fields that with_hash() returned; those left out are as stored. Raises
        InvalidError with every bad field."""
        base = {} if stored is None else {name: getattr(stored, name) for name in FIELDS}
        draft = draft_of(LinkDraft, fields, self._validate, base)
        known = frozenset[str]() if stored is None else targets_of(stored, stored.target)
        policy = self.policy()
        errors = blocked_fields(draft, draft.target, known, policy)
        if errors:
            raise InvalidError(errors)
        return with_suspicion(draft, policy)
