# Texts of visitors that were looked up already: a part of core.pyx.


cdef enum:
    WAYS = 4

cdef struct known_entry:
    uint64_t hash
    PyObject *text   # bytes; NULL: free
    PyObject *value
    long number


cdef class KnownTexts:
    """Values by text, in sets of four: a new text replaces the one of its set that was not asked for the longest.

    Bounded by `sets` and `max_bytes` of a text. Forgets, so a text that is not there may have been.
    """

    cdef known_entry *entries
    cdef size_t sets, max_bytes
    cdef uint64_t seed

    def __cinit__(self, size_t sets, size_t max_bytes):
        if not sets or sets & (sets - 1):
            raise ValueError("sets must be a power of two")
        self.entries = <known_entry *>calloc(sets * WAYS, sizeof(known_entry))
        if self.entries is NULL:
            raise MemoryError
        self.sets, self.max_bytes = sets, max_bytes
        self.seed = int.from_bytes(urandom(8), "little")

    def __dealloc__(self):
        if self.entries is not NULL:
            self._clear()
            free(self.entries)

    cdef void _clear(self):
        cdef size_t i
        for i in range(self.sets * WAYS):
            Py_XDECREF(self.entries[i].text)
            Py_XDECREF(self.entries[i].value)
        memset(self.entries, 0, self.sets * WAYS * sizeof(known_entry))

    cdef known_entry *find(self, const uint8_t *at, size_t size, uint64_t *hash):
        """Return the entry of a text, the first of its set then, and its hash for keep(); NULL if there is none.

        The entry is valid until the next call of the table.
        """
        cdef known_entry *first
        cdef known_entry entry
        cdef int i
        hash[0] = known_hash(at, size, self.seed)
        first = self.entries + (hash[0] & (self.sets - 1)) * WAYS
        for i in range(WAYS):
            if first[i].hash == hash[0] and first[i].text is not NULL:
                text = <bytes>first[i].text
                # A text of no bytes may have no place either.
                if <size_t>PyBytes_GET_SIZE(text) == size and (
                    not size or not memcmp(PyBytes_AS_STRING(text), at, size)
                ):
                    if i:
                        entry = first[i]
                        memmove(first + 1, first, i * sizeof(known_entry))
                        first[0] = entry
                    return first
        return NULL

    cdef known_entry *keep(
        self, uint64_t hash, const uint8_t *at, size_t size, value, long number
    ) except? NULL:
        """Keep the value and the number of a text that find() has not found. Returns its entry, which is valid
        until the next call of the table; NULL for a long text, which is not kept."""
        cdef known_entry *first = self.entries + (hash & (self.sets - 1)) * WAYS
        if size > self.max_bytes:
            return NULL
        text = PyBytes_FromStringAndSize(<char *>at, size)
        former_text, former_value = first[WAYS - 1].text, first[WAYS - 1].value
        memmove(first + 1, first, (WAYS - 1) * sizeof(known_entry))
        Py_INCREF(text)
        Py_INCREF(value)
        first[0].hash, first[0].number = hash, number
        first[0].text, first[0].value = <PyObject *>text, <PyObject *>value
        Py_XDECREF(former_text)
        Py_XDECREF(former_value)
        return first

    def get(self, bytes text):
        """Return (the value, the number) of a text; None if it is not there."""
        cdef uint64_t hash
        cdef known_entry *entry = self.find(
            <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &hash
        )
        return None if entry is NULL else (<object>entry.value, entry.number)

    def put(self, bytes text, value, long number):
        """Keep the value and the number of a text that is not there."""
        cdef uint64_t hash
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(text)
        if self.find(at, PyBytes_GET_SIZE(text), &hash) is NULL:
            self.keep(hash, at, PyBytes_GET_SIZE(text), value, number)

    def clear(self):
        """Forget all."""
        self._clear()
