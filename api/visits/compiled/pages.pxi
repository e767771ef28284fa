# Views of pages, and files, answered from memory: a part of core.pyx.
#
# A view is plain if no experiment on the page is live, its query names no preview, and the page has been rendered
# for the visitor's language. A file is that of an asset, or a fixed one (api/visits/pages/fixed_files.py).

cdef bytes LARGEST_HEAD = bytes(1024)  # of a response with a file


cdef bint _view(
    VisitCore core, connection, route, bytes host, bytes agent, uint8_t classification, plain_head *head
) except -1:
    """Answer a plain view of a page. Returns False, with nothing done, if Python has to."""
    cdef uint8_t visitor[8]
    cdef record view
    cdef items_t items
    cdef span campaign
    cdef bint keeps = head.keep_alive and not core.draining
    cdef int trigger
    cdef bytes line, body
    ids, actor = route.ids, route.actor
    if head.is_repeated or not ids:
        return False  # of the first view, Python makes the ids
    page = actor.plain_page(_bytes(head.language), core.now_us)
    if page is None:
        return False
    client = core._client(connection, head)
    view.kind = VIEW
    view.classification = classification
    view.at_us = core.now_us
    view.ids = <const uint8_t *>PyBytes_AS_STRING(ids)
    view.user_agent = _span(agent)
    view.language = head.language
    view.visitor = visitor
    core._pseudonym(view.ids, client.network, agent, visitor)
    items.size = 0
    _add_item(&items, client.place)
    _add_item(&items, core.host_items[host])
    if not core._read_query(head, &campaign, &trigger):
        return False
    enters = _way_of_view(core, actor, client, host, agent, head, &view, &campaign, &trigger)
    if trigger:
        _add_item(&items, TRIGGER_ITEMS[trigger])
    if campaign.size:
        _add_campaign(&items, campaign)
    view.items.at = items.bytes
    view.items.size = items.size
    status = 304 if head.known_tags.size and names_tag(_bytes(head.known_tags), page.tag) else 200
    line = core._line(status, keeps)
    if not core._has_room(connection, line, b""):
        return False
    if connection.limited and not core._admits(connection, client, keeps):
        return True
    # Nothing below fails: a record and its response come together.
    if enters:
        core.entrances.enter(
            actor.profile_id, core.now_us, PyBytes_FromStringAndSize(<char *>visitor, 8),
            _bytes(view.referrer), _bytes(campaign),
        )  # fmt: skip
    connection.deadline = core.idle_deadline
    actor.visited = True
    if not keeps:
        connection.closing = True
    body = page.not_modified if status == 304 else page.by_coding[coding_of(_bytes(head.codings))]
    core._keep_record(&view)
    core._keep_response_by_reference(connection, line, body)
    core.visits_by_status[status] += 1
    return True


cdef bint _way_of_view(
    VisitCore core, actor, client, host, bytes agent, plain_head *head, record *view, span *campaign,
    int *trigger,
) except -1:
    """Set referrer, campaign and trigger as ProfileActor.visit() does. Returns whether the view is an entrance
    to be remembered."""
    own = None
    view.referrer = head.referrer
    if head.referrer.size and span_may_have_host(head.referrer, _span(host)):
        own = own_referrer(_bytes(head.referrer), host, actor.page_path)
        if own is not None:
            view.referrer.size = 0
            if own.is_page and not trigger[0]:
                trigger[0] = PAGE
    if (view.referrer.size or campaign.size) and (<uint64_t *>view.visitor)[0] != 0:
        return (view.classification & CLASSES) in GIVEN_CLICK_ID
    if own is not None or (trigger[0] == PAGE and not view.referrer.size):
        core.referrer_text, core.query_text = actor.way_from_page(
            own, _bytes(campaign[0]), PyBytes_FromStringAndSize(<char *>view.visitor, 8),
            client.network, agent, core.now_us,
        )  # fmt: skip
        view.referrer = _span(core.referrer_text)
        campaign[0] = _span(core.query_text)
    return False


cdef bint _file(VisitCore core, connection, bytes host, bytes path, plain_head *head) except -1:
    """Answer a request for a file in memory. Returns False, with nothing done, if there is none or Python has to."""
    cdef bint is_asset = _is_below(path, PREFIX) and PyBytes_GET_SIZE(path) <= <Py_ssize_t>MAX_PATH
    if not is_asset and PyDict_GetItem(core.fixed_files, path) is NULL:
        return False
    if core.hosts_decide and host not in core.domains and not core._serves(host):
        return False
    if is_asset:
        return _asset(core, connection, path, head)
    if not core._has_room(connection, b"", LARGEST_HEAD):
        return False
    if _is_admitted(core, connection, head):
        _keep_file(core, connection, head, 200, b"", core.server._files.response(path, core.now_us))
    return True


cdef bint _asset(VisitCore core, connection, bytes path, plain_head *head) except -1:
    file, files = asset_file(path), core.server.asset_files
    if file is None or head.is_repeated or head.is_ranged or not files.is_known(file):
        return False
    if not core._has_room(connection, b"", LARGEST_HEAD):
        return False
    if not _is_admitted(core, connection, head):
        return True
    content = files.content(file)
    if content is None:
        connection.deadline = core.idle_deadline
        core.server._refuse(connection, 404, False, close=not head.keep_alive)
        return True
    heads = asset_heads(file, len(content))
    if head.known_tags.size and names_tag(_bytes(head.known_tags), heads.tag):
        _keep_file(core, connection, head, 304, heads.not_modified, b"")
    else:
        _keep_file(core, connection, head, 200, heads.whole, content)
    return True


cdef bint _is_below(bytes path, bytes prefix):
    cdef span text = _span(path), start = _span(prefix)
    return text.size > start.size and not memcmp(text.at, start.at, start.size)


cdef bint _is_admitted(VisitCore core, connection, plain_head *head) except -1:
    """Charge a request for a file; refuse it if its client has none left."""
    if not connection.limited:
        return True
    return core._admits(connection, core._client(connection, head), head.keep_alive and not core.draining)


cdef int _keep_file(
    VisitCore core, connection, plain_head *head, int status, bytes fields, bytes content
) except -1:
    """Keep the response with a file, whose head goes on with these fields."""
    cdef bint keeps = head.keep_alive and not core.draining
    cdef bytes line = core._line(status, keeps)
    connection.deadline = core.idle_deadline
    if not keeps:
        connection.closing = True
    core._keep_response_by_reference(connection, line + fields, content)
    core.answered += 1
    return 0
