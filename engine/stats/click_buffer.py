"""The click buffer: clicks of journals as columns of numbers, until they are counted by dimension.

Dictionary encoding: a text, and each dimension value that it has (engine/clicks/dimension_values.py), gets
a number when it first appears. So a click costs a few look-ups (about 1.2 µs) and 36 bytes, however long
its texts are. Clicks are kept by journal, so that those of a journal whose lease is lost can be dropped.
"""

from array import array
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, Final
from uuid import UUID

import numpy as np

from engine.clicks import dimension_values
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.batch import Batch
from engine.clicks.click import (
    BOT_CLASSES,
    CLASS_MASK,
    COUNTED_CLASSES,
    Click,
    ClickKind,
    VisitorClass,
)
from engine.clicks.copy_rows import clamped
from engine.clicks.dimension import Dimension
from engine.clicks.journal_format import batch_records
from engine.clicks.record_items import COOKIE, EXPOSURES, OUTCOMES, items, unpack_variant_refs
from engine.clicks.record_layout import unpack_group_key
from engine.clicks.rollup import TIME_BUCKET_US
from engine.experiments.increments import ExperimentCounter, ExperimentIncrements
from engine.stats.dimension_counts import KINDS, variant
from engine.stats.vectorised_counts import ClickColumns, CountBlock, CountScope, Numbers

MAX_TEXTS: Final = 65_536

_RECORD: Final = Struct("<iiiii8sq")
_DTYPE: Final = np.dtype(
    [("group", "<i4"), ("agent", "<i4"), ("referrer", "<i4"), ("language", "<i4"), ("items", "<i4"),
     ("visitor", ">i8"), ("at", "<i8")]
)  # fmt: skip
_BOT: Final = 2  # how a group is counted: 0 clicks, 1 views, 2 bots
_NOT_COUNTED: Final = -1  # the group of clicks that are not counted


class _TextDictionary(dict[bytes, int]):
    """Numbers of texts, and for each text the numbers of its `width` values."""

    def __init__(self, dictionary: "ValueDictionary", width: int) -> None:
        super().__init__()
        self.values_of_texts = array("i")
        self._dictionary = dictionary
        self._width = width

    def __missing__(self, data: bytes) -> int:
        self.values_of_texts.extend(self.read(data, self._dictionary))
        number = self[data] = len(self)
        return number

    def read(self, data: bytes, dictionary: "ValueDictionary") -> Iterable[int]:
        raise NotImplementedError

    def columns(self) -> Numbers:
        """Return the numbers of values, of shape (width, texts)."""
        return np.array(self.values_of_texts, np.int64).reshape(-1, self._width).T


class _Agents(_TextDictionary):
    def read(self, data: bytes, dictionary: "ValueDictionary") -> Iterable[int]:
        agent = agents.parse(dimension_values.text(data))
        return map(dictionary.number, (agent.browser, agent.os, agent.device, agent.app))


class _Referrers(_TextDictionary):
    def read(self, data: bytes, dictionary: "ValueDictionary") -> Iterable[int]:
        host = referrers.referrer_host(dimension_values.text(data))
        return map(dictionary.number, (host, referrers.source_of_host(host)))


class _Languages(_TextDictionary):
    def read(self, data: bytes, dictionary: "ValueDictionary") -> Iterable[int]:
        return (dictionary.number(dimension_values.language(dimension_values.text(data))),)


class _ItemsTable(_TextDictionary):
    def read(self, data: bytes, dictionary: "ValueDictionary") -> Iterable[int]:
        parsed = dimension_values.parse_items(data)
        values = (*dimension_values.item_values(parsed), referrers.source_of_utm(parsed.utm.source))
        tagged_items = items(data) if parsed.exposures or parsed.outcomes else {}
        return (*map(dictionary.number, values), dictionary.variants_number(tagged_items))


class ValueDictionary:
    """Numbers of texts and values, shared by consecutive click buffers. Number 0 is ''."""

    def __init__(self) -> None:
        agents.load()
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.number("")
        self.agents = _Agents(self, 4)
        self.referrers = _Referrers(self, 2)
        self.languages = _Languages(self, 1)
        self.items = _ItemsTable(self, len(dimension_values.ITEM_DIMENSIONS) + 2)
        # A click's exposures and outcomes: its record items, and the numbers of its values of VARIANT.
        self.variants: list[tuple[dict[int, bytes], list[int]]] = []
        self._variant_numbers: dict[tuple[bytes, ...], int] = {}
        self.variants_number({})

    @property
    def is_full(self) -> bool:
        tables = (self._numbers, self._variant_numbers, self.agents, self.referrers, self.languages)
        return max(len(self.items), *(len(table) for table in tables)) > MAX_TEXTS

    def number(self, value: str) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.names)
            self.names.append(value)
        return number

    def variants_number(self, tagged_items: dict[int, bytes]) -> int:
        """Return the number of the exposures and outcomes in record items; 0: none."""
        key = tuple(tagged_items.get(tag, b"") for tag in (EXPOSURES, OUTCOMES, COOKIE))
        number = self._variant_numbers.get(key)
        if number is None:
            refs = [*unpack_variant_refs(key[0]), *unpack_variant_refs(key[1])]
            values = {variant(ref): None for ref in refs} or {"": None}
            number = self._variant_numbers[key] = len(self.variants)
            self.variants.append((tagged_items, [self.number(value) for value in values]))
        return number


class ClickBuffer:
    """Clicks that wait to be counted by dimension."""

    def __init__(self, dictionary: ValueDictionary) -> None:
        self.dictionary = dictionary
        self.scopes: list[CountScope] = []
        self._scope_numbers: dict[CountScope, int] = {}
        self._buckets: dict[int, dict[bytes, int]] = {}
        self._groups: list[tuple[int, int, int]] = []
        self._records: dict[UUID, list[bytes]] = {}
        self._bytes = 0

    @property
    def clicks(self) -> int:
        """The number of buffered clicks. Clicks of classes that are not counted are not buffered."""
        return self._bytes // _RECORD.size

    @property
    def keys(self) -> int:
        return len(self.scopes)

    def profiles(self) -> set[tuple[int, int]]:
        return {(scope.tenant_id, scope.profile_id) for scope in self.scopes}

    def blocks(self) -> Iterator[CountBlock]:
        return self.columns().blocks()

    def add(self, journal_id: UUID, batch: Batch, after: int) -> None:
        """Add the batch's clicks whose sequence is above `after`.

        Raises FormatError as copy_rows.FoldRows.add() does; nothing is added then.
        """
        parts: list[bytes] = []
        pack, keep, dictionary = _RECORD.pack, parts.append, self.dictionary
        agents, referrers, languages, items_table = (
            dictionary.agents, dictionary.referrers, dictionary.languages, dictionary.items,
        )  # fmt: skip
        low = high = 0
        groups: dict[bytes, int] = {}
        for _, key, at, agent, referrer, language, visitor_id, packed in batch_records(
            batch, after
        ):
            if not low <= at < high:
                at = clamped(at)
                low = at - at % TIME_BUCKET_US
                high = low + TIME_BUCKET_US
                groups = self._buckets.setdefault(low, {})
            group = groups.get(key)
            if group is None:
                group = groups[key] = self._group(key, low)
            if group != _NOT_COUNTED:
                keep(
                    pack(
                        group,
                        agents[agent],
                        referrers[referrer],
                        languages[language],
                        items_table[packed],
                        visitor_id,
                        at,
                    )
                )
        records = b"".join(parts)
        self._bytes += len(records)
        self._records.setdefault(journal_id, []).append(records)

    def drop(self, journal_id: UUID) -> None:
        self._bytes -= sum(map(len, self._records.pop(journal_id, [])))

    def _group(self, key: bytes, bucket_us: int) -> int:
        """Return the number of a group key's clicks in one time bucket; _NOT_COUNTED for none."""
        kind, classification, tenant_id, profile_id, link_id = unpack_group_key(key)
        visitor_class = classification & CLASS_MASK
        if visitor_class not in COUNTED_CLASSES and visitor_class not in BOT_CLASSES:
            return _NOT_COUNTED
        scope = CountScope(tenant_id, profile_id, link_id, bucket_us)
        number = self._scope_numbers.get(scope)
        if number is None:
            number = self._scope_numbers[scope] = len(self.scopes)
            self.scopes.append(scope)
        counted_as = _BOT if visitor_class in BOT_CLASSES else int(kind != ClickKind.CLICK)
        kind_name = KINDS[VisitorClass(visitor_class)]
        self._groups.append((number, counted_as, self.dictionary.number(kind_name)))
        return len(self._groups) - 1

    def _data(self) -> Any:
        return np.frombuffer(
            b"".join(part for parts in self._records.values() for part in parts), _DTYPE
        )

    def columns(self) -> ClickColumns:
        """Return all buffered clicks as columns."""
        data, dictionary = self._data(), self.dictionary
        scope, counted_as, kind = np.array(self._groups, np.int64).reshape(-1, 3)[data["group"]].T
        browser, os, device, app = dictionary.agents.columns()[:, data["agent"]]
        host, source = dictionary.referrers.columns()[:, data["referrer"]]
        (language,) = dictionary.languages.columns()[:, data["language"]]
        *item_columns, utm_source, variant_sets = dictionary.items.columns()[:, data["items"]]
        values: dict[Dimension, Numbers] = {
            **dict(zip(dimension_values.AGENT_DIMENSIONS, (browser, os, device), strict=True)),
            **dict(zip(dimension_values.ITEM_DIMENSIONS, item_columns, strict=True)),
            Dimension.REFERRER: host,
            Dimension.SOURCE: np.where(source, source, np.where(app, app, utm_source)),
            Dimension.LANGUAGE: language,
            Dimension.KIND: kind,
        }
        return ClickColumns(
            self.scopes, scope, counted_as, data["visitor"].astype(np.int64), values,
            self._variants(variant_sets), list(dictionary.names),
        )  # fmt: skip

    def _variants(self, variant_sets: Numbers) -> tuple[Numbers, Numbers]:
        values_by_number = [values for _, values in self.dictionary.variants]
        lengths = np.array([len(values) for values in values_by_number], np.int64)
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        flat = np.array([value for values in values_by_number for value in values], np.int64)
        times = lengths[variant_sets]
        clicks = np.repeat(np.arange(len(variant_sets), dtype=np.int64), times)
        nth = np.arange(len(clicks)) - np.repeat(np.cumsum(times) - times, times)
        return clicks, flat[starts[variant_sets][clicks] + nth]

    def experiment_increments(self) -> ExperimentIncrements:
        """Return the exposures and outcomes of the buffered clicks."""
        counter = ExperimentCounter()
        data = self._data()
        variant_sets = self.dictionary.items.columns()[-1][data["items"]]
        for index in np.flatnonzero(variant_sets).tolist():
            group, *_, visitor, at_us = data[index].tolist()
            scope, counted_as, _ = self._groups[group]
            if counted_as != _BOT:
                tenant_id, profile_id, link_id, _ = self.scopes[scope]
                pseudonym = visitor.to_bytes(8, "big", signed=True) if visitor else b""
                kind = ClickKind.CLICK if counted_as == 0 else ClickKind.VIEW
                click = Click(
                    kind, 0, at_us, tenant_id, profile_id, link_id, b"", b"", b"", pseudonym
                )
                counter.add(click, self.dictionary.variants[int(variant_sets[index])][0])
        return counter.increments()


class ClickBufferFactory:
    """A function that returns empty click buffers, with one dictionary until that is full."""

    def __init__(self) -> None:
        self._dictionary = ValueDictionary()

    def __call__(self) -> ClickBuffer:
        if self._dictionary.is_full:
            self._dictionary = ValueDictionary()
        return ClickBuffer(self._dictionary)
