# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled core: reads plain heads, answers plain visits, and has a wake-up's records in one write.

A visit is plain if its head is (head.h) and its route leads to one target for everybody. Of another visit with
a plain head, Python gets the request; of another head, the bytes as they came. Both before anything was done, so
each request has one answer. What the core answers is, byte for byte, what the Python server would: tests/api/visits/compiled/ compares.

Responses of one connection keep their order: the core leaves a request to Python while a response of Python's
to that connection has not been sent, and sends its own first if Python's turn comes.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memmove, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_Size
from cpython.long cimport PyLong_AsLong
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, PyObject

cdef extern from *:
    """
    #ifndef WAYPOST_SOURCES
    #define WAYPOST_SOURCES ""
    #endif
    """
    const char *WAYPOST_SOURCES

cdef extern from "head.h" nogil:
    ctypedef struct span:
        const uint8_t *at
        size_t size
    ctypedef struct plain_head:
        span path, query, user_agent, referrer, language, host, forwarded_for, brands, mobile, platform
        span codings, known_tags
        int is_repeated
        int is_ranged
        int keep_alive
        int has_cookie
    void head_setup()
    int read_plain_head(const uint8_t *, size_t, int, plain_head *)
    int span_has(span, const char *, size_t)

cdef extern from "query.h" nogil:
    int campaign_add_name(const char *, size_t)
    int query_names_campaign(span)
    int query_has_ours(span)
    int span_may_have_host(span, span)
    size_t campaign_write(span, size_t, uint8_t *)

cdef extern from "blake2b.h" nogil:
    ctypedef struct blake2b_key:
        pass
    int BLAKE2B_KEY, BLAKE2B_DIGEST
    void blake2b_set_key(blake2b_key *, const uint8_t *)
    void blake2b_digest(const blake2b_key *, const uint8_t *, size_t, uint8_t *)

cdef extern from "record.h" nogil:
    int RECORD_IDS, RECORD_VISITOR
    ctypedef struct record:
        uint8_t kind, classification
        int64_t at_us
        const uint8_t *ids
        const uint8_t *visitor
        span user_agent, referrer, language, items
    size_t record_size(const record *)
    uint8_t *record_write(uint8_t *, const record *)

cdef extern from "slots.h":
    Py_ssize_t slot_offset(object, const char *) except -1
    PyObject *slot_value(object, Py_ssize_t)
    bint slot_is(object, Py_ssize_t, object)
    void slot_set(object, Py_ssize_t, object)

cdef extern from "known.h" nogil:
    uint64_t known_hash(const uint8_t *, size_t, uint64_t)

cdef extern from "frame.h" nogil:
    int FRAME_HEAD
    void frame_setup()
    uint32_t crc32c(const uint8_t *, size_t)
    uint32_t crc32c_by_table(const uint8_t *, size_t)
    void frame_finish(uint8_t *, size_t, uint8_t, uint8_t, uint16_t, uint64_t)

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        unsigned short ss_family
    int accept4(int, sockaddr *, socklen_t *, int)
    ssize_t recv(int, void *, size_t, int)
    ssize_t send(int, const void *, size_t, int)
    int AF_INET, AF_INET6, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK

cdef extern from "sys/uio.h" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t writev(int, const iovec *, int)

cdef extern from "netinet/in.h" nogil:
    cdef struct sockaddr_in:
        int sin_addr
    cdef struct sockaddr_in6:
        int sin6_addr

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int, const void *, char *, socklen_t)

cdef extern from "unistd.h" nogil:
    int close(int)

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_wait(int, epoll_event *, int, int)
    unsigned int EPOLLIN

from os import urandom

from actors.visits.click_ids import GIVEN_CLICK_ID
from actors.visits.experiments.variants import ASSIGNED, EXPOSED
from actors.visits.profile import ProfileActor
from actors.visits.route import VisitRoute
from api.visits.connection import VisitorConnection
from api.visits.pages.asset_answers import asset_heads
from api.visits.pages.negotiation import MARKS
from api.visits.strict_head import KNOWN_HOSTS
from engine.assets.address import MAX_PATH, PREFIX, asset_file
from engine.clicks.agents.client_hints import HintedAgents
from engine.clicks.click import CLASS_MASK, MAX_ITEMS_BYTES, ClickKind
from engine.clicks import journal_format
from engine.clicks.record_items import MAX_ITEM_BYTES, TRIGGER_ITEMS, UTM, HostItems, Trigger
from engine.clicks.utm import NAMES
from engine.visits.classifier import MAX_KNOWN
from engine.visits.content_coding import coding_of, names_tag
from engine.visits.edge_assignment import PREVIEW_PARAMETER
from engine.visits.entrance import own_referrer
from engine.visits.query_parameters import take_trigger
from engine.visits.request import ClientInfo, Visit, VisitRequest

SOURCES = WAYPOST_SOURCES.decode()  # a digest of the sources that this was built from

cdef enum:
    BATCH = 64
    READ_BYTES = 16384
    ADDRESS_CHARS = 64
    PEER_SETS = 4096             # of four each
    MAX_SLOTS = 32
    MAX_ANSWERS = 256            # of one wake-up; a frame's records
    RESPONSE_BYTES = 512 * 1024  # of one wake-up
    RECORD_BYTES = 192 * 1024    # of one wake-up
    MAX_RECORD = 1024
    ITEMS_BYTES = 1024           # room for items; MAX_ITEMS_BYTES is less
    MAX_IDENTITY = 512           # ids, network and user agent
    MAX_STATUS = 400
    MAX_AGENT_TEXT = 512         # user agent and client hints
    UNCLASSIFIED = -1
    HOST_SETS = 64
    MAX_HOST_TEXT = 128

cdef int CLICK = ClickKind.CLICK
cdef int CLICKS = journal_format.CLICKS
cdef int CLICKS_VERSION = journal_format.CLICKS_VERSION
cdef int MAX_FRAME_CLICKS = journal_format.MAX_FRAME_CLICKS
cdef size_t MAX_FRAME_BYTES = journal_format.MAX_FRAME_BYTES
cdef int VIEW = ClickKind.VIEW
cdef int MAX_ITEMS = MAX_ITEMS_BYTES
cdef int MAX_ITEM = MAX_ITEM_BYTES
cdef int UTM_TAG = UTM
cdef int CLASSES = CLASS_MASK
cdef int PAGE = Trigger.PAGE
head_setup()
frame_setup()
for _name in NAMES:
    if not campaign_add_name(_name.encode(), len(_name)):
        raise ImportError("a name of a campaign has no room")

cdef Py_ssize_t _FD = slot_offset(VisitorConnection, "fd")
cdef Py_ssize_t _CLIENT = slot_offset(VisitorConnection, "client")
cdef Py_ssize_t _LIMITED = slot_offset(VisitorConnection, "limited")
cdef Py_ssize_t _PARSER = slot_offset(VisitorConnection, "parser")
cdef Py_ssize_t _DEADLINE = slot_offset(VisitorConnection, "deadline")
cdef Py_ssize_t _UNSENT = slot_offset(VisitorConnection, "unsent")
cdef Py_ssize_t _WAITING = slot_offset(VisitorConnection, "waiting")
cdef Py_ssize_t _CLOSING = slot_offset(VisitorConnection, "closing")
cdef Py_ssize_t _ENDED = slot_offset(VisitorConnection, "ended")
cdef Py_ssize_t _DISCARD = slot_offset(VisitorConnection, "discard")
cdef Py_ssize_t _LINGER = slot_offset(VisitorConnection, "linger")
cdef Py_ssize_t _NETWORKS = slot_offset(VisitorConnection, "networks")
cdef Py_ssize_t _FIRST_DEADLINE = slot_offset(VisitorConnection, "first_deadline")
cdef Py_ssize_t _ACTOR = slot_offset(VisitRoute, "actor")
cdef Py_ssize_t _KIND = slot_offset(VisitRoute, "kind")
cdef Py_ssize_t _STATUS = slot_offset(VisitRoute, "status")
cdef Py_ssize_t _TAIL = slot_offset(VisitRoute, "tail")
cdef Py_ssize_t _IDS = slot_offset(VisitRoute, "ids")
cdef Py_ssize_t _PLAIN = slot_offset(VisitRoute, "plain")
cdef Py_ssize_t _PASSTHROUGH = slot_offset(VisitRoute, "passthrough")
cdef Py_ssize_t _SOLE_ASSIGNER = slot_offset(VisitRoute, "sole_assigner")
cdef Py_ssize_t _VISITED = slot_offset(ProfileActor, "visited")
cdef Py_ssize_t _NETWORK = slot_offset(ClientInfo, "network")
cdef Py_ssize_t _PLACE = slot_offset(ClientInfo, "place")

cdef struct items_t:
    size_t size
    uint8_t bytes[ITEMS_BYTES]

cdef struct response_t:
    PyObject *connection
    size_t at
    size_t size
    PyObject *body  # bytes that are sent from where they are, behind those of the buffer; or NULL


include "known.pxi"


cdef class VisitCore:
    """The compiled part of one CompiledVisitorServer, whose attributes it uses.

    `read` receives from a connection and answers, or hands the bytes to the server's read_in_python(). `begin`
    and `finish` frame a wake-up, as the server's do.
    """

    cdef object server, connections, recorder, clients, entrances, visits, heads, unused_parser, shares
    cdef object lines_keep, lines_close, idle_deadline, hosts, domains
    cdef object classifications, host_items, hinted_agents, pseudonymiser
    cdef KnownTexts known_agents, known_hosts, known_peers
    cdef list python_records, python_responses  # the server's lists of this wake-up
    cdef dict paths, fixed_files, by_descriptor, known_clients, share_counts
    cdef tuple share_limits
    cdef object head_deadline
    cdef Py_ssize_t slots[MAX_SLOTS]  # of a connection
    cdef int slot_count, accepted
    cdef int epoll, listener
    cdef Py_ssize_t max_connections
    cdef bytes query_text, referrer_text  # to which a record's spans point until it is written
    cdef bint proxied, keyed, draining, hosts_decide
    cdef size_t max_head_bytes
    cdef blake2b_key key
    cdef int64_t now_us
    cdef uint8_t *input
    cdef uint8_t *responses
    cdef uint8_t *records
    cdef size_t response_bytes, record_bytes
    cdef int response_count, record_count
    cdef response_t pending[MAX_ANSWERS]
    cdef long visits_by_status[MAX_STATUS]
    cdef readonly long long answered  # visits and requests for files

    def __cinit__(self):
        self.input = <uint8_t *>malloc(READ_BYTES)
        self.responses = <uint8_t *>malloc(RESPONSE_BYTES)
        self.records = <uint8_t *>malloc(RECORD_BYTES)
        if self.input is NULL or self.responses is NULL or self.records is NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef int i
        for i in range(self.response_count):
            Py_DECREF(<object>self.pending[i].connection)
            Py_XDECREF(self.pending[i].body)
        free(self.input)
        free(self.responses)
        free(self.records)

    def __init__(self, server):
        self.server = server
        self.connections = server._connections
        self.by_descriptor = self.connections.by_descriptor
        self.shares = self.connections.shares
        self.max_connections = self.connections.max_connections
        self.known_peers = KnownTexts(PEER_SETS, 16)
        self.share_counts = self.shares.counts
        self.share_limits = self.shares.limits
        self.slot_count = 0
        for name in VisitorConnection.__slots__:
            self.slots[self.slot_count] = slot_offset(VisitorConnection, name.encode())
            self.slot_count += 1
        self.epoll = self.connections.epoll.fileno()
        self.listener = server._listener.descriptor
        self.heads = server.heads
        self.unused_parser = server.unused_parser
        self.recorder = server._recorder
        self.clients = server._clients
        self.known_clients = self.clients.known
        self.visits = server.visits
        self.paths = server._registry.paths
        self.fixed_files = server._files.responses
        self.entrances = server._registry.entrances
        self.classifications = server._classifications
        self.proxied = server._proxied
        self.max_head_bytes = server.heads.max_head_bytes
        self.host_items = HostItems()
        self.hinted_agents = HintedAgents()
        self.known_agents = KnownTexts(MAX_KNOWN // WAYS, MAX_AGENT_TEXT)
        self.known_hosts = KnownTexts(HOST_SETS, MAX_HOST_TEXT)
        self.python_records, self.python_responses = server._records, server._responses

    # ---- one wake-up ----------------------------------------------------------------------------

    def on_readable(self):
        """Serve what is ready, at most a batch, as VisitorServer.on_readable() does."""
        cdef epoll_event events[BATCH]
        cdef int i, count = epoll_wait(self.epoll, events, BATCH, 0)
        cdef bint accepts = False
        cdef PyObject *found
        self.server._begin()
        for i in range(count):
            found = PyDict_GetItem(self.by_descriptor, events[i].data.fd)
            if found is NULL:
                accepts = accepts or events[i].data.fd == self.listener
                continue
            connection = <object>found
            try:
                if events[i].events == EPOLLIN:
                    self._read(connection)
                else:
                    self.server._serve(connection, events[i].events)
            except Exception:
                self.server._contain_error(connection)
        if accepts:
            # At the end, as in Python: accepting may close connections, whose descriptors new ones get.
            self._accept()
            self.server.accepted += self.accepted
            self.accepted = 0
        if self.heads.exceeded:
            self.server._shed_heads()
        self.finish()

    cdef _accept(self):
        """Accept connections, at most a batch, and read each."""
        self.head_deadline = self.server._now + self.server._head_s
        cdef sockaddr_storage address
        cdef socklen_t size
        cdef int i, fd
        for i in range(BATCH):
            size = sizeof(address)
            fd = accept4(self.listener, <sockaddr *>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno != EAGAIN:
                    self.server._accept()  # meets the same error, and knows what to do
                return
            self._admit(fd, &address)

    cdef _admit(self, int fd, sockaddr_storage *address):
        """Take an accepted connection in and read it, as VisitorServer._admit() does."""
        cdef known_entry *peer = self._peer(address)
        cdef tuple networks = <tuple>slot_value(<object>peer.value, _NETWORKS)
        if PyDict_Size(self.by_descriptor) >= self.max_connections or not self._has_share(networks):
            self.server._admit(fd, (<object>peer.value).peer)  # makes room, or turns it away
            return
        self.accepted += 1
        connection = self._open(fd, <object>peer.value)
        try:
            self._read(connection)
            if _number(connection, _FD) >= 0 and slot_is(connection, _CLOSING, False):
                self.connections.register(connection)
        except Exception:
            self.server._contain_error(connection)

    cdef known_entry *_peer(self, sockaddr_storage *address) except NULL:
        """Return an entry whose value is a connection of this address that was never opened."""
        cdef uint8_t key[16]
        cdef uint64_t hash
        cdef size_t size = _address_key(address, key)
        cdef known_entry *entry = self.known_peers.find(key, size, &hash)
        if entry is NULL:
            entry = self.known_peers.keep(hash, key, size, self.server.unopened(_address(address)), 0)
        return entry

    cdef _open(self, int fd, pattern):
        """Return a connection as VisitorServer._open() makes it, by copying one of the same address."""
        cdef int i
        connection = VisitorConnection.__new__(VisitorConnection)
        for i in range(self.slot_count):
            slot_set(connection, self.slots[i], <object>slot_value(pattern, self.slots[i]))
        descriptor = fd
        slot_set(connection, _FD, descriptor)
        slot_set(connection, _DEADLINE, self.head_deadline)
        slot_set(connection, _FIRST_DEADLINE, self.head_deadline)
        self.by_descriptor[descriptor] = connection
        networks = <tuple>slot_value(pattern, _NETWORKS)
        for network in networks:
            self.share_counts[network] = _count(self.share_counts, network) + 1
        return connection

    cdef bint _has_share(self, tuple networks) except -1:
        """Return whether ConnectionShares.exceeded() names no network."""
        cdef Py_ssize_t i
        for i in range(len(networks)):
            if _count(self.share_counts, networks[i]) >= self.share_limits[i]:
                return False
        return True

    def forget_peers(self):
        """Look the clients of all addresses up again, as places may have changed."""
        self.known_peers.clear()

    def begin(self):
        """Take over what the server knows of this wake-up."""
        server = self.server
        self.now_us = server._now_us
        self.idle_deadline = server._idle_deadline
        self.lines_keep = server._lines.keep
        self.lines_close = server._lines.close
        self.draining = server._draining
        self.hosts = server.hosts
        self.hosts_decide = self.hosts.decides
        self.domains = self.hosts.domains
        pseudonymiser = server._pseudonymiser
        if pseudonymiser is not self.pseudonymiser:
            self.pseudonymiser = pseudonymiser
            self.keyed = pseudonymiser is not None
            if self.keyed:
                self._set_key(pseudonymiser.key)

    cdef _set_key(self, bytes key):
        if PyBytes_GET_SIZE(key) != BLAKE2B_KEY:
            raise ValueError("a daily key has another length")
        blake2b_set_key(&self.key, <const uint8_t *>PyBytes_AS_STRING(key))

    def read(self, connection):
        """Read the connection once and answer what came."""
        self._read(connection)

    cdef _read(self, connection):
        cdef ssize_t size
        if type(connection) is not VisitorConnection:
            raise TypeError("slots are those of other types")
        size = recv(_number(connection, _FD), self.input, READ_BYTES, 0)
        if size < 0:
            if errno != EAGAIN and errno != EINTR:
                self.connections.close(connection)
        elif size == 0:
            self.server._end_of_input(connection)
        elif not self._answer(connection, <size_t>size):
            self.server.read_in_python(connection, PyBytes_FromStringAndSize(<char *>self.input, size))

    def finish(self):
        """Record what was answered here and in Python, in one write; then send."""
        cdef int recorded = self.record_count
        cdef list records = self.python_records
        if recorded or records:
            self._record(records)
            self.record_count = 0
            self.record_bytes = 0
            if records:
                self.python_records = self.server._records = []
            self._count_visits()
            if not self.keyed:
                self.server.unidentified += recorded + len(records)
        if self.response_count:
            self._send()
        responses = self.python_responses
        if responses:
            self.python_responses = self.server._responses = []
            for connection, response in responses:
                self.connections.send(connection, response)

    cdef _record(self, list records):
        cdef int count = self.record_count
        cdef bytes frame, others
        cdef size_t own, size
        cdef uint8_t *at
        if not count:
            self.recorder.append(records)
            return
        own, others = self.record_bytes, b""
        if records:
            others = b"".join(records)
            count += len(records)
        size = FRAME_HEAD + own + PyBytes_GET_SIZE(others)
        if count <= MAX_FRAME_CLICKS and size <= MAX_FRAME_BYTES:
            frame = PyBytes_FromStringAndSize(NULL, size)
            at = <uint8_t *>PyBytes_AS_STRING(frame)
            memcpy(at + FRAME_HEAD, self.records, own)
            memcpy(at + FRAME_HEAD + own, PyBytes_AS_STRING(others), PyBytes_GET_SIZE(others))
            frame_finish(at, size, CLICKS, CLICKS_VERSION, count, self.recorder.appended + 1)
            self.recorder.append_frame(count, frame)
        else:
            self.recorder.append(self._own_records() + records)

    cdef list _own_records(self):
        cdef list records = []
        cdef size_t at = 0
        cdef uint16_t size
        while at < self.record_bytes:
            memcpy(&size, self.records + at, 2)
            records.append(PyBytes_FromStringAndSize(<char *>self.records + at, size))
            at += size
        return records

    cdef _count_visits(self):
        cdef int status
        by_status = self.server.visits_by_status
        for status in (200, 301, 302, 303, 304, 307, 308):
            if self.visits_by_status[status]:
                by_status[status] += self.visits_by_status[status]
                self.answered += self.visits_by_status[status]
                self.visits_by_status[status] = 0

    cdef _send(self):
        cdef int i, fd, count = self.response_count
        cdef response_t *response
        cdef ssize_t sent
        cdef size_t size
        cdef bytes body
        self.response_count = 0
        self.response_bytes = 0
        for i in range(count):
            response = &self.pending[i]
            connection = <object>response.connection
            Py_DECREF(connection)
            body, size = None, response.size
            if response.body is not NULL:
                body = <bytes>response.body
                Py_DECREF(body)
                size += PyBytes_GET_SIZE(body)
            fd = _number(connection, _FD)
            if fd < 0:
                continue
            if not slot_is(connection, _UNSENT, b""):
                self.connections.send(connection, self._response(response, body, 0))
                continue
            if body is None:
                sent = send(fd, self.responses + response.at, size, MSG_NOSIGNAL)
            else:
                sent = self._send_both(fd, response, body)
            if sent == <ssize_t>size:
                if slot_is(connection, _CLOSING, True) or slot_is(connection, _ENDED, True):
                    self._end(connection)
            elif sent < 0 and errno != EAGAIN and errno != EINTR:
                self.connections.close(connection)
            else:
                self.connections.keep_rest(connection, self._response(response, body, max(0, sent)))

    cdef ssize_t _send_both(self, int fd, response_t *response, bytes body) except? -1:
        cdef iovec parts[2]
        parts[0].iov_base, parts[0].iov_len = self.responses + response.at, response.size
        parts[1].iov_base, parts[1].iov_len = PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body)
        return writev(fd, parts, 2)

    cdef _end(self, connection):
        """Do what ConnectionSet.after_response() does; most connections here are closed with nothing kept."""
        cdef tuple networks
        cdef long count
        if not slot_is(connection, _PARSER, self.unused_parser) or not slot_is(connection, _LINGER, False):
            self.connections.after_response(connection)
            return
        if slot_is(connection, _CLOSING, False) and not slot_is(connection, _WAITING, None):
            return
        descriptor = <object>slot_value(connection, _FD)
        del self.by_descriptor[descriptor]
        networks = <tuple>slot_value(connection, _NETWORKS)
        for network in networks:  # as ConnectionShares.give_back() does
            count = _count(self.share_counts, network) - 1
            if count > 0:
                self.share_counts[network] = count
            else:
                del self.share_counts[network]
        slot_set(connection, _FD, -1)
        close(descriptor)

    cdef bytes _response(self, response_t *response, bytes body, size_t start):
        """Return the response from a byte on."""
        if start >= response.size:
            return body[start - response.size :]
        head = PyBytes_FromStringAndSize(
            <char *>self.responses + response.at + start, response.size - start
        )
        return head if body is None else head + body

    # ---- one visit ------------------------------------------------------------------------------

    cdef bint _answer(self, connection, size_t size) except -1:
        """Answer the bytes that were read, if they are a plain head. Returns whether they are."""
        cdef plain_head head
        cdef PyObject *found
        cdef bytes path, host, agent
        cdef known_entry *known
        cdef uint8_t classification
        if size > self.max_head_bytes or not read_plain_head(self.input, size, self.proxied, &head):
            return False
        if not self._is_idle(connection):
            return False
        host = self._host(&head)
        if host is None:
            return False
        agent = self._agent(&head, &known)
        path = _bytes(head.path)
        found = PyDict_GetItem(self.paths, path)
        if found is not NULL:
            route = <object>found
            if type(route) is not VisitRoute or type(<object>slot_value(route, _ACTOR)) is not ProfileActor:
                raise TypeError("slots are those of other types")
            classification = self._classification(agent, known)
            if self.hosts_decide and not self._serves(host):
                pass
            elif _number(route, _KIND) == VIEW:
                if _view(self, connection, route, host, agent, classification, &head):
                    return True
            elif _is_plain(route, &head):
                if self._redirect(connection, route, host, agent, classification, &head):
                    return True
        elif _file(self, connection, host, path, &head):
            return True
        if head.has_cookie or self.input[5] in MARKS:
            return False  # what else the head says counts for experiments, pages and assets
        self._answer_in_python(connection, path, host, agent, &head)
        return True

    cdef bint _is_idle(self, connection) except -1:
        """Return whether nothing that came of the connection earlier has still to be answered or dropped."""
        if not slot_is(connection, _WAITING, None) or _number(connection, _DISCARD):
            return False
        return slot_is(connection, _PARSER, self.unused_parser) or not connection.parser.kept_bytes

    cdef _answer_in_python(self, connection, bytes path, bytes host, bytes agent, plain_head *head):
        """Have the server in Python answer the request of a head that was read here."""
        connection.deadline = self.idle_deadline
        self.server._answer(connection, self._request(path, host, agent, head))

    cdef _request(self, bytes path, bytes host, bytes agent, plain_head *head):
        return VisitRequest(
            path, _bytes(head.query), agent, _bytes(head.referrer), _bytes(head.language), False,
            head.keep_alive != 0, False, _bytes(head.forwarded_for), host, b"",
        )  # fmt: skip

    cdef bytes _host(self, plain_head *head):
        """Return the host as parse_host() reads it; None if Python has not read it yet."""
        cdef uint64_t hash
        cdef known_entry *entry = self.known_hosts.find(head.host.at, head.host.size, &hash)
        cdef PyObject *found
        if entry is not NULL:
            return <bytes>entry.value
        found = PyDict_GetItem(KNOWN_HOSTS, _bytes(head.host))
        if found is NULL:
            return None
        self.known_hosts.keep(hash, head.host.at, head.host.size, <object>found, 0)
        return <bytes>found

    cdef bytes _agent(self, plain_head *head, known_entry **known):
        """Return the user agent with what its client hints say more, and set its entry; NULL if it has none."""
        cdef uint8_t text[MAX_AGENT_TEXT]
        cdef uint64_t hash
        cdef span key = head.user_agent
        known[0] = NULL
        if head.brands.size:
            key = _joined(head, text)
            if not key.size:
                return self._hinted(head)
        known[0] = self.known_agents.find(key.at, key.size, &hash)
        if known[0] is not NULL:
            return <bytes>known[0].value
        agent = self._hinted(head) if head.brands.size else _bytes(head.user_agent)
        known[0] = self.known_agents.keep(hash, key.at, key.size, agent, UNCLASSIFIED)
        return agent

    cdef int _classification(self, bytes agent, known_entry *known) except -1:
        """Return the classification of a user agent, which is made for the first visit that leads somewhere."""
        if known is NULL:
            return self.classifications[agent]
        if known.number == UNCLASSIFIED:
            known.number = self.classifications[agent]
        return known.number

    cdef bytes _hinted(self, plain_head *head):
        agent, brands = _bytes(head.user_agent), _bytes(head.brands)
        hinted = self.hinted_agents[agent, brands]
        if not hinted:
            hinted = self.hinted_agents[agent, brands, _bytes(head.mobile), _bytes(head.platform)]
        return hinted

    cdef bint _serves(self, host) except -1:
        """Return whether a request at the host is answered as at any other."""
        if host in self.domains:
            return False
        return (self.hosts.known and not self.hosts.strict) or self.hosts.is_own(host)

    cdef bint _redirect(
        self, connection, route, bytes host, bytes agent, uint8_t classification, plain_head *head
    ) except -1:
        """Answer a plain visit of a route. Returns False, with nothing done, if Python has to."""
        cdef bytes line, tail
        cdef uint8_t visitor[8]
        cdef record click
        cdef items_t items
        cdef span campaign
        cdef bint keeps = head.keep_alive and not self.draining
        cdef int status = _number(route, _STATUS)
        if status not in (301, 302, 303, 307, 308):
            return False
        line = self._line(status, keeps)
        tail = <bytes>slot_value(route, _TAIL)
        if not tail:
            return False  # the first visit, for which Python makes it
        client = self._client(connection, head)
        if type(client) is not ClientInfo:
            raise TypeError("slots are those of other types")
        click.kind = CLICK
        click.classification = classification
        click.at_us = self.now_us
        ids = <bytes>slot_value(route, _IDS)
        click.ids = <const uint8_t *>PyBytes_AS_STRING(ids)
        click.user_agent = _span(agent)
        click.language = head.language
        click.visitor = visitor
        self._pseudonym(click.ids, <bytes>slot_value(client, _NETWORK), agent, visitor)
        items.size = 0
        _add_item(&items, <bytes>slot_value(client, _PLACE))
        _add_item(&items, self.host_items[host])
        if not self._way(route, client, host, agent, head, &click, &items, &campaign):
            return False
        if not slot_is(route, _PLAIN, True):
            tail = self._variant_tail(route, client, agent, head, &click, &items)
        if campaign.size:
            _add_campaign(&items, campaign)
        if not tail or not self._has_room(connection, line, tail):
            return False
        click.items.at = items.bytes
        click.items.size = items.size
        if not slot_is(connection, _LIMITED, False) and not self._admits(connection, client, keeps):
            return True
        # Nothing below fails: a record and its response come together.
        slot_set(connection, _DEADLINE, self.idle_deadline)
        slot_set(<object>slot_value(route, _ACTOR), _VISITED, True)
        if not keeps:
            slot_set(connection, _CLOSING, True)
        self._keep_record(&click)
        self._keep_response(connection, line, tail)
        self.visits_by_status[status] += 1
        return True

    cdef bytes _variant_tail(
        self, route, client, bytes agent, plain_head *head, record *click, items_t *items
    ):
        """Return the response of a link in its only experiment, and add the exposure to the items."""
        cdef int visitor_class = click.classification & CLASSES
        request = self._request(_bytes(head.path), b"", agent, head)
        visit = Visit(request, client, click.classification, self.now_us, self.pseudonymiser)
        variant, _, exposure_item = route.sole_assigner.assign(visit, visitor_class in ASSIGNED, b"")
        if visitor_class in EXPOSED:
            _add_item(items, exposure_item)
        return route.tail if variant is None else route.sole_destinations[variant].tail

    cdef bint _way(
        self, route, client, host, bytes agent, plain_head *head, record *click, items_t *items,
        span *campaign_of_click,
    ) except -1:
        """Set the referrer and the campaign, and add the trigger, as ProfileActor.visit() does. Returns False if
        the visit is not plain after all."""
        cdef span campaign
        cdef int trigger
        actor = <object>slot_value(route, _ACTOR)
        click.referrer = head.referrer
        if not self._read_query(head, &campaign, &trigger):
            return False
        own = None
        if head.referrer.size and (trigger or span_has(head.referrer, b"/@", 2)):
            own = own_referrer(_bytes(head.referrer), host, actor.page_path)
            if own is not None and own.is_page and not trigger:
                trigger = PAGE
        if trigger:
            if trigger == PAGE and (actor.has_page_experiments or not route.plain):
                return False
            _add_item(items, TRIGGER_ITEMS[trigger])
            if own is not None or (trigger == PAGE and not head.referrer.size):
                self.referrer_text, self.query_text = actor.way_from_page(
                    own, _bytes(campaign), PyBytes_FromStringAndSize(<char *>click.visitor, 8),
                    client.network, agent, self.now_us,
                )  # fmt: skip
                click.referrer = _span(self.referrer_text)
                campaign = _span(self.query_text)
        campaign_of_click[0] = campaign
        return True

    cdef bint _read_query(self, plain_head *head, span *campaign, int *trigger) except -1:
        """Set the campaign and the trigger that a query names. Returns False for a preview, which is Python's."""
        campaign.size = 0
        trigger[0] = 0
        if not head.query.size:
            return True
        if query_names_campaign(head.query):
            campaign[0] = head.query
        if query_has_ours(head.query):
            query = _bytes(head.query)
            if PREVIEW_PARAMETER in query:
                return False
            trigger[0], self.query_text = take_trigger(query)
            campaign[0] = _span(self.query_text)
            if not query_names_campaign(campaign[0]):
                campaign.size = 0
        return True

    cdef bint _has_room(self, connection, bytes line, bytes tail) except -1:
        """Return whether this wake-up has room for a response and its record, and the connection's order lets
        them be Python's neighbours."""
        cdef list responses = self.python_responses
        if responses and responses[len(responses) - 1][0] is connection:
            return False
        return (
            self.response_count < MAX_ANSWERS
            and self.record_bytes + MAX_RECORD <= RECORD_BYTES
            and self.response_bytes + PyBytes_GET_SIZE(line) + PyBytes_GET_SIZE(tail) <= RESPONSE_BYTES
        )

    cdef _client(self, connection, plain_head *head):
        cdef PyObject *found
        if not slot_is(connection, _CLIENT, None):
            return <object>slot_value(connection, _CLIENT)
        if self.proxied:
            forwarded = _bytes(head.forwarded_for)
            found = PyDict_GetItem(self.known_clients, (connection.peer, forwarded))
            if found is not NULL:
                return <object>found
            return self.clients.of_forwarded(connection.peer, forwarded)
        client = connection.client = self.clients.of_peer(connection.peer)
        return client

    cdef bytes _line(self, int status, bint keeps):
        """Return the status line with the date."""
        return (self.lines_keep if keeps else self.lines_close)[status]

    cdef _pseudonym(self, const uint8_t *ids, bytes network, bytes agent, uint8_t *visitor):
        cdef uint8_t identity[MAX_IDENTITY]
        cdef size_t network_size = PyBytes_GET_SIZE(network), agent_size = PyBytes_GET_SIZE(agent)
        if not self.keyed:
            (<uint64_t *>visitor)[0] = 0
            return
        if 16 + network_size + agent_size > MAX_IDENTITY:
            raise ValueError("an identity is too long")
        memcpy(identity, ids, 16)  # of tenant and profile
        memcpy(identity + 16, PyBytes_AS_STRING(network), network_size)
        memcpy(identity + 16 + network_size, PyBytes_AS_STRING(agent), agent_size)
        blake2b_digest(&self.key, identity, 16 + network_size + agent_size, visitor)

    cdef bint _admits(self, connection, client, bint keeps) except -1:
        """Charge a request to its client's rate limit; refuse it if the client has none left."""
        if self.visits.admits(client, int(self.server._now * 1e6)):
            return True
        connection.deadline = self.idle_deadline
        self.server._refuse(connection, 429, False, close=not keeps)
        return False

    cdef void _keep_record(self, const record *click):
        record_write(self.records + self.record_bytes, click)
        self.record_bytes += record_size(click)
        self.record_count += 1

    cdef void _keep_response(self, connection, bytes line, bytes tail):
        cdef response_t *response = &self.pending[self.response_count]
        cdef size_t line_size = PyBytes_GET_SIZE(line), tail_size = PyBytes_GET_SIZE(tail)
        Py_INCREF(connection)
        response.connection = <PyObject *>connection
        response.body = NULL
        response.at = self.response_bytes
        response.size = line_size + tail_size
        memcpy(self.responses + response.at, PyBytes_AS_STRING(line), line_size)
        memcpy(self.responses + response.at + line_size, PyBytes_AS_STRING(tail), tail_size)
        self.response_bytes += response.size
        self.response_count += 1

    cdef void _keep_response_by_reference(self, connection, bytes head, bytes body):
        """Like _keep_response(), of a body that is too large to be copied."""
        self._keep_response(connection, head, b"")
        Py_INCREF(body)
        self.pending[self.response_count - 1].body = <PyObject *>body


include "pages.pxi"


cdef str _address(sockaddr_storage *address):
    """Return the address as Python writes it; empty for that of a unix socket."""
    cdef char text[ADDRESS_CHARS]
    if address.ss_family == AF_INET:
        inet_ntop(AF_INET, &(<sockaddr_in *>address).sin_addr, text, ADDRESS_CHARS)
    elif address.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &(<sockaddr_in6 *>address).sin6_addr, text, ADDRESS_CHARS)
    else:
        return ""
    return text.decode("ascii")


cdef size_t _address_key(sockaddr_storage *address, uint8_t *key):
    """Write the bytes that tell an address from others of any kind, 16 at most, and return their number."""
    if address.ss_family == AF_INET:
        memcpy(key, &(<sockaddr_in *>address).sin_addr, 4)
        return 4
    if address.ss_family == AF_INET6:
        memcpy(key, &(<sockaddr_in6 *>address).sin6_addr, 16)
        return 16
    return 0


cdef inline long _count(dict counts, key) except -1:
    cdef PyObject *found = PyDict_GetItem(counts, key)
    return 0 if found is NULL else PyLong_AsLong(<object>found)


cdef inline long _number(object, Py_ssize_t slot) except? -1:
    return PyLong_AsLong(<object>slot_value(object, slot))


cdef inline span _joined(plain_head *head, uint8_t *text):
    """Write the user agent and all client hints one behind another, at most MAX_AGENT_TEXT; empty if longer."""
    cdef span *parts = [head.user_agent, head.brands, head.mobile, head.platform]
    cdef span joined
    cdef int i
    joined.at, joined.size = text, 0
    for i in range(4):
        if joined.size + parts[i].size + 1 > MAX_AGENT_TEXT:
            joined.size = 0
            return joined
        if parts[i].size:
            memcpy(text + joined.size, parts[i].at, parts[i].size)
        joined.size += parts[i].size
        text[joined.size] = 0
        joined.size += 1
    return joined


cdef inline bytes _bytes(span text):
    return PyBytes_FromStringAndSize(<char *>text.at, text.size) if text.size else b""


cdef inline span _span(bytes text):
    cdef span result
    result.at = <const uint8_t *>PyBytes_AS_STRING(text)
    result.size = PyBytes_GET_SIZE(text)
    return result


cdef bint _is_plain(route, plain_head *head) except -1:
    """Return whether a route leads to one target, or to those of one experiment, with nothing added to it."""
    if _number(route, _KIND) != CLICK:
        return False
    if slot_is(route, _SOLE_ASSIGNER, None) and not slot_is(route, _PLAIN, True):
        return False
    return not head.query.size or slot_is(route, _PASSTHROUGH, False)


cdef int _add_item(items_t *items, bytes item) except -1:
    """Add a record item, which may be empty."""
    cdef size_t size = PyBytes_GET_SIZE(item)
    if items.size + size > <size_t>MAX_ITEMS:
        raise ValueError("the items are too long")
    memcpy(items.bytes + items.size, PyBytes_AS_STRING(item), size)
    items.size += size
    return 0


cdef void _add_campaign(items_t *items, span query) noexcept:
    """Add the campaign of a query: the last item, as it is the one that may be cut."""
    cdef int room = min(MAX_ITEM, MAX_ITEMS - <int>items.size - 2)
    cdef size_t size
    if room <= 0:
        return
    size = campaign_write(query, room, items.bytes + items.size + 2)
    if size:
        items.bytes[items.size] = UTM_TAG
        items.bytes[items.size + 1] = <uint8_t>size
        items.size += 2 + size


# ---- the pure functions, for tests ------------------------------------------------------------------


def head_fields(bytes data, bint behind_proxies=False):
    """Return the fields of a plain head by name; None if the bytes are none."""
    cdef plain_head head
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(data)
    if not read_plain_head(at, PyBytes_GET_SIZE(data), behind_proxies, &head):
        return None
    return {
        "path": _bytes(head.path), "query": _bytes(head.query), "user_agent": _bytes(head.user_agent),
        "referrer": _bytes(head.referrer), "language": _bytes(head.language), "host": _bytes(head.host),
        "forwarded_for": _bytes(head.forwarded_for), "brands": _bytes(head.brands),
        "mobile": _bytes(head.mobile), "platform": _bytes(head.platform),
        "keep_alive": bool(head.keep_alive), "has_cookie": bool(head.has_cookie),
        "codings": _bytes(head.codings), "known_tags": _bytes(head.known_tags),
        "is_repeated": bool(head.is_repeated), "is_ranged": bool(head.is_ranged),
    }  # fmt: skip


def names_campaign(bytes query):
    """Return whether a query may name a campaign."""
    return bool(query_names_campaign(_span(query)))


def checksums(bytes data):
    """Return CRC32C of the data, as frames have it and by the table of other processors."""
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(data)
    return crc32c(at, PyBytes_GET_SIZE(data)), crc32c_by_table(at, PyBytes_GET_SIZE(data))


def campaign(bytes query, size_t max_bytes):
    """Return the campaign of a query, cut to at most MAX_ITEMS_BYTES."""
    cdef uint8_t text[ITEMS_BYTES]
    cdef size_t size = campaign_write(_span(query), min(max_bytes, <size_t>MAX_ITEMS), text)
    return PyBytes_FromStringAndSize(<char *>text, size)


def keyed_digest(bytes key, bytes data):
    """Return 8 bytes of keyed BLAKE2b. Raises ValueError for a key of another length, or no data."""
    cdef blake2b_key keyed
    cdef uint8_t digest[8]
    if PyBytes_GET_SIZE(key) != BLAKE2B_KEY or not data:
        raise ValueError("a key has 32 bytes, and the data one at least")
    blake2b_set_key(&keyed, <const uint8_t *>PyBytes_AS_STRING(key))
    blake2b_digest(&keyed, <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), digest)
    return PyBytes_FromStringAndSize(<char *>digest, BLAKE2B_DIGEST)
