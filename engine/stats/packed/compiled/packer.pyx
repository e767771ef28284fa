# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Packing of a profile's day in C: pack_day() of engine/stats/packed/click_packer.py, byte for byte.

Each click is looked at a column at a time: equal texts get one number, in the order of their first appearance,
and what follows from a text is looked up once for all of its clicks.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM

from engine.clicks.record_layout import NO_VISITOR
from engine.stats.dimension_counts import KINDS
from engine.stats.packed.click_packer import joined, pack_one
from engine.stats.packed.packed_clicks import COUNTED_AS, MAX_TEXTS, TEXT_MARK, PackedClicks, pack_texts

cdef extern from *:
    """
    #ifndef WAYPOST_SOURCES
    #define WAYPOST_SOURCES ""
    #endif
    """
    const char *WAYPOST_SOURCES

SOURCES = WAYPOST_SOURCES.decode()  # a digest of the sources that this was built from

cdef enum:
    RECENT = 1024  # places of a table of texts by their address
    MORE = 200     # places of a look-up beside those of texts: more than kinds can be

cdef int MAX_COLUMN = MAX_TEXTS
cdef int COUNTED_WAYS = len(COUNTED_AS)
cdef bytes NOBODY = NO_VISITOR
cdef str MARK = TEXT_MARK
cdef Py_ssize_t VISITOR = len(NO_VISITOR)


def pack_day(day, texts):
    """Return the packed clicks of a profile's UTC day. Its rows must not be empty."""
    cdef list heads = day.heads, rows = day.rows
    if len(rows) == 1:
        return pack_one(heads[rows[0][0]], rows[0], texts)
    cdef _Day columns = _Day(heads, rows)
    if not columns.ascends():
        rows = sorted(rows, key=lambda row: heads[row[0]].quarter)
        columns = _Day(heads, rows)
    return columns.pack(texts)


cdef class _Day:
    """Clicks as columns of numbers: of the head, the four texts, and what follows from them."""

    cdef list heads, rows
    cdef Py_ssize_t clicks
    cdef int32_t *numbers
    cdef int32_t *head
    cdef int32_t *agent
    cdef int32_t *referrer
    cdef int32_t *language
    cdef int32_t *item
    cdef int32_t *made      # the column that is being made
    cdef int32_t *lookup    # by the number of a text, head, source or kind

    def __cinit__(self, list heads, list rows):
        cdef Py_ssize_t clicks = len(rows), widest = max(len(rows), len(heads)), number
        self.heads, self.rows, self.clicks = heads, rows, clicks
        self.numbers = <int32_t *>malloc((9 * widest + MORE) * sizeof(int32_t))
        if self.numbers is NULL:
            raise MemoryError
        self.head = self.numbers
        self.agent = self.head + widest
        self.referrer = self.agent + widest
        self.language = self.referrer + widest
        self.item = self.language + widest
        self.made = self.item + widest
        self.lookup = self.made + widest
        for number in range(clicks):
            self.head[number] = <object>PyTuple_GET_ITEM(<tuple>PyList_GET_ITEM(rows, number), 0)

    def __dealloc__(self):
        free(self.numbers)

    cdef bint ascends(self) except -1:
        """Return whether the quarters of an hour do."""
        cdef int32_t quarter, last = -1
        cdef Py_ssize_t number
        for number in range(len(self.heads)):
            self.lookup[number] = self.heads[number].quarter
        for number in range(self.clicks):
            quarter = self.lookup[self.head[number]]
            if quarter < last:
                return False
            last = quarter
        return True

    cdef object pack(self, texts):
        cdef list agents = _values(self.distinct(1, self.agent), texts._agents, texts.agent)
        cdef list referrers = _values(self.distinct(2, self.referrer), texts._referrers, texts.referrer)
        cdef list languages = _values(self.distinct(3, self.language), texts._languages, texts.language)
        cdef list items = _values(self.distinct(5, self.item), texts._items, texts.items)
        return PackedClicks(
            self.clicks,
            self.quarters(),
            self.links(),
            {
                "agents": self.column([values[0] for values in agents], self.agent),
                "referrers": self.column([values[0] for values in referrers], self.referrer),
                "sources": self.sources(agents, referrers, items),
                "languages": self.column(languages, self.language),
                "places": self.column([values[0] for values in items], self.item),
                "campaigns": self.column([values[1] for values in items], self.item),
                "kinds": self.kinds(items),
                "variants": self.column([values[4] for values in items], self.item),
                "events": self.column([values[5] for values in items], self.item),
            },
            self.visitors(),
        )

    cdef list distinct(self, int place, int32_t *codes):
        """Number the texts at a place of the rows. Returns the different ones."""
        cdef PyObject *recent[RECENT]
        cdef int32_t recent_code[RECENT]
        cdef PyObject *text
        cdef PyObject *last = NULL
        cdef PyObject *known
        cdef int32_t code = 0
        cdef Py_ssize_t number, slot
        cdef dict numbers = {}
        memset(recent, 0, sizeof(recent))
        for number in range(self.clicks):
            text = <PyObject *>PyTuple_GET_ITEM(<tuple>PyList_GET_ITEM(self.rows, number), place)
            if text != last:
                last = text
                slot = (<size_t>text >> 4) % RECENT
                if recent[slot] == text:
                    code = recent_code[slot]
                else:
                    known = PyDict_GetItem(numbers, <object>text)
                    if known is NULL:
                        code = len(numbers)
                        PyDict_SetItem(numbers, <object>text, code)
                    else:
                        code = <object>known
                    recent[slot] = text
                    recent_code[slot] = code
            codes[number] = code
        return list(numbers)

    cdef bytes column(self, list values, const int32_t *codes):
        """Pack the values of texts: several texts may have equal values."""
        cdef dict names = {}
        cdef Py_ssize_t number
        for number in range(len(values)):
            self.lookup[number] = names.setdefault(values[number], len(names))
        if len(names) == len(values):
            return _texts(values, codes, self.clicks)
        for number in range(self.clicks):
            self.made[number] = self.lookup[codes[number]]
        return _texts(list(names), self.made, self.clicks)

    cdef bytes sources(self, list agents, list referrers, list items):
        cdef dict names = {"": 0}
        cdef Py_ssize_t number
        cdef int32_t code
        cdef list of_agents = [_numbered(names, values[1]) for values in agents]
        cdef list of_referrers = [_numbered(names, values[1]) for values in referrers]
        cdef list of_items = [_numbered(names, values[3]) for values in items]
        if len(names) == 1:
            memset(self.made, 0, self.clicks * sizeof(int32_t))
        else:
            for number in range(self.clicks):
                code = of_referrers[self.referrer[number]]
                if not code:
                    code = of_agents[self.agent[number]]
                    if not code:
                        code = of_items[self.item[number]]
                self.made[number] = code
        return _texts(self.used(list(names)), self.made, self.clicks)

    cdef bytes kinds(self, list items):
        cdef dict names = {}
        cdef Py_ssize_t number
        cdef int32_t ways = 0
        cdef list triggers = [], of_items, of_heads = [], classes = []
        cdef dict trigger_numbers = {}, way_numbers = {}
        of_items = [_numbered(trigger_numbers, values[2]) for values in items]
        of_heads = [_numbered(way_numbers, (head.visitor_class, head.counted_as)) for head in self.heads]
        triggers, classes = list(trigger_numbers), list(way_numbers)
        ways = len(classes)
        for number in range(len(of_heads)):
            self.lookup[number] = of_heads[number]
        for number in range(self.clicks):
            self.made[number] = self.lookup[self.head[number]]
        if len(triggers) > 1:
            for number in range(len(of_items)):
                self.lookup[number] = of_items[number]
            for number in range(self.clicks):
                self.made[number] += ways * self.lookup[self.item[number]]
        return _texts(
            self.used(
                [
                    joined((trigger, KINDS[visitor_class], COUNTED_AS[counted_as]))
                    for trigger in triggers
                    for visitor_class, counted_as in classes
                ]
            ),
            self.made,
            self.clicks,
        )

    cdef bytes links(self):
        cdef dict links = {}
        cdef Py_ssize_t number
        cdef list used
        cdef int64_t link
        for number in range(len(self.heads)):
            self.lookup[number] = _numbered(links, self.heads[number].link_id)
        for number in range(self.clicks):
            self.made[number] = self.lookup[self.head[number]]
        used = self.used(list(links))
        cdef uint32_t count = len(used)
        cdef Py_ssize_t width = _width(count)
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, 4 + 8 * count + width * self.clicks)
        cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(packed)
        memcpy(out, &count, 4)
        for number in range(count):
            link = used[number]
            memcpy(out + 4 + 8 * number, &link, 8)
        _put_codes(out + 4 + 8 * count, self.made, self.clicks, width)
        return packed

    cdef list used(self, list names):
        """Number the made column anew, in the order of first appearance. Returns the names in that order."""
        cdef Py_ssize_t number
        cdef int32_t code
        cdef list used = []
        if len(names) == 1:
            return names
        for number in range(len(names)):
            self.lookup[number] = -1
        for number in range(self.clicks):
            code = self.made[number]
            if self.lookup[code] < 0:
                self.lookup[code] = len(used)
                used.append(names[code])
            self.made[number] = self.lookup[code]
        return used

    cdef bytes quarters(self):
        """Return the quarters, which ascend, as runs."""
        cdef list quarters = [], counts = []
        cdef int32_t quarter, last = -1
        cdef Py_ssize_t number
        cdef uint16_t value
        cdef uint32_t run
        for number in range(len(self.heads)):
            self.lookup[number] = self.heads[number].quarter
        for number in range(self.clicks):
            quarter = self.lookup[self.head[number]]
            if quarter != last:
                quarters.append(quarter)
                counts.append(number)
                last = quarter
        counts.append(self.clicks)
        cdef Py_ssize_t size = len(quarters)
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, 4 if size == 1 else 2 + 6 * size)
        cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(packed)
        value = size
        memcpy(out, &value, 2)
        for number in range(size):
            value = quarters[number]
            memcpy(out + 2 + 2 * number, &value, 2)
            if size > 1:
                run = counts[number + 1] - counts[number]
                memcpy(out + 2 + 2 * size + 4 * number, &run, 4)
        return packed

    cdef bytes visitors(self):
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, 1 + VISITOR * self.clicks)
        cdef char *out = PyBytes_AS_STRING(packed)
        cdef bint known = False
        cdef bytes visitor
        cdef Py_ssize_t number
        out[0] = 0
        out += 1
        for number in range(self.clicks):
            visitor = <bytes>PyTuple_GET_ITEM(<tuple>PyList_GET_ITEM(self.rows, number), 4)
            if visitor is NOBODY or not PyBytes_GET_SIZE(visitor):
                memset(out, 0, VISITOR)
            else:
                memcpy(out, PyBytes_AS_STRING(visitor), VISITOR)
                known = known or visitor != NOBODY
            out += VISITOR
        return packed if known else b"\x02"


cdef list _values(list texts, dict table, read):
    """Return the values of texts, looked up in the table first."""
    cdef list values = []
    for text in texts:
        known = table.get(text)
        values.append(read(text) if known is None else known)
    return values


cdef inline int32_t _numbered(dict numbers, value) except -1:
    cdef PyObject *known = PyDict_GetItem(numbers, value)
    if known is not NULL:
        return <object>known
    number = len(numbers)
    numbers[value] = number
    return number


cdef Py_ssize_t _width(Py_ssize_t count):
    """Return the bytes of a number below `count`."""
    if count <= 1:
        return 0
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


cdef void _put_codes(uint8_t *out, const int32_t *codes, Py_ssize_t clicks, Py_ssize_t width):
    cdef Py_ssize_t number
    cdef uint16_t code
    if width == 1:
        for number in range(clicks):
            out[number] = <uint8_t>codes[number]
    elif width == 2:
        for number in range(clicks):
            code = <uint16_t>codes[number]
            memcpy(out + 2 * number, &code, 2)
    elif width == 4:
        memcpy(out, codes, 4 * clicks)


cdef bytes _texts(list names, const int32_t *codes, Py_ssize_t clicks):
    """Pack a column of values, as pack_texts() does."""
    cdef Py_ssize_t number
    if len(names) > MAX_COLUMN:
        return pack_texts(names, [codes[number] for number in range(clicks)])
    cdef bytes text = (<str>names[0] if len(names) == 1 else MARK.join(names)).encode()
    cdef uint16_t count = len(names)
    cdef Py_ssize_t width = _width(count), size = PyBytes_GET_SIZE(text)
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, 2 + size + width * clicks)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(packed)
    memcpy(out, &count, 2)
    memcpy(out + 2, PyBytes_AS_STRING(text), size)
    _put_codes(out + 2 + size, codes, clicks, width)
    return packed
