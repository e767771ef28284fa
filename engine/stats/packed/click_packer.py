"""Packing of clicks: from the texts of their records to the columns of engine/stats/packed/packed_clicks.py.

A text's values are looked up once in a process's life, so a click costs five look-ups in dictionaries of its
profile and day, about 1 µs.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

from engine.clicks import dimension_values
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.click import MAX_ITEMS_BYTES
from engine.clicks.day_rows import ClickHead, DayRows, RecordTexts
from engine.clicks.record_items import Trigger, unpack_variant_refs
from engine.clicks.record_layout import NO_VISITOR
from engine.stats.dimension_counts import KINDS, variant
from engine.stats.packed.packed_clicks import (
    COUNTED_AS,
    VALUE_MARK,
    PackedClicks,
    pack_links,
    pack_one_link,
    pack_one_quarter,
    pack_one_text,
    pack_pseudonyms,
    pack_quarters,
    pack_texts,
)

MAX_TEXTS: Final = 65_536  # of each kind, kept for the next clicks
T = TypeVar("T")


class _ItemValues(NamedTuple):
    place: str
    campaign: str
    trigger: str
    source: str
    variants: str
    event: str


class ValueTexts:
    """The values of texts of records, as packed columns have them, kept from fold to fold and bounded."""

    def __init__(self) -> None:
        agents.load()
        self._agents: dict[bytes, tuple[str, str]] = {}
        self._referrers: dict[bytes, tuple[str, str]] = {}
        self._languages: dict[bytes, str] = {}
        self._items: dict[bytes, _ItemValues] = {}

    def agent(self, data: bytes) -> tuple[str, str]:
        """Return the values of `agents`, and the source that the agent's app names or ''."""
        return _kept(self._agents, data, _agent)

    def referrer(self, data: bytes) -> tuple[str, str]:
        """Return the host, and the source that it names or ''."""
        return _kept(self._referrers, data, _referrer)

    def language(self, data: bytes) -> str:
        return _kept(self._languages, data, _language)

    def items(self, data: bytes) -> _ItemValues:
        values = self._items.get(data)
        if values is None:
            values = _item_values(data)
            if len(data) <= MAX_ITEMS_BYTES:  # large own events are seldom the same twice
                _keep(self._items, data, values)
        return values


def _kept(table: dict[bytes, T], data: bytes, read: Callable[[bytes], T]) -> T:
    values = table.get(data)
    if values is None:
        values = read(data)
        _keep(table, data, values)
    return values


def _keep(table: dict[bytes, T], data: bytes, values: T) -> None:
    if len(table) >= MAX_TEXTS:
        table.clear()
    table[data] = values


def _agent(data: bytes) -> tuple[str, str]:
    agent = agents.parse(dimension_values.text(data))
    return joined((agent.browser, agent.os, agent.device)), agent.app


def _referrer(data: bytes) -> tuple[str, str]:
    host = referrers.referrer_host(dimension_values.text(data))
    return joined((host,)), referrers.source_of_host(host)


def _language(data: bytes) -> str:
    return joined((dimension_values.language(dimension_values.text(data)),))


def _item_values(data: bytes) -> _ItemValues:
    parsed = dimension_values.parse_items(data)
    refs = [*unpack_variant_refs(parsed.exposures), *unpack_variant_refs(parsed.outcomes)]
    return _ItemValues(
        joined(parsed.place),
        joined((*parsed.utm, parsed.domain)),
        dimension_values.TRIGGERS[Trigger(parsed.trigger)],
        referrers.source_of_utm(parsed.utm.source),
        joined({variant(ref): None for ref in refs}),
        parsed.event,
    )


_MARKS: Final = str.maketrans({"\x1e": " ", "\x1f": " "})


def joined(values: "Sequence[str] | dict[str, None]") -> str:
    """Return the values of a column's dimensions as one text. A mark inside a value becomes a blank."""
    return VALUE_MARK.join([value.translate(_MARKS) for value in values])


def pack_day(day: DayRows, texts: ValueTexts) -> PackedClicks:
    """Return the packed clicks of a profile's UTC day. Its rows must not be empty."""
    if len(day.rows) == 1:
        return pack_one(day.heads[day.rows[0][0]], day.rows[0], texts)
    return pack_many(day, texts)


def pack_many(day: DayRows, texts: ValueTexts) -> PackedClicks:
    """Pack any number of clicks, as pack_day() says."""
    heads, rows = day.heads, day.rows
    if any(heads[first[0]].quarter > heads[then[0]].quarter for first, then in pairwise(rows)):
        rows = sorted(rows, key=lambda row: heads[row[0]].quarter)
    numbers, agents_, referrers_, languages, visitor_ids, items = zip(*rows, strict=True)
    agent_values, agent_codes = _encoded(agents_, texts.agent)
    referrer_values, referrer_codes = _encoded(referrers_, texts.referrer)
    language_values, language_codes = _encoded(languages, texts.language)
    item_values, item_codes = _encoded(items, texts.items)
    sources = [
        referrer_values[referrer][1] or agent_values[agent][1] or item_values[item].source
        for referrer, agent, item in zip(referrer_codes, agent_codes, item_codes, strict=True)
    ]
    kinds = [
        (item_values[item].trigger, heads[number].visitor_class, heads[number].counted_as)
        for item, number in zip(item_codes, numbers, strict=True)
    ]
    kind_values, kind_codes = distinct(kinds)
    return PackedClicks(
        len(rows),
        pack_quarters([heads[number].quarter for number in numbers]),
        pack_links(*distinct([heads[number].link_id for number in numbers])),
        {
            "agents": _column([values for values, _ in agent_values], agent_codes),
            "referrers": _column([host for host, _ in referrer_values], referrer_codes),
            "sources": pack_texts(*distinct(sources)),
            "languages": _column(language_values, language_codes),
            "places": _column([values.place for values in item_values], item_codes),
            "campaigns": _column([values.campaign for values in item_values], item_codes),
            "kinds": pack_texts(
                [
                    joined((trigger, KINDS[visitor_class], COUNTED_AS[counted_as]))
                    for trigger, visitor_class, counted_as in kind_values
                ],
                kind_codes,
            ),
            "variants": _column([values.variants for values in item_values], item_codes),
            "events": _column([values.event for values in item_values], item_codes),
        },
        pack_pseudonyms(b"".join([visitor or NO_VISITOR for visitor in visitor_ids])),
    )


def pack_one(head: ClickHead, row: RecordTexts, texts: ValueTexts) -> PackedClicks:
    """Return one click as pack_day() packs it, in a quarter of the time: on the long tail most days of a fold
    have one."""
    _, agent, referrer, language, visitor_id, items = row
    agents_, app = texts.agent(agent)
    host, source = texts.referrer(referrer)
    values = texts.items(items)
    kind = (values.trigger, KINDS[head.visitor_class], COUNTED_AS[head.counted_as])
    return PackedClicks(
        1,
        pack_one_quarter(head.quarter),
        pack_one_link(head.link_id),
        {
            "agents": pack_one_text(agents_),
            "referrers": pack_one_text(host),
            "sources": pack_one_text(source or app or values.source),
            "languages": pack_one_text(texts.language(language)),
            "places": pack_one_text(values.place),
            "campaigns": pack_one_text(values.campaign),
            "kinds": pack_one_text(VALUE_MARK.join(kind)),
            "variants": pack_one_text(values.variants),
            "events": pack_one_text(values.event),
        },
        pack_pseudonyms(visitor_id or NO_VISITOR),
    )


def _encoded(column: Sequence[bytes], values_of: Callable[[bytes], T]) -> tuple[list[T], list[int]]:
    """Return the values of each text, and for each click the number of its text."""
    texts, codes = distinct(column)
    return [values_of(text) for text in texts], codes


def distinct(column: Sequence[T]) -> tuple[list[T], list[int]]:
    """Return the different values in the order of their first appearance, and the number of each row's."""
    first = column[0]
    if len(column) == 1:
        return [first], [0]
    numbers: dict[T, int] = {}
    codes = [numbers.setdefault(value, len(numbers)) for value in column]
    return list(numbers), codes


def _column(values: Sequence[str], codes: Sequence[int]) -> bytes:
    """Pack a column: several texts may have equal values."""
    names, lookup = distinct(values)
    if len(names) < len(values):
        codes = [lookup[code] for code in codes]
    return pack_texts(names, codes)
