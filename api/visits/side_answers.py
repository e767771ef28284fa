"""Answers to side paths of links and pages: hits and variants elsewhere, QR codes, where a link leads."""

from typing import Final

from actors.visits.forms.subscriptions import link_of_query
from actors.visits.qr_codes import QrCodes
from actors.visits.route import VisitRoute
from api.visits.connection import VisitorConnection
from api.visits.gated_answers import GatedAnswers
from api.visits.pages.elsewhere import ANYWHERE, PIXEL, record_hit, variants_tail
from api.visits.pages.look_pages import destination_tail
from api.visits.pages.profile_page import file_tail
from api.visits.pages.subscription_pages import subscription_answer, subscription_question
from api.visits.responses import response_tail
from engine.links.codes.qr import FORMATS, qr_look_of_query
from engine.links.name import canonical_path
from engine.visits.forms.reporter import form_token
from engine.visits.paths.side_path import SidePath
from engine.visits.request import ClientInfo, VisitRequest

_QR_FIELDS: Final = (
    b"Cache-Control: public, max-age=3600\r\nContent-Security-Policy: default-src 'none'\r\n"
    + ANYWHERE
)


class SideAnswers(GatedAnswers):
    """The part of a visitor server that answers side paths."""

    qr_codes: QrCodes

    def _answer_side(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        path: SidePath,
    ) -> None:
        """Answer a request for something at a link's or page's address; `route` is the link's or page's."""
        client = connection.client or self._resolve_client(connection, request)
        if path.side == "hit":
            record, refused = record_hit(route, self._visit_of(request, client))
            if record:
                self._records.append(record)
            self.hits += 1
            self.variants_refused += refused
            self._respond(connection, 200, PIXEL, request.head_only, close=not request.keep_alive)
        elif path.side == "variants":
            self._answer_variants(connection, request, route, client)
        elif path.side == "qr":
            self._answer_qr(connection, request, route, path, client)
        elif path.side == "file":
            self._answer_file(connection, request, route, path)
        elif path.side == "subscribe":
            self._answer_subscription_link(connection, request, route)
        else:
            self._answer_destination(connection, request, route, client)

    def _answer_variants(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        client: ClientInfo,
    ) -> None:
        """Say which variants a page elsewhere has to show this visitor. It is no visit."""
        variants = route.actor.page_elsewhere().variants(self._visit_of(request, client))
        self.variants_answered += 1
        tail, close = variants_tail(variants), not request.keep_alive
        self._respond(connection, 200, tail, request.head_only, close=close)

    def _answer_subscription_link(
        self, connection: VisitorConnection, request: VisitRequest, route: VisitRoute
    ) -> None:
        """Ask whether what the link of a mail is for is to be done."""
        close, link = not request.keep_alive, link_of_query(request.query)
        subscriptions, actor = self._registry.subscriptions, route.actor
        if link is None or subscriptions.tokens is None:  # forms are sent, not read
            status = 404 if link is None else 503
            self._refuse(connection, status, request.head_only, close=close)
            return
        key = actor.tenant_id, actor.profile_id, self._now_us
        if subscriptions.request_id(link, *key) is None:
            status, tail = subscription_answer("gone", route.paths[0])
        else:
            status, tail = 200, subscription_question(link, route.paths[0])
        self._respond(connection, status, tail, request.head_only, close=close)

    def _answer_destination(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        client: ClientInfo,
    ) -> None:
        """Say where a link leads, unless it is closed or lets only some visitors pass, and take reports."""
        close, gate = not request.keep_alive, route.gate
        if not route.link_id:
            self._refuse(connection, 404, request.head_only, close=close)
            return
        if gate is not None and (closed := gate.closed_at(self._now_us)) is not None:
            self._answer_closed(connection, request, route, closed)
            return
        location = None if gate is not None and gate.is_secret else route.target
        varies = route.experiments is not None or (gate is not None and gate.has_rules)
        pseudonymiser = self._visit_of(request, client).pseudonymiser
        token = ""
        if pseudonymiser is not None:
            token = form_token(pseudonymiser, route.link_id, client.network)
        title = route.actor.page.link_title(route.link_id)
        tail = destination_tail(title, location, varies=varies, token=token)
        self.destinations += 1
        self._respond(connection, 200, tail, request.head_only, close=close)

    def _answer_file(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        path: SidePath,
    ) -> None:
        """Send a file of a page."""
        file, close = route.actor.page_file(path.name, self._now_us), not request.keep_alive
        if file is None:
            self._refuse(connection, 404, request.head_only, close=close)
            return
        self.files += 1
        tail = file_tail(file, path.name)
        self._respond(connection, 200, tail, request.head_only, close=close)

    def _answer_qr(
        self,
        connection: VisitorConnection,
        request: VisitRequest,
        route: VisitRoute,
        path: SidePath,
        client: ClientInfo,
    ) -> None:
        """Send the code's image, or let the visitor wait until it is drawn."""
        close, look = not request.keep_alive, qr_look_of_query(request.query)
        subject = canonical_path(path.subject)
        if look is None or subject is None:
            self.qr_codes.results["invalid"] += 1
            self._refuse(connection, 400, request.head_only, close=close)
            return
        image = self.qr_codes.image((subject, look))
        if image is not None:
            fields = b"Content-Type: %b\r\n" % FORMATS[look.format].encode() + _QR_FIELDS
            tail = response_tail(fields, image)
            self._respond(connection, 200, tail, request.head_only, close=close)
            return
        status = self.qr_codes.wait(connection, route, (subject, look), client)
        if status:
            self._refuse(connection, status, request.head_only, close=close)
        else:
            self._let_wait(connection, request, waits=True)
