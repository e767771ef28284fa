"""Rules of blocks: what may stand in the fields of each kind."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from engine.common.errors import FieldError
from engine.common.text_rules import text_errors
from engine.links import target
from engine.pages import blocks as b
from engine.pages.services import SERVICES, service_of

_ASSET_ID: Final = re.compile("[A-Za-z0-9_-]{8,64}")
_LINK_ID: Final = re.compile("[1-9][0-9]{0,18}")
_PRICE: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")
_CURRENCY: Final = re.compile("[A-Z]{3}")
MAX_LINK_ID: Final = 2**63 - 1

Changes = dict[str, Any]
Rule = Callable[["BlockRules", Any, str], tuple[Changes, list[FieldError]]]


def lines_errors(text: str, field: str, max_chars: int) -> list[FieldError]:
    """Return the errors of a text that may have several lines."""
    if len(text) > max_chars:
        return [FieldError(field, f"must have at most {max_chars:,} characters")]
    errors: list[FieldError] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        errors += text_errors(line.replace("\t", " "), field, max_chars)
    return list(dict.fromkeys(errors))


def _required_text(text: str, field: str, max_chars: int) -> list[FieldError]:
    if not text.strip():
        return [FieldError(field, "must not be empty")]
    return lines_errors(text, field, max_chars)


class BlockRules:
    """Checks blocks. `private_hosts`: whether URLs may name hosts off the public internet; `sends_mail`:
    whether the engine has a mail server."""

    def __init__(self, private_hosts: bool, *, sends_mail: bool = False) -> None:
        self._private_hosts = private_hosts
        self.sends_mail = sends_mail

    def normalised(self, block: b.Block, field: str) -> tuple[b.Block, list[FieldError]]:
        """Return a block with its URLs normalised, and its errors, each named by `field` and its own name."""
        errors = _time_errors(block, field)
        for name, max_chars in _LINE_LIMITS.items():
            text = getattr(block, name, "")
            if isinstance(text, str):
                errors += text_errors(text, f"{field}.{name}", max_chars)
        errors += self.asset_errors(getattr(block, "picture", ""), f"{field}.picture")
        changes, own_errors = _RULES[type(block)](self, block, field)
        errors += own_errors
        return msgspec.structs.replace(block, **changes), list(dict.fromkeys(errors))

    def asset_errors(self, asset: str, field: str) -> list[FieldError]:
        """Return the errors of an asset's id; empty is allowed. Whether there is one, the store knows."""
        if not asset or _ASSET_ID.fullmatch(asset):
            return []
        return [FieldError(field, "must be the id of an asset of the profile, or empty")]

    def social_items(
        self, items: tuple[b.SocialItem, ...], field: str, at_least: int = 1
    ) -> tuple[tuple[b.SocialItem, ...], list[FieldError]]:
        """Return the accounts with normalised URLs and the services that these belong to, and all errors."""
        if not at_least <= len(items) <= b.MAX_SOCIAL_ITEMS:
            reason = f"must have {at_least} to {b.MAX_SOCIAL_ITEMS} items"
            return items, [FieldError(field, reason)]
        normalised, errors = [], []
        for number, item in enumerate(items):
            path = f"{field}[{number}]"
            url, url_errors = self.checked_url(item.url, f"{path}.url", contacts=True)
            errors += url_errors
            service = item.service.lower() or service_of(url)
            if service not in SERVICES:
                reason = f"must be empty or one of {', '.join(SERVICES)}"
                errors.append(FieldError(f"{path}.service", reason))
            normalised.append(b.SocialItem(url=url, service=service))
        return tuple(normalised), errors

    def checked_url(
        self, url: str, field: str, *, contacts: bool = False
    ) -> tuple[str, list[FieldError]]:
        """Return a URL as browsers parse it, and its errors. `contacts`: mailto and tel are allowed too."""
        scheme = url.strip(" ").partition(":")[0].lower()
        kind: target.TargetKind = "url"
        if contacts and scheme in ("mailto", "tel"):
            kind = "mailto" if scheme == "mailto" else "tel"
        try:
            checked = target.check(
                url, kind, private_hosts=self._private_hosts, max_chars=target.MAX_URL_CHARS
            )
            return checked, []
        except target.TargetError as error:
            return url, [FieldError(field, str(error))]

    def link_or_url(
        self, block: b.PlayableBlock | b.ProductBlock, field: str
    ) -> tuple[Changes, list[FieldError]]:
        """Return the normalised URL of a block that leads to a link or to a URL, and its errors."""
        if bool(block.link_id) == bool(block.url):
            return {}, [
                FieldError(f"{field}.url", "must be given without link_id, or link_id without it")
            ]
        if block.link_id:
            return {}, link_id_errors(block.link_id, f"{field}.link_id")
        url, errors = self.checked_url(block.url, f"{field}.url")
        return {"url": url}, errors


def link_id_errors(link_id: str, field: str) -> list[FieldError]:
    """Return the errors of a link's id. Whether there is one, the store knows."""
    if _LINK_ID.fullmatch(link_id) and int(link_id) <= MAX_LINK_ID:
        return []
    return [FieldError(field, "must be the id of a link of the profile")]


def _time_errors(block: b.BlockBase, field: str) -> list[FieldError]:
    since, until = block.shown_from, block.shown_until
    errors = [
        FieldError(f"{field}.{name}", "must have an offset, such as 2026-05-01T10:00:00Z")
        for name, time in (("from", since), ("until", until))
        if time is not None and time.tzinfo is None
    ]
    if not errors and since is not None and until is not None and until <= since:
        errors.append(FieldError(f"{field}.until", "must be after from"))
    return errors


def _zone_errors(zone: str, field: str) -> list[FieldError]:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return [FieldError(f"{field}.zone", "must be a zone such as Europe/Rome")]
    return []


def _moment_errors(time: datetime, field: str) -> list[FieldError]:
    if time.tzinfo is None:
        return [FieldError(field, "must have an offset, such as 2026-05-01T10:00:00Z")]
    return []


def _link(_: BlockRules, block: b.LinkBlock, field: str) -> tuple[Changes, list[FieldError]]:
    errors = link_id_errors(block.link_id, f"{field}.link_id")
    errors += text_errors(block.badge, f"{field}.badge", b.MAX_BADGE_CHARS)
    if block.style not in b.LINK_STYLES:
        errors.append(FieldError(f"{field}.style", f"must be one of {', '.join(b.LINK_STYLES)}"))
    if block.style in ("picture", "featured") and not block.picture:
        errors.append(FieldError(f"{field}.picture", f"must be given for the style {block.style}"))
    return {}, errors


def _heading(_: BlockRules, block: b.HeadingBlock, field: str) -> tuple[Changes, list[FieldError]]:
    errors = _required_text(block.text, f"{field}.text", b.MAX_HEADING_CHARS)
    return {}, errors or text_errors(block.text, f"{field}.text", b.MAX_HEADING_CHARS)


def _text(_: BlockRules, block: b.TextBlock, field: str) -> tuple[Changes, list[FieldError]]:
    return {}, _required_text(block.text, f"{field}.text", b.MAX_TEXT_CHARS)


def _image(rules: BlockRules, block: b.ImageBlock, field: str) -> tuple[Changes, list[FieldError]]:
    errors = link_id_errors(block.link_id, f"{field}.link_id") if block.link_id else []
    if not block.picture:
        errors.append(FieldError(f"{field}.picture", "must be the id of an asset of the profile"))
    return {}, errors


def _gallery(
    rules: BlockRules, block: b.GalleryBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    path = f"{field}.pictures"
    if not b.MIN_GALLERY_PICTURES <= len(block.pictures) <= b.MAX_GALLERY_PICTURES:
        return {}, [FieldError(path, "must have 2 to 6 pictures")]
    errors = []
    for number, picture in enumerate(block.pictures):
        item = f"{path}[{number}]"
        errors += text_errors(picture.alt, f"{item}.alt", b.MAX_ALT_CHARS)
        errors += rules.asset_errors(picture.picture, f"{item}.picture")
        if not picture.picture:
            errors.append(FieldError(f"{item}.picture", "must be the id of an asset"))
    return {}, errors


def _social(
    rules: BlockRules, block: b.SocialBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    items, errors = rules.social_items(block.items, f"{field}.items")
    return {"items": items}, errors


def _repository(
    _: BlockRules, block: b.RepositoryBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    return {}, link_id_errors(block.link_id, f"{field}.link_id")


def _playable(
    rules: BlockRules, block: b.PlayableBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    changes, errors = rules.link_or_url(block, field)
    errors += _required_text(block.title, f"{field}.title", b.MAX_TITLE_CHARS)
    if not 0 <= block.duration_s <= b.MAX_DURATION_S:
        errors.append(FieldError(f"{field}.duration_s", f"must be 0 to {b.MAX_DURATION_S:,}"))
    return changes, errors


def _contact(
    rules: BlockRules, block: b.ContactBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    errors = _required_text(block.name, f"{field}.name", b.MAX_CONTACT_CHARS)
    errors += text_errors(block.organisation, f"{field}.organisation", b.MAX_CONTACT_CHARS)
    for name, scheme in (("email", "mailto"), ("phone", "tel")):
        address = getattr(block, name)
        if not address:
            continue
        compact = address if name == "email" else re.sub(r"[ /]", "", address)
        _, bad = rules.checked_url(f"{scheme}:{compact}", "", contacts=True)
        limit = b.MAX_CONTACT_CHARS if name == "email" else 32
        if bad or len(address) > limit or "?" in address:
            example = "ada@example.com" if name == "email" else "+39 0171 000 000"
            errors.append(FieldError(f"{field}.{name}", f"must be an address such as {example}"))
    if not block.email and not block.phone:
        errors.append(FieldError(f"{field}.email", "must be given if there is no phone"))
    return {}, errors


def _event(_: BlockRules, block: b.EventBlock, field: str) -> tuple[Changes, list[FieldError]]:
    errors = _required_text(block.title, f"{field}.title", b.MAX_TITLE_CHARS)
    errors += text_errors(block.place, f"{field}.place", b.MAX_PLACE_CHARS)
    errors += _zone_errors(block.zone, field)
    time_errors = _moment_errors(block.starts_at, f"{field}.starts_at")
    if block.ends_at is not None:
        time_errors += _moment_errors(block.ends_at, f"{field}.ends_at")
        if not time_errors and block.ends_at <= block.starts_at:
            time_errors.append(FieldError(f"{field}.ends_at", "must be after starts_at"))
    return {}, errors + time_errors


def _until(_: BlockRules, block: b.UntilBlock, field: str) -> tuple[Changes, list[FieldError]]:
    errors = _required_text(block.text, f"{field}.text", b.MAX_LINE_CHARS)
    errors += _moment_errors(block.ends_at, f"{field}.ends_at")
    return {}, errors + _zone_errors(block.zone, field)


def _divider(_: BlockRules, block: b.DividerBlock, field: str) -> tuple[Changes, list[FieldError]]:
    return {}, []


def _product(
    rules: BlockRules, block: b.ProductBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    changes, errors = rules.link_or_url(block, field)
    errors += _required_text(block.title, f"{field}.title", b.MAX_TITLE_CHARS)
    if block.price and _PRICE.fullmatch(block.price) is None:
        errors.append(FieldError(f"{field}.price", "must be an amount such as 4.50, or empty"))
    if block.currency and _CURRENCY.fullmatch(block.currency) is None:
        errors.append(FieldError(f"{field}.currency", "must be a code such as EUR (ISO 4217)"))
    if bool(block.price) != bool(block.currency):
        reason = "must be given with price, or both left out"
        errors.append(FieldError(f"{field}.currency", reason))
    return changes, errors


def _faq(_: BlockRules, block: b.FaqBlock, field: str) -> tuple[Changes, list[FieldError]]:
    path = f"{field}.questions"
    if not 1 <= len(block.questions) <= b.MAX_QUESTIONS:
        return {}, [FieldError(path, f"must have 1 to {b.MAX_QUESTIONS} questions")]
    errors = []
    for number, item in enumerate(block.questions):
        name = f"{path}[{number}]"
        errors += text_errors(item.question, f"{name}.question", b.MAX_QUESTION_CHARS)
        errors += _required_text(item.question, f"{name}.question", b.MAX_QUESTION_CHARS)
        errors += _required_text(item.answer, f"{name}.answer", b.MAX_ANSWER_CHARS)
    return {}, errors


def _qr(_: BlockRules, block: b.QrBlock, field: str) -> tuple[Changes, list[FieldError]]:
    return {}, []


def _email_form(
    rules: BlockRules, block: b.EmailFormBlock, field: str
) -> tuple[Changes, list[FieldError]]:
    errors = _required_text(block.title, f"{field}.title", b.MAX_TITLE_CHARS)
    errors += text_errors(block.button, f"{field}.button", b.MAX_BUTTON_CHARS)
    if block.double_opt_in and not rules.sends_mail:
        reason = (
            "must be false, as this engine sends no mail: its operator has not set WAYPOST_SMTP_URL"
        )
        errors.append(FieldError(f"{field}.double_opt_in", reason))
    return {}, errors + text_errors(block.consent, f"{field}.consent", b.MAX_LINE_CHARS)


# Fields that mean the same in every kind that has them.
_LINE_LIMITS: Final = {
    "title": b.MAX_TITLE_CHARS,
    "line": b.MAX_LINE_CHARS,
    "caption": b.MAX_LINE_CHARS,
    "alt": b.MAX_ALT_CHARS,
}
_RULES: Final[Mapping[type[b.BlockBase], Rule]] = {
    b.LinkBlock: _link,
    b.HeadingBlock: _heading,
    b.TextBlock: _text,
    b.ImageBlock: _image,
    b.GalleryBlock: _gallery,
    b.SocialBlock: _social,
    b.RepositoryBlock: _repository,
    b.VideoBlock: _playable,
    b.AudioBlock: _playable,
    b.ContactBlock: _contact,
    b.EventBlock: _event,
    b.UntilBlock: _until,
    b.DividerBlock: _divider,
    b.ProductBlock: _product,
    b.FaqBlock: _faq,
    b.QrBlock: _qr,
    b.EmailFormBlock: _email_form,
}
