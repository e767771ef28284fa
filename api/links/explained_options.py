"""Effects of a link's options on its visits, each in a sentence."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from api.http.bodies import utc
from engine.common.json_forms import time_text
from engine.links.link import Link, LinkDraft


class OptionEffect(msgspec.Struct, frozen=True):
    """An option that a link has, by its field, and its effect."""

    option: str
    effect: str


def effects_of(link: Link) -> list[OptionEffect]:
    """Return the effects of the options that the link has."""
    return [
        OptionEffect(name, effect(link))
        for name, effect in EFFECTS.items()
        if getattr(link, name) != _DEFAULTS[name]
    ]


def _time(at: datetime | None) -> str:
    return "" if at is None else time_text(utc(at))


def _utm(link: Link) -> str:
    fields = {} if link.utm is None else msgspec.structs.asdict(link.utm)
    parameters = ", ".join(f"utm_{name}={text}" for name, text in fields.items() if text)
    return f"{parameters} is added to targets that do not have it."


# By field. All other fields of a link are labels: no visit depends on them.
EFFECTS: Final[Mapping[str, Callable[[Link], str]]] = {
    "paused": lambda _: "Visitors are led to the fallback target, or get 404.",
    "paused_reason": lambda link: f"Members read why it is paused: {link.paused_reason}",
    "quarantined": lambda _: "Visitors get a page that warns them, and may go on from it.",
    "quarantine_reason": lambda link: (
        f"Members read why it is quarantined: {link.quarantine_reason}"
    ),
    "active_from": lambda link: (
        f"Before {_time(link.active_from)} visitors are led to the fallback target, or get 404."
    ),
    "active_until": lambda link: (
        f"From {_time(link.active_until)} on visitors are led to the fallback target, or get 410."
    ),
    "click_limit": lambda link: (
        f"{link.click_limit:,} visits pass, over all edges; later ones are led to the fallback target, or "
        "get 410. How many have passed is not considered here."
    ),
    "fallback_target": lambda _: "Visitors are led there while the link is closed.",
    "password": lambda _: "Visitors are asked for a password before they pass.",
    "web_target": lambda _: "Visitors who are on no phone or tablet are led there.",
    "extra_path": lambda _: (
        "Names behind the link's address go on behind its target, or fill its arguments."
    ),
    "rules": lambda link: (
        f"The first of {len(link.rules)} rules that a visit meets chooses the target."
    ),
    "utm": _utm,
    "passthrough": lambda _: (
        "The visitor's parameters are added to the target's, and replace those of equal names."
    ),
    "click_id": lambda _: "A click id, wp_click, is added to http and https targets.",
    "preview": lambda _: "Previews of messengers get its card instead of a redirect.",
    "noindex": lambda _: "Search engines are asked not to list it.",
    "status": lambda link: f"Visitors are redirected with {link.status}.",
}
_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(LinkDraft)}
