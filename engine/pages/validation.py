"""Validation of a page: what may stand in its fields and blocks, each error named by block and field."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from engine.common.errors import FieldError
from engine.common.text_rules import text_errors
from engine.pages.block_rules import BlockRules, lines_errors
from engine.pages.blocks import (
    LINK_STYLES,
    MAX_ALT_CHARS,
    MAX_BADGE_CHARS,
    MAX_LINE_CHARS,
    MAX_TEXT_CHARS,
    MAX_TITLE_CHARS,
    Block,
    LinkBlock,
)
from engine.pages.draft_parser import MAX_ERRORS, DraftParser
from engine.pages.page import (
    MAX_BIO_CHARS,
    MAX_BLOCKS,
    MAX_NAME_CHARS,
    MAX_SHARING_TEXT_CHARS,
    MAX_SHARING_TITLE_CHARS,
    MAX_TRANSLATIONS,
    BlockChange,
    ProfilePage,
    Sharing,
    Translation,
)

_COLOUR: Final = re.compile("#[0-9a-f]{6}")
_LANGUAGE: Final = re.compile("[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}", re.IGNORECASE)
_BLOCK_ID: Final = re.compile("[a-z0-9][a-z0-9-]{0,31}")
MAX_POSITION: Final = MAX_BLOCKS - 1


def parse_page(
    body: Any, *, private_hosts: bool = True, sends_mail: bool = False
) -> tuple[ProfilePage | None, list[FieldError]]:
    """Return the page of a request's JSON, normalised, or None and all errors: wrong types and broken rules.

    `private_hosts`: whether URLs may name hosts off the public internet; `sends_mail`: whether forms may have
    addresses confirmed by mail.
    """
    parser = DraftParser()
    draft = parser.struct(body, ProfilePage, "")
    if draft is None:
        return None, parser.errors
    page, errors = validate_page(draft, private_hosts=private_hosts, sends_mail=sends_mail)
    errors = parser.errors + [error for error in errors if not _within(error.field, parser.bad)]
    return (None, errors[:MAX_ERRORS]) if errors else (page, [])


def validate_page(
    draft: ProfilePage, *, private_hosts: bool = True, sends_mail: bool = False
) -> tuple[ProfilePage | None, list[FieldError]]:
    """Return the draft normalised (ids of blocks, URLs, colours, services), or None and all errors."""
    rules = BlockRules(private_hosts, sends_mail=sends_mail)
    blocks, id_errors = with_ids(draft.blocks)
    errors = _page_errors(draft) + id_errors
    errors += _sharing_errors(draft.sharing, rules)
    errors += rules.asset_errors(draft.picture, "picture")
    social, social_errors = rules.social_items(draft.social, "social", at_least=0)
    errors += social_errors
    accepted = []
    for number, block in enumerate(blocks[:MAX_BLOCKS]):
        normalised, block_errors = rules.normalised(block, f"blocks[{number}]")
        accepted.append(normalised)
        errors += block_errors
    ids = {block.id: block for block in accepted}
    for number, translation in enumerate(draft.translations[:MAX_TRANSLATIONS]):
        errors += _translation_errors(translation, ids, f"translations[{number}]", rules)
    if errors:
        return None, errors
    return msgspec.structs.replace(
        draft,
        accent=draft.accent.lower(),
        background=draft.background.lower(),
        social=social,
        blocks=tuple(accepted),
    ), []


def with_ids(blocks: tuple[Block, ...]) -> tuple[tuple[Block, ...], list[FieldError]]:
    """Return the blocks, each with an id, and the errors of ids: malformed ones and those that come twice."""
    errors, taken = [], set()
    for number, block in enumerate(blocks):
        if not block.id:
            continue
        if _BLOCK_ID.fullmatch(block.id) is None:
            reason = "must have 1 to 32 of a-z, 0-9 and '-', and not begin with '-'"
            errors.append(FieldError(f"blocks[{number}].id", reason))
        elif block.id in taken:
            errors.append(FieldError(f"blocks[{number}].id", "must not be that of another block"))
        taken.add(block.id)
    free = (f"b{n}" for n in range(1, 2 * len(blocks) + 2) if f"b{n}" not in taken)
    return tuple(
        block if block.id else msgspec.structs.replace(block, id=next(free)) for block in blocks
    ), errors


def validate_block_changes(
    changes: Iterable[BlockChange],
    page: ProfilePage,
    field: str,
    *,
    private_hosts: bool = True,
) -> list[FieldError]:
    """Return the errors of changes that a variant or translation makes to the page's blocks."""
    ids = {block.id: block for block in page.blocks}
    return _change_errors(changes, ids, field, BlockRules(private_hosts))


def _page_errors(draft: ProfilePage) -> list[FieldError]:
    errors = text_errors(draft.name, "name", MAX_NAME_CHARS)
    errors += lines_errors(draft.bio, "bio", MAX_BIO_CHARS)
    errors += text_errors(draft.picture_alt, "picture_alt", MAX_ALT_CHARS)
    for field, colour in (("accent", draft.accent), ("background", draft.background)):
        if colour and _COLOUR.fullmatch(colour.lower()) is None:
            errors.append(FieldError(field, "must be a colour such as #2f6b45, or empty"))
    errors += _language_errors(draft.language, "language")
    if len(draft.blocks) > MAX_BLOCKS:
        errors.append(FieldError("blocks", f"must have at most {MAX_BLOCKS} blocks"))
    if len(draft.translations) > MAX_TRANSLATIONS:
        reason = f"must have at most {MAX_TRANSLATIONS} translations"
        errors.append(FieldError("translations", reason))
    languages = [draft.language, *(translation.language for translation in draft.translations)]
    if len({language.lower() for language in languages}) < len(languages):
        errors.append(FieldError("translations", "must have a language of its own each"))
    return errors


def _language_errors(language: str, field: str) -> list[FieldError]:
    if _LANGUAGE.fullmatch(language):
        return []
    return [FieldError(field, "must be a language such as en or pt-BR")]


def _sharing_errors(sharing: Sharing, rules: BlockRules) -> list[FieldError]:
    errors = text_errors(sharing.title, "sharing.title", MAX_SHARING_TITLE_CHARS)
    errors += text_errors(sharing.text, "sharing.text", MAX_SHARING_TEXT_CHARS)
    return errors + rules.asset_errors(sharing.picture, "sharing.picture")


def _translation_errors(
    translation: Translation, ids: Mapping[str, Block], field: str, rules: BlockRules
) -> list[FieldError]:
    errors = _language_errors(translation.language, f"{field}.language")
    errors += text_errors(translation.name, f"{field}.name", MAX_NAME_CHARS)
    errors += lines_errors(translation.bio, f"{field}.bio", MAX_BIO_CHARS)
    return errors + _change_errors(translation.blocks, ids, f"{field}.blocks", rules)


def _change_errors(
    changes: Iterable[BlockChange], ids: Mapping[str, Block], field: str, rules: BlockRules
) -> list[FieldError]:
    errors = []
    for number, change in enumerate(changes):
        path = f"{field}[{number}]"
        if number >= MAX_BLOCKS:
            errors.append(FieldError(field, f"must have at most {MAX_BLOCKS} changes"))
            break
        if change.block not in ids:
            errors.append(FieldError(f"{path}.block", "must be the id of a block of the page"))
            continue
        block = ids[change.block]
        for name in _CHANGEABLE:
            if getattr(change, name) is not None and not hasattr(block, name):
                reason = f"is not a field of a {type(block).__struct_config__.tag} block"
                errors.append(FieldError(f"{path}.{name}", reason))
        errors += _value_errors(change, path, rules)
        if change.style not in (None, *LINK_STYLES) and isinstance(block, LinkBlock):
            reason = f"must be one of {', '.join(LINK_STYLES)}"
            errors.append(FieldError(f"{path}.style", reason))
    return errors


_CHANGEABLE: Final = ("title", "line", "text", "caption", "badge", "picture", "style")
_LIMITS: Final = {
    "title": MAX_TITLE_CHARS,
    "line": MAX_LINE_CHARS,
    "caption": MAX_LINE_CHARS,
    "badge": MAX_BADGE_CHARS,
}


def _value_errors(change: BlockChange, path: str, rules: BlockRules) -> list[FieldError]:
    errors = []
    for name, limit in _LIMITS.items():
        errors += text_errors(getattr(change, name) or "", f"{path}.{name}", limit)
    errors += lines_errors(change.text or "", f"{path}.text", MAX_TEXT_CHARS)
    errors += rules.asset_errors(change.picture or "", f"{path}.picture")
    if change.position is not None and not 0 <= change.position <= MAX_POSITION:
        errors.append(FieldError(f"{path}.position", f"must be 0 to {MAX_POSITION}"))
    return errors


def _within(field: str, bad: set[str]) -> bool:
    """Return whether a field, or one that it is part of, has a stand-in."""
    return any(field == path or field.startswith((f"{path}.", f"{path}[")) for path in bad)
