"""The click buffer: clicks of journals as columns of numbers, until they are counted by dimension.

Each text becomes a number the first time that it is seen, and so do the dimension values that it stands for
(engine/clicks/dimension_values.py), so a click costs a few look-ups and 36 bytes, however long its texts are
(about 1.2 µs). Clicks are kept by journal: those of a journal whose lease is lost are dropped.
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

_KEPT: Final = Struct("<iiiii8sq")
_DTYPE: Final = np.dtype(
    [("group", "<i4"), ("agent", "<i4"), ("referrer", "<i4"), ("language", "<i4"), ("extra", "<i4"),
     ("visitor", ">i8"), ("at", "<i8")]
)  # fmt: skip
_BOT: Final = 2  # how a group is counted, where it is neither clicks nor views
_NOT_COUNTED: Final = -1  # the group of clicks that are not counted


class _TextDictionary(dict[bytes, int]):
    """Texts by number, and beside them, `width` numbers each, what they tell."""

    def __init__(self, words: "ValueDictionary", width: int) -> None:
        super().__init__()
        self.told = array("i")
        self._words = words
        self._width = width

    def __missing__(self, data: bytes) -> int:
        self.told.extend(self.read(data, self._words))
        number = self[data] = len(self)
        return number

    def read(self, data: bytes, words: "ValueDictionary") -> Iterable[int]:
        raise NotImplementedError

    def columns(self) -> Numbers:
        """Of shape (width, texts)."""
        return np.array(self.told, np.int64).reshape(-1, self._width).T


class _Agents(_TextDictionary):
    def read(self, data: bytes, words: "ValueDictionary") -> Iterable[int]:
        agent = agents.parse(dimension_values.text(data))
        return map(words.number, (agent.browser, agent.os, agent.device, agent.app))


class _Referrers(_TextDictionary):
    def read(self, data: bytes, words: "ValueDictionary") -> Iterable[int]:
        host = referrers.referrer_host(dimension_values.text(data))
        return map(words.number, (host, referrers.source_of_host(host)))


class _Languages(_TextDictionary):
    def read(self, data: bytes, words: "ValueDictionary") -> Iterable[int]:
        return (words.number(dimension_values.language(dimension_values.text(data))),)


class _ItemsTable(_TextDictionary):
    def read(self, data: bytes, words: "ValueDictionary") -> Iterable[int]:
        extra = dimension_values.parse_items(data)
        told = (*dimension_values.item_values(extra), referrers.source_of_utm(extra.utm.source))
        found = items(data) if extra.exposures or extra.outcomes else {}
        return (*map(words.number, told), words.arms_number(found))


class ValueDictionary:
    """Numbers of texts and values, from one gathering to the next. Number 0 is ''."""

    def __init__(self) -> None:
        agents.load()
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.number("")
        self.agents = _Agents(self, 4)
        self.referrers = _Referrers(self, 2)
        self.languages = _Languages(self, 1)
        self.items = _ItemsTable(self, len(dimension_values.ITEM_DIMENSIONS) + 2)
        # What a click says of experiments: items of its extra, and the values of VARIANT.
        self.arms: list[tuple[dict[int, bytes], list[int]]] = []
        self._arms: dict[tuple[bytes, ...], int] = {}
        self.arms_number({})

    @property
    def is_full(self) -> bool:
        tables = (self._numbers, self._arms, self.agents, self.referrers, self.languages)
        return max(len(self.items), *(len(table) for table in tables)) > MAX_TEXTS

    def number(self, value: str) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.names)
            self.names.append(value)
        return number

    def arms_number(self, found: dict[int, bytes]) -> int:
        """Of an extra's items; 0 is of none."""
        key = tuple(found.get(tag, b"") for tag in (EXPOSURES, OUTCOMES, COOKIE))
        number = self._arms.get(key)
        if number is None:
            named = [*unpack_variant_refs(key[0]), *unpack_variant_refs(key[1])]
            values = {variant(arm): None for arm in named} or {"": None}
            number = self._arms[key] = len(self.arms)
            self.arms.append((found, [self.number(value) for value in values]))
        return number


class ClickBuffer:
    """Clicks that wait to be counted by dimension."""

    def __init__(self, words: ValueDictionary) -> None:
        self.words = words
        self.scopes: list[CountScope] = []
        self._scope_numbers: dict[CountScope, int] = {}
        self._buckets: dict[int, dict[bytes, int]] = {}
        self._groups: list[tuple[int, int, int]] = []
        self._kept: dict[UUID, list[bytes]] = {}
        self._bytes = 0

    @property
    def clicks(self) -> int:
        """How many clicks are kept. Clicks of classes that are in no count are not."""
        return self._bytes // _KEPT.size

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
        pack, keep, words = _KEPT.pack, parts.append, self.words
        agents, referrers, languages, items_table = (
            words.agents, words.referrers, words.languages, words.items,
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
        kept = b"".join(parts)
        self._bytes += len(kept)
        self._kept.setdefault(journal_id, []).append(kept)

    def drop(self, journal_id: UUID) -> None:
        self._bytes -= sum(map(len, self._kept.pop(journal_id, [])))

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
        self._groups.append((number, counted_as, self.words.number(kind_name)))
        return len(self._groups) - 1

    def _data(self) -> Any:
        return np.frombuffer(
            b"".join(part for parts in self._kept.values() for part in parts), _DTYPE
        )

    def columns(self) -> ClickColumns:
        """All that is kept now, as columns."""
        data, words = self._data(), self.words
        scope, counted_as, kind = np.array(self._groups, np.int64).reshape(-1, 3)[data["group"]].T
        browser, os, device, app = words.agents.columns()[:, data["agent"]]
        host, known = words.referrers.columns()[:, data["referrer"]]
        (language,) = words.languages.columns()[:, data["language"]]
        *of_extra, tagged, arms_of = words.items.columns()[:, data["extra"]]
        values: dict[Dimension, Numbers] = {
            **dict(zip(dimension_values.AGENT_DIMENSIONS, (browser, os, device), strict=True)),
            **dict(zip(dimension_values.ITEM_DIMENSIONS, of_extra, strict=True)),
            Dimension.REFERRER: host,
            Dimension.SOURCE: np.where(known, known, np.where(app, app, tagged)),
            Dimension.LANGUAGE: language,
            Dimension.KIND: kind,
        }
        return ClickColumns(
            self.scopes, scope, counted_as, data["visitor"].astype(np.int64), values,
            self._variants(arms_of), list(words.names),
        )  # fmt: skip

    def _variants(self, arms_of: Numbers) -> tuple[Numbers, Numbers]:
        several = [values for _, values in self.words.arms]
        lengths = np.array([len(values) for values in several], np.int64)
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        flat = np.array([value for values in several for value in values], np.int64)
        times = lengths[arms_of]
        clicks = np.repeat(np.arange(len(arms_of), dtype=np.int64), times)
        nth = np.arange(len(clicks)) - np.repeat(np.cumsum(times) - times, times)
        return clicks, flat[starts[arms_of][clicks] + nth]

    def experiment_increments(self) -> ExperimentIncrements:
        """What counted clicks say of experiments."""
        observer = ExperimentCounter()
        data = self._data()
        arms_of = self.words.items.columns()[-1][data["extra"]]
        for index in np.flatnonzero(arms_of).tolist():
            group, *_, visitor, at_us = data[index].tolist()
            scope, counted_as, _ = self._groups[group]
            if counted_as != _BOT:
                tenant_id, profile_id, link_id, _ = self.scopes[scope]
                pseudonym = visitor.to_bytes(8, "big", signed=True) if visitor else b""
                kind = ClickKind.CLICK if counted_as == 0 else ClickKind.VIEW
                click = Click(
                    kind, 0, at_us, tenant_id, profile_id, link_id, b"", b"", b"", pseudonym
                )
                observer.add(click, self.words.arms[int(arms_of[index])][0])
        return observer.increments()


class ClickBufferFactory:
    """Makes one after the other, with one vocabulary as long as that is of bearable size."""

    def __init__(self) -> None:
        self._words = ValueDictionary()

    def __call__(self) -> ClickBuffer:
        if self._words.is_full:
            self._words = ValueDictionary()
        return ClickBuffer(self._words)
