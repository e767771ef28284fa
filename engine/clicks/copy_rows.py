"""COPY rows: from a journal's bytes to the fastest input of Postgres, and to the rows of each profile's day, in
one pass.

journal_format.clicks() and dimension_values say the same in plain words and are the reference; a property test
holds the two together. This module exists because it runs for every click of every edge.

What makes it fast (2 to 3 µs a click where the reference, with rows by asyncpg, takes 9 to 12):
- a record's ids and its classification are the key of a table that holds the row's first columns, encoded,
  and the profile's day, so both cost one look-up;
- each of a record's texts is the key of a table that holds all columns that follow from it, encoded
  (a user agent's browser, system and device; the record items' place and UTM parameters), so most texts
  are decoded, parsed and hashed once in a process's life and not once per click;
- clicks of one 15-minute bucket come in a row, so the bucket is looked up only when it changes.

Rows go into Postgres' text columns, so bytes that are not UTF-8 are replaced and NUL is left out,
and a time that no calendar has becomes the nearest one: a click with a strange clock or text is
kept, it never holds up the batch it came in.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from engine.clicks import dimension_values
from engine.clicks import referrer as referrers
from engine.clicks import user_agent as agents
from engine.clicks.batch import Batch
from engine.clicks.click import (
    CLASS_MASK,
    COUNTED_CLASSES,
    LAST_US,
    MAX_ITEMS_BYTES,
    RULES_VERSION_SHIFT,
    Click,
    VisitorClass,
)
from engine.clicks.day_rows import ClickHead, DayRows, ProfileDayKey, RecordTexts, how_counted
from engine.clicks.dimension import OTHER, SPECS
from engine.clicks.journal_format import batch_records
from engine.clicks.new_texts import NewTexts
from engine.clicks.record_layout import NO_VISITOR, PROFILE_OF_GROUP, unpack_group_key
from engine.clicks.rollup import TIME_BUCKET_US

T = TypeVar("T")

_ITEM_COLUMNS: Final = tuple(
    text_column
    for dimension in dimension_values.ITEM_DIMENSIONS
    if (text_column := SPECS[dimension].column)
)
COLUMNS: Final = (
    "tenant_id", "profile_id", "link_id", "kind", "classification", "rule", "journal_id",
    "at", "sequence", "visitor",
    "user_agent_id", "browser", "os", "device",
    "referrer", "referrer_host",
    "language", "locale",
    "trigger", *_ITEM_COLUMNS,
    "exposures", "outcomes", "event",
    "source",
)  # fmt: skip
COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER: Final = b"\xff\xff"

# 2000-01-01, where Postgres counts from; the last moment that Python's datetime has too.
EPOCH_US: Final = 946_684_800_000_000
_MAX_TEXTS: Final = 65_536
_PARTS: Final = 7
_DAY_US: Final = 86_400_000_000

_FIRST_COLUMNS: Final = Struct(">hiqiqiqihihihi16s")
_MIDDLE_COLUMNS: Final = Struct(">iqiqi8s")
_NO_VISITOR_COLUMNS: Final = Struct(">iqiqi")
_NUMBER: Final = Struct(">iq")
_SMALL_NUMBER: Final = Struct(">ih")
_LENGTH: Final = Struct(">i")
NULL_COLUMN: Final = _LENGTH.pack(-1)


class _Group:
    """Rows of one group key in one time bucket: their first columns, and where they are counted: `count` takes
    what RecordTexts has, and is None for clicks that are not counted."""

    __slots__ = ("count", "first_columns", "head")

    def __init__(
        self, first_columns: bytes, count: Callable[[RecordTexts], None] | None, head: int
    ) -> None:
        self.first_columns = first_columns
        self.count = count
        self.head = head


def user_agent_id(text: str) -> int:
    """Return the id of a user agent: a hash of it, so that storing clicks never has to query ids first."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def clamped(at_us: int) -> int:
    """Return the time, or the nearest one that both Postgres and Python can hold."""
    return min(max(at_us, 0), LAST_US)


def column(text: str) -> bytes:
    """Encode a text as a column; '' becomes NULL."""
    return _bytes_column(text.encode())


def _bytes_column(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data if data else NULL_COLUMN


class Columns(NamedTuple):
    """The columns that a text of a record fills, and the column `source` if the text names one."""

    encoded: bytes
    source: bytes


class ItemColumns(NamedTuple):
    """The columns of record items, as Columns, and whether they have exposures or outcomes."""

    encoded: bytes
    source: bytes
    is_of_experiment: bool


class EncodedTexts:
    """Encoded columns by the texts that fill them, kept from batch to batch and bounded, and the user
    agents still to store.

    A user agent stays in `unstored` until stored() is called after the commit of the transaction that
    wrote it; a transaction that failed thus leaves nothing behind.
    """

    def __init__(self, new_texts: NewTexts | None = None) -> None:
        self.new_texts = new_texts or NewTexts()
        self.unstored: dict[int, str] = {}
        self.agents: dict[bytes, Columns] = {}
        self.referrers: dict[bytes, Columns] = {}
        self.languages: dict[bytes, bytes] = {}
        self.items: dict[bytes, ItemColumns] = {}
        self.compiled: object = None  # what the compiled fold keeps of these tables
        self._known: set[int] = set()
        agents.load()  # here, so that the first click does not wait for it

    def stored(self, ids: Iterable[int]) -> None:
        """Note that the transaction that wrote these user agents was committed."""
        if len(self._known) > _MAX_TEXTS:
            self._known.clear()
        for agent_id in ids:
            self._known.add(agent_id)
            self.unstored.pop(agent_id, None)

    def bounded(
        self, profile: bytes, agent: bytes, referrer: bytes, language: bytes, items: bytes
    ) -> "tuple[tuple[bytes, bytes, bytes, bytes], tuple[Columns, Columns, bytes, ItemColumns]]":
        """Return a click's texts, of which one at least is not known, within the bound of its profile
        (engine/clicks/new_texts.py), and their columns."""
        new = self.new_texts
        if agent not in self.agents:
            agent = new.agent(profile, agent)
        referrer_columns = self.referrers.get(referrer)
        if referrer_columns is None:
            kept = new.referrer(profile, referrer)
            # The raw row has it whole, which costs its bytes only; what is counted is its host.
            referrer_columns = self.referrer(referrer) if kept is referrer else _uncounted(referrer)
            referrer = kept
        if language not in self.languages:
            language = new.language(profile, language)
        if items not in self.items:
            items = new.items(profile, items)
        return (agent, referrer, language, items), (
            self.agents.get(agent) or self.agent(agent),
            referrer_columns,
            self.languages.get(language) or self.language(language),
            self.items.get(items) or self.item_columns(items),
        )

    def agent(self, data: bytes) -> Columns:
        """Encode `user_agent_id`, `browser`, `os`, `device`."""
        text = dimension_values.text(data)
        number = NULL_COLUMN
        if text:
            agent_id = user_agent_id(text)
            if agent_id not in self._known:
                self.unstored[agent_id] = text
            number = _NUMBER.pack(8, agent_id)
        agent = agents.parse(text)
        encoded = b"".join((number, *map(column, (agent.browser, agent.os, agent.device))))
        return _kept(self.agents, data, Columns(encoded, _source(agent.app)))

    def referrer(self, data: bytes) -> Columns:
        """Encode `referrer`, `referrer_host`."""
        text = dimension_values.text(data)
        host = referrers.referrer_host(text)
        columns = Columns(column(text) + column(host), _source(referrers.source_of_host(host)))
        return _kept(self.referrers, data, columns)

    def language(self, data: bytes) -> bytes:
        """Encode `language`, `locale`."""
        text = dimension_values.text(data)
        return _kept(self.languages, data, column(text) + column(dimension_values.language(text)))

    def item_columns(self, data: bytes) -> ItemColumns:
        """Encode `trigger` and all that stands behind it in COLUMNS, but for `source`."""
        items = dimension_values.parse_items(data)
        encoded = b"".join(
            (
                _SMALL_NUMBER.pack(2, items.trigger),
                *map(column, (*items.place, *items.utm, items.domain)),
                _bytes_column(items.exposures),
                _bytes_column(items.outcomes),
                column(items.event),
            )
        )
        source = _source(referrers.source_of_utm(items.utm.source))
        is_of_experiment = bool(items.exposures or items.outcomes)
        columns = ItemColumns(encoded, source, is_of_experiment)
        # Those of large own events would fill memory, and are seldom the same twice.
        return columns if len(data) > MAX_ITEMS_BYTES else _kept(self.items, data, columns)


def _uncounted(referrer: bytes) -> Columns:
    """Return the columns of a referrer whose host is not counted apart."""
    return Columns(column(dimension_values.text(referrer)) + column(OTHER), b"")


def _source(name: str) -> bytes:
    return column(name) if name else b""


def _kept(table: dict[bytes, T], data: bytes, columns: T) -> T:
    if len(table) > _MAX_TEXTS:
        table.clear()
    table[data] = columns
    return columns


class FoldRows:
    """Batches of one journal on their way into one transaction.

    `rows` are chunks of a binary COPY of COLUMNS, to stand between COPY_HEADER and COPY_TRAILER. `days` are the
    counted clicks and bots again, by profile and UTC day. `experiment_clicks` are those that count for
    experiments.
    """

    def __init__(self, journal_id: UUID, texts: EncodedTexts) -> None:
        self.rows: list[bytes] = []
        self.days: dict[ProfileDayKey, DayRows] = {}
        self.experiment_clicks: list[Click] = []
        self.clicks = 0
        self._journal = journal_id.bytes
        self._texts = texts
        self._buckets: dict[int, dict[bytes, _Group]] = {}

    def add(self, batch: Batch, after: int) -> None:
        """Add the batch's clicks whose sequence is above `after`.

        Raises FormatError when the payload is damaged, or does not hold exactly the clicks that the
        batch says; this object is then of no more use.
        """
        parts: list[bytes] = []
        texts = self._texts
        agents, referrers, languages = texts.agents.get, texts.referrers.get, texts.languages.get
        items_of = texts.items.get
        pack, pack_without_visitor = _MIDDLE_COLUMNS.pack, _NO_VISITOR_COLUMNS.pack
        low = high = 0
        groups: dict[bytes, _Group] = {}
        for sequence, key, at, agent, referrer, language, visitor_id, items in batch_records(
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
            of_agent, of_referrer = agents(agent), referrers(referrer)
            of_language, of_items = languages(language), items_of(items)
            if not (of_agent and of_referrer and of_language and of_items):
                (agent, referrer, language, items), columns = texts.bounded(
                    key[PROFILE_OF_GROUP], agent, referrer, language, items
                )
                of_agent, of_referrer, of_language, of_items = columns
            count = group.count
            if count is not None:
                count((group.head, agent, referrer, language, visitor_id, items))
            encoded_items, tagged, is_of_experiment = of_items
            if is_of_experiment and count is not None:
                self._keep_for_experiments(key, at, visitor_id, items)
            parts += (
                group.first_columns,
                pack_without_visitor(8, at - EPOCH_US, 8, sequence, -1)
                if visitor_id == NO_VISITOR
                else pack(8, at - EPOCH_US, 8, sequence, 8, visitor_id),
                of_agent.encoded,
                of_referrer.encoded,
                of_language,
                encoded_items,
                of_referrer.source or of_agent.source or tagged or NULL_COLUMN,
            )
        self.rows.append(b"".join(parts))
        self.clicks += len(parts) // _PARTS

    def _keep_for_experiments(
        self, key: bytes, at_us: int, visitor_id: bytes, items: bytes
    ) -> None:
        kind, classification, tenant_id, profile_id, link_id = unpack_group_key(key)
        if classification & CLASS_MASK in COUNTED_CLASSES:
            visitor_id = b"" if visitor_id == NO_VISITOR else visitor_id
            ids = (tenant_id, profile_id, link_id)
            self.experiment_clicks.append(
                Click(kind, classification, at_us, *ids, b"", b"", b"", visitor_id, items)
            )

    def _group(self, key: bytes, bucket_us: int) -> _Group:
        kind, classification, tenant_id, profile_id, link_id = unpack_group_key(key)
        visitor_class, rules = classification & CLASS_MASK, classification >> RULES_VERSION_SHIFT
        first_columns = _FIRST_COLUMNS.pack(
            len(COLUMNS), 8, tenant_id, 8, profile_id, 8, link_id,
            2, kind, 2, visitor_class, 2, rules, 16, self._journal,
        )  # fmt: skip
        counted_as = how_counted(kind, visitor_class)
        if counted_as is None:
            return _Group(first_columns, None, 0)
        day, in_day_us = divmod(bucket_us, _DAY_US)
        rows = self.days.setdefault(ProfileDayKey(tenant_id, profile_id, day), DayRows())
        quarter = in_day_us // TIME_BUCKET_US
        head = ClickHead(quarter, link_id, counted_as, VisitorClass(visitor_class))
        return _Group(first_columns, rows.rows.append, rows.add_head(head))
