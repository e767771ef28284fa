# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled fold: FoldRows.add() of engine/clicks/copy_rows.py, byte for byte.

A journal's bytes are read in place (frames.h). Known texts are found by a hash of their bytes, in a table that
forgets; all others, and whatever is not known to the tables of EncodedTexts, Python looks up. Where the bytes are
not valid, Python reads them again and says why.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_Append
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

import google_crc32c

from engine.clicks.click import (
    CLASS_MASK,
    LAST_US,
    MAX_ITEMS_BYTES,
    RULES_VERSION_SHIFT,
    VisitorClass,
)
from engine.clicks.copy_rows import COLUMNS, EPOCH_US, NULL_COLUMN, FoldRows
from engine.clicks.day_rows import ClickHead, DayRows, ProfileDayKey, how_counted
from engine.clicks.journal_format import CLICKS, CLICKS_VERSION, MAX_FRAME_BYTES, batch_records
from engine.clicks.record_layout import NO_VISITOR
from engine.clicks.rollup import TIME_BUCKET_US

cdef extern from *:
    """
    #ifndef WAYPOST_SOURCES
    #define WAYPOST_SOURCES ""
    #endif
    """
    const char *WAYPOST_SOURCES
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1

cdef extern from "frames.h" nogil:
    int FRAME_HEAD, FRAME_CRC_FROM, RECORD_VISITOR, GROUP_KEY, FIRST_COLUMNS
    ctypedef struct frame_head:
        size_t end
        uint32_t crc
        uint8_t type, version
        uint16_t count
        uint64_t first
    ctypedef struct bytes_at:
        const uint8_t *at
        size_t size
    ctypedef struct record_read:
        uint8_t key[26]
        int64_t at_us
        bytes_at user_agent, referrer, language, items
        const uint8_t *visitor
    uint64_t read_u64(const uint8_t *)
    int frame_at(const uint8_t *, size_t, size_t, size_t, frame_head *)
    int records_skip(const uint8_t *, size_t, size_t *, uint64_t)
    int record_at(const uint8_t *, size_t, size_t *, size_t, record_read *)
    uint64_t bytes_hash(bytes_at)
    uint8_t *put_i16(uint8_t *, int16_t)
    uint8_t *put_i32(uint8_t *, int32_t)
    uint8_t *put_i64(uint8_t *, int64_t)
    uint8_t *put_bytes(uint8_t *, const void *, size_t)

SOURCES = WAYPOST_SOURCES.decode()  # a digest of the sources that this was built from

cdef enum:
    TEXT_SLOTS = 8192
    GROUP_SLOTS = 1024
    KINDS = 256
    CLASSES = 16
    MIDDLE_BYTES = 36
    PROFILE_FROM = 2
    PROFILE_BYTES = 16
    NOT_COUNTED = -1

cdef int64_t LAST = LAST_US
cdef int64_t EPOCH = EPOCH_US
cdef int64_t BUCKET = TIME_BUCKET_US
cdef int64_t DAY = 86_400_000_000
cdef int64_t MAX_SEQUENCE = 1 << 62
cdef size_t MAX_FRAME = MAX_FRAME_BYTES
cdef Py_ssize_t MAX_ITEMS = MAX_ITEMS_BYTES
cdef int FRAME_TYPE = CLICKS
cdef int FRAME_VERSION = CLICKS_VERSION
cdef int COLUMN_COUNT = len(COLUMNS)
cdef int RULES_SHIFT = RULES_VERSION_SHIFT
cdef int CLASS_BITS = CLASS_MASK
cdef bytes NO_SOURCE = NULL_COLUMN
cdef bytes NOBODY = NO_VISITOR
cdef object new_tuple = tuple.__new__
cdef object crc32c = google_crc32c.value

# How a click of each kind and class is counted.
cdef int counted[KINDS][CLASSES]
cdef int _kind, _class
for _kind in range(KINDS):
    for _class in range(CLASSES):
        _as = how_counted(_kind, _class)
        counted[_kind][_class] = NOT_COUNTED if _as is None else _as
cdef dict CLASS_OF = {int(value): value for value in VisitorClass}


cdef class _Group:
    """Rows of one group key in one time bucket: their first columns, and the rows of the day that counts them,
    None for clicks that are not counted."""

    cdef uint8_t first_columns[76]
    cdef uint8_t key[26]
    cdef list rows
    cdef object head


cdef struct slot:
    uint64_t hash
    PyObject *text
    PyObject *columns


cdef class _Known:
    """Columns by text, of one table of EncodedTexts: a text takes the place of the one that had its slot."""

    cdef slot *slots
    cdef dict table
    cdef Py_ssize_t size  # of the table when a text was last taken from it

    def __cinit__(self, dict table):
        self.table = table
        self.slots = <slot *>calloc(TEXT_SLOTS, sizeof(slot))
        if self.slots is NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.slots is not NULL:
            self.forget()
            free(self.slots)

    cdef void forget(self):
        for number in range(TEXT_SLOTS):
            Py_XDECREF(self.slots[number].text)
            Py_XDECREF(self.slots[number].columns)
        memset(self.slots, 0, TEXT_SLOTS * sizeof(slot))

    cdef void follow(self):
        """Forget all if the table was emptied."""
        if len(self.table) < self.size:
            self.forget()
        self.size = len(self.table)

    cdef slot *find(self, bytes_at text) except NULL:
        """Return the slot of a text; without columns if the table does not know it."""
        cdef uint64_t hash = bytes_hash(text)
        cdef slot *place = &self.slots[hash & (TEXT_SLOTS - 1)]
        cdef PyObject *known
        if place.columns is not NULL and place.hash == hash:
            if <size_t>PyBytes_GET_SIZE(<bytes>place.text) == text.size and not memcmp(
                PyBytes_AS_STRING(<bytes>place.text), text.at, text.size
            ):
                return place
        cdef bytes key = PyBytes_FromStringAndSize(<const char *>text.at, text.size)
        known = PyDict_GetItem(self.table, key)
        Py_XDECREF(place.text)
        Py_XDECREF(place.columns)
        place.hash = hash
        Py_INCREF(key)
        place.text = <PyObject *>key
        if known is not NULL:
            Py_INCREF(<object>known)
        place.columns = known
        return place


cdef class _KnownTexts:
    """The tables of one EncodedTexts."""

    cdef _Known agents, referrers, languages, items

    def __init__(self, texts):
        self.agents = _Known(texts.agents)
        self.referrers = _Known(texts.referrers)
        self.languages = _Known(texts.languages)
        self.items = _Known(texts.items)

    cdef void follow(self):
        self.agents.follow()
        self.referrers.follow()
        self.languages.follow()
        self.items.follow()


cdef class _Rows:
    """Bytes that grow at their end."""

    cdef PyObject *data
    cdef uint8_t *out
    cdef uint8_t *end

    def __cinit__(self, Py_ssize_t size):
        cdef bytes data = PyBytes_FromStringAndSize(NULL, size)
        Py_INCREF(data)
        self.data = <PyObject *>data
        self.out = <uint8_t *>PyBytes_AS_STRING(data)
        self.end = self.out + size

    def __dealloc__(self):
        Py_XDECREF(self.data)

    cdef int make_room(self, Py_ssize_t size) except -1:
        cdef uint8_t *start
        cdef Py_ssize_t written
        if self.end - self.out < size:
            start = <uint8_t *>PyBytes_AS_STRING(<bytes>self.data)
            written = self.out - start
            self.resize((written + size) * 3 // 2)
            self.out = <uint8_t *>PyBytes_AS_STRING(<bytes>self.data) + written
            self.end = <uint8_t *>PyBytes_AS_STRING(<bytes>self.data) + PyBytes_GET_SIZE(<bytes>self.data)
        return 0

    cdef int resize(self, Py_ssize_t size) except -1:
        return _PyBytes_Resize(&self.data, size)

    cdef bytes take(self):
        """Return the bytes; this object is then of no more use."""
        cdef uint8_t *start = <uint8_t *>PyBytes_AS_STRING(<bytes>self.data)
        self.resize(self.out - start)
        return <bytes>self.data


class CompiledFoldRows(FoldRows):
    """FoldRows, whose batches are read in C."""

    def __init__(self, journal_id, texts):
        super().__init__(journal_id, texts)
        self._groups = {}
        if type(texts.compiled) is not _KnownTexts:
            texts.compiled = _KnownTexts(texts)

    def add(self, batch, after):
        first, last, payload = batch
        if type(payload) is not bytes or not (0 <= first <= last <= MAX_SEQUENCE and 0 <= after <= MAX_SEQUENCE):
            return super().add(batch, after)
        if not _add(self, batch, first, last, after, payload):
            for _ in batch_records(batch, after):
                pass
            raise AssertionError("Python reads a batch that the compiled fold does not")


cdef int _add(object fold, object batch, uint64_t first, uint64_t last, uint64_t after, bytes payload) except -1:
    """Add the batch as FoldRows.add() does. Returns 0 at bytes that are not valid."""
    cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(payload)
    cdef size_t size = PyBytes_GET_SIZE(payload), start = 0, position
    cdef uint64_t expected = first, sequence, skipped
    cdef frame_head frame
    cdef record_read record
    cdef _Reader reader = _Reader(fold, 2 * size + 1024)
    while start < size:
        if not frame_at(data, size, start, MAX_FRAME, &frame) or frame.first != expected:
            return 0
        body = PyBytes_FromStringAndSize(
            <const char *>data + start + FRAME_CRC_FROM, frame.end - start - FRAME_CRC_FROM
        )
        if <uint32_t>crc32c(body) != frame.crc:
            return 0
        if frame.type != FRAME_TYPE or frame.version != FRAME_VERSION:
            return 0
        expected = frame.first + frame.count
        if expected - 1 > after:
            skipped = after + 1 - frame.first if after >= frame.first else 0
            position = start + FRAME_HEAD
            if not records_skip(data, size, &position, skipped):
                return 0
            for sequence in range(frame.first + skipped, expected):
                if not record_at(data, size, &position, frame.end, &record):
                    return 0
                reader.add(&record, sequence)
            if position != frame.end:
                return 0
        start = frame.end
    if expected - 1 != last:
        return 0
    reader.close()
    return 1


cdef class _Reader:
    """What the records of one batch are added to."""

    cdef object fold, texts, new_texts
    cdef dict days, groups, buckets
    cdef _KnownTexts known
    cdef _Rows rows
    cdef int64_t low, high
    cdef bytes journal
    cdef Py_ssize_t clicks
    cdef PyObject *recent[GROUP_SLOTS]  # groups of the bucket, which `groups` has

    def __init__(self, fold, size):
        self.fold = fold
        self.texts = fold._texts
        self.known = fold._texts.compiled
        self.known.follow()
        self.days = fold.days
        self.buckets = fold._groups
        self.journal = fold._journal
        self.rows = _Rows(size)
        self.low = self.high = 0

    cdef int add(self, const record_read *record, uint64_t sequence) except -1:
        cdef int64_t at = record.at_us
        if not (self.low <= at < self.high):
            at = self.enter_bucket(at)
        cdef _Group group = self.group(record.key)
        cdef slot *agent = self.known.agents.find(record.user_agent)
        cdef slot *referrer = self.known.referrers.find(record.referrer)
        cdef slot *language = self.known.languages.find(record.language)
        cdef slot *items = self.known.items.find(record.items)
        if agent.columns and referrer.columns and language.columns and items.columns:
            return self.put(
                group, record, at, sequence,
                <bytes>agent.text, <bytes>referrer.text, <bytes>language.text, <bytes>items.text,
                <tuple>agent.columns, <tuple>referrer.columns, <bytes>language.columns, <tuple>items.columns,
            )
        texts, columns = self.texts.bounded(
            PyBytes_FromStringAndSize(<const char *>record.key + PROFILE_FROM, PROFILE_BYTES),
            <bytes>agent.text, <bytes>referrer.text, <bytes>language.text, <bytes>items.text,
        )
        self.known.follow()
        return self.put(
            group, record, at, sequence, texts[0], texts[1], texts[2], texts[3],
            <tuple>columns[0], <tuple>columns[1], <bytes>columns[2], <tuple>columns[3],
        )

    cdef int64_t enter_bucket(self, int64_t at) except -1:
        """Go to the time bucket of `at`, and return the nearest time that Postgres and Python can hold."""
        at = min(max(at, 0), LAST)
        self.low = at - at % BUCKET
        self.high = self.low + BUCKET
        self.groups = self.buckets.setdefault(self.low, {})
        memset(self.recent, 0, sizeof(self.recent))
        return at

    cdef _Group group(self, const uint8_t *key):
        cdef uint64_t hash = read_u64(key + 18) * <uint64_t>0x9E3779B97F4A7C15
        cdef PyObject **recent = &self.recent[hash >> 54]
        cdef PyObject *known = recent[0]
        if known is not NULL and not memcmp((<_Group>known).key, key, GROUP_KEY):
            return <_Group>known
        cdef bytes name = PyBytes_FromStringAndSize(<const char *>key, GROUP_KEY)
        known = PyDict_GetItem(self.groups, name)
        cdef _Group group = <_Group>known if known is not NULL else self.new_group(name)
        recent[0] = <PyObject *>group
        return group

    cdef _Group new_group(self, bytes name):
        cdef const uint8_t *key = <const uint8_t *>PyBytes_AS_STRING(name)
        cdef int kind = key[0], visitor_class = key[1] & CLASS_BITS, counted_as = counted[kind][visitor_class]
        cdef int64_t tenant = <int64_t>read_u64(key + 2), profile = <int64_t>read_u64(key + 10)
        cdef int64_t link = <int64_t>read_u64(key + 18)
        cdef _Group group = _Group.__new__(_Group)
        cdef uint8_t *out = group.first_columns
        memcpy(group.key, key, GROUP_KEY)
        out = put_i16(out, COLUMN_COUNT)
        out = put_i64(put_i32(out, 8), tenant)
        out = put_i64(put_i32(out, 8), profile)
        out = put_i64(put_i32(out, 8), link)
        out = put_i16(put_i32(out, 2), kind)
        out = put_i16(put_i32(out, 2), visitor_class)
        out = put_i16(put_i32(out, 2), key[1] >> RULES_SHIFT)
        put_bytes(put_i32(out, 16), PyBytes_AS_STRING(self.journal), 16)
        self.groups[name] = group
        if counted_as != NOT_COUNTED:
            day = (tenant, profile, self.low // DAY)
            rows = self.days.get(day)
            if rows is None:
                rows = self.days[new_tuple(ProfileDayKey, day)] = DayRows()
            group.rows = rows.rows
            group.head = rows.add_head(
                new_tuple(
                    ClickHead,
                    (self.low % DAY // BUCKET, link, counted_as, CLASS_OF[visitor_class]),
                )
            )
        return group

    cdef int put(
        self, _Group group, const record_read *record, int64_t at, uint64_t sequence,
        bytes agent, bytes referrer, bytes language, bytes items,
        tuple of_agent, tuple of_referrer, bytes of_language, tuple of_items,
    ) except -1:
        cdef bytes agent_columns = of_agent[0], referrer_columns = of_referrer[0], item_columns = of_items[0]
        cdef bytes source = of_referrer[1] or of_agent[1] or of_items[1] or NO_SOURCE
        cdef bint has_visitor = record.visitor is not NULL and read_u64(record.visitor) != 0
        cdef bytes visitor = (
            PyBytes_FromStringAndSize(<const char *>record.visitor, RECORD_VISITOR) if has_visitor else NOBODY
        )
        cdef tuple row
        if group.rows is not None:
            row = PyTuple_New(6)
            _set(row, 0, group.head)
            _set(row, 1, agent)
            _set(row, 2, referrer)
            _set(row, 3, language)
            _set(row, 4, visitor)
            _set(row, 5, items)
            PyList_Append(group.rows, row)
            if of_items[2]:
                self.fold._keep_for_experiments(
                    PyBytes_FromStringAndSize(<const char *>record.key, GROUP_KEY), at, visitor, items
                )
        self.rows.make_room(
            FIRST_COLUMNS + MIDDLE_BYTES + PyBytes_GET_SIZE(agent_columns) + PyBytes_GET_SIZE(referrer_columns)
            + PyBytes_GET_SIZE(of_language) + PyBytes_GET_SIZE(item_columns) + PyBytes_GET_SIZE(source)
        )
        cdef uint8_t *out = put_bytes(self.rows.out, group.first_columns, FIRST_COLUMNS)
        out = put_i64(put_i32(out, 8), at - EPOCH)
        out = put_i64(put_i32(out, 8), <int64_t>sequence)
        if has_visitor:
            out = put_bytes(put_i32(out, RECORD_VISITOR), record.visitor, RECORD_VISITOR)
        else:
            out = put_i32(out, -1)
        out = _put(out, agent_columns)
        out = _put(out, referrer_columns)
        out = _put(out, of_language)
        out = _put(out, item_columns)
        self.rows.out = _put(out, source)
        self.clicks += 1
        return 0

    cdef int close(self) except -1:
        self.fold.rows.append(self.rows.take())
        self.fold.clicks += self.clicks
        return 0


cdef inline uint8_t *_put(uint8_t *out, bytes column):
    return put_bytes(out, PyBytes_AS_STRING(column), PyBytes_GET_SIZE(column))


cdef inline void _set(tuple row, Py_ssize_t place, object value):
    Py_INCREF(value)
    PyTuple_SET_ITEM(row, place, value)
