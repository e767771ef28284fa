"""New texts: how many texts that no click had before one profile's visitors may bring.

A text of a request (user agent, referrer, language, UTM parameters, host, own event) costs little where it is
known, and up to 50 µs where it is new: it is parsed, hashed, and a user agent is stored. Real visitors' texts
repeat. Somebody who makes them up could take the workers' time from all profiles, so beyond NEW_TEXTS, and
NEW_TEXTS_PER_S from then on, a profile's new texts of a kind are replaced by ones that many share, before
they are hashed or stored:

| text | counted instead |
|---|---|
| user agent | browser and system `(other)`, device `other` |
| origin of the referrer | `(other)`; the raw click keeps the referrer |
| language | the first language, as always; its region is not kept |
| UTM parameters, host | `(other)` for each that is there |
| name and properties of an own event | `(other)` for the name, and once for all new properties |
"""

from collections import Counter, OrderedDict
from typing import Final

from engine.clicks.dimension import OTHER
from engine.clicks.dimension_values import language as language_of
from engine.clicks.dimension_values import text as decoded
from engine.clicks.own_event import MARK, event_items, text_of_items
from engine.clicks.record_items import EVENT, HOST, LAST_EVENT, UTM, item, items
from engine.clicks.utm import NAMES

NEW_TEXTS: Final = 2_000
NEW_TEXTS_PER_S: Final = 100
MAX_PROFILES: Final = 65_536
MAX_KNOWN: Final = 65_536

OTHER_TEXT: Final = OTHER.encode()
_MARK: Final = MARK.encode()
# Kinds beside the tags of items, which no item has.
_ORIGIN: Final = 0
_AGENT: Final = 254
_LANGUAGE: Final = 255
KINDS: Final = ("user_agent", "referrer", "language", "utm", "host", "event")


class NewTexts:
    """The new texts that profiles may still bring, and how many were replaced. Set `now_s` before each fold."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.replaced: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self._left: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._known: set[bytes] = (
            set()
        )  # tag and bytes of UTM parameters, hosts and origins of referrers

    def allows(self, profile: bytes, kind: int = _ORIGIN) -> bool:
        """Return whether the profile may bring one more new text of a kind, and note it. Made-up texts of one
        kind leave those of the others alone."""
        profile += bytes((kind,))
        budget = self._left.get(profile)
        if budget is None:
            if len(self._left) >= MAX_PROFILES:
                self._left.popitem(last=False)
            budget = (NEW_TEXTS, self.now_s)
        left, since_s = budget
        left = min(NEW_TEXTS, left + (self.now_s - since_s) * NEW_TEXTS_PER_S)
        is_allowed = left >= 1
        self._left[profile] = (left - is_allowed, self.now_s)
        return is_allowed

    def agent(self, profile: bytes, agent: bytes) -> bytes:
        """Return a user agent that is not known, or what is counted instead."""
        if self.allows(profile, _AGENT):
            return agent
        self.replaced["user_agent"] += 1
        return OTHER_TEXT

    def referrer(self, profile: bytes, referrer: bytes) -> bytes:
        """Return a referrer that is not known, or what is counted instead. One of a known origin costs little,
        and is kept."""
        origin = b"/".join(referrer.split(b"/", 3)[:3])
        if self._is_known(profile, _ORIGIN, origin):
            return referrer
        self.replaced["referrer"] += 1
        return OTHER_TEXT

    def language(self, profile: bytes, language: bytes) -> bytes:
        """Return an Accept-Language that is not known, or what is counted instead."""
        if self.allows(profile, _LANGUAGE):
            return language
        self.replaced["language"] += 1
        return language_of(decoded(language)).encode()

    def items(self, profile: bytes, packed: bytes) -> bytes:
        """Return items that are not known as a whole, with what is counted instead of their new texts.

        The others are not visitors' texts: places are from a file, exposures from experiments.
        """
        data_by_tag = items(packed)
        host, utm = data_by_tag.get(HOST, b""), data_by_tag.get(UTM, b"")
        replaced = {}
        if host and not self._is_known(profile, HOST, host):
            self.replaced["host"] += 1
            replaced[HOST] = OTHER_TEXT
        if utm and not self._is_known(profile, UTM, utm):
            self.replaced["utm"] += 1
            replaced[UTM] = _other_parameters(utm)
        event = text_of_items(data_by_tag)
        counted_event = self._event(profile, event) if event else b""
        if not replaced and counted_event == event:
            return packed
        kept = {tag: data for tag, data in data_by_tag.items() if not EVENT <= tag <= LAST_EVENT}
        others = b"".join([item(tag, data) for tag, data in (kept | replaced).items()])
        return others + event_items(counted_event)

    def _event(self, profile: bytes, text: bytes) -> bytes:
        """Return the text of an own event with what is counted instead of its new name and properties."""
        parts = text.split(_MARK)
        known = [self._is_known(profile, EVENT, part) for part in parts]
        if all(known):
            return text
        self.replaced["event"] += 1
        name, *properties = (
            part if is_known else OTHER_TEXT for part, is_known in zip(parts, known, strict=True)
        )
        return _MARK.join((name, *dict.fromkeys(properties)))

    def _is_known(self, profile: bytes, tag: int, data: bytes) -> bool:
        key = bytes((tag,)) + data
        if key in self._known:
            return True
        if not self.allows(profile, tag):
            return False
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(key)
        return True


_NAMES: Final = tuple(f"utm_{name}".encode() for name in NAMES)


def _other_parameters(query: bytes) -> bytes:
    """Return the query with `(other)` as the value of each UTM parameter that it has."""
    names = {part.partition(b"=")[0].lower() for part in query.split(b"&")}
    return b"&".join([name + b"=" + OTHER_TEXT for name in _NAMES if name in names])
