"""The metrics of the server for visitors: what it counts of connections and responses."""

from typing import Final

from api.visits.responses import REDIRECTS as REDIRECT_STATUSES
from api.visits.server import VisitorServer
from engine.operations.metrics import Metric, Sample

REDIRECTS: Final = Metric("waypost_redirects_total", "Visits answered with a redirect")
PAGES: Final = Metric("waypost_pages_total", "Visits answered with a profile's page")
HITS: Final = Metric(
    "waypost_hits_total", "Views, clicks and own events of pages elsewhere, answered with a pixel"
)
VARIANTS_ANSWERED: Final = Metric(
    "waypost_variants_answered_total",
    "Questions of pages elsewhere for the variants of experiments that a visitor gets",
)
VARIANTS_REFUSED: Final = Metric(
    "waypost_variants_refused_total",
    "Variants that pages elsewhere named in a hit, not recorded, as their visitors do not have them",
)
PREVIEWS: Final = Metric(
    "waypost_previews_total", "Visits of messengers answered with a link's preview card"
)
DESTINATIONS: Final = Metric(
    "waypost_destinations_total", "Pages that told where a link leads; they are no clicks"
)
PAGE_FILES: Final = Metric(
    "waypost_page_files_total", "Files of pages that were sent: contacts, events, manifests"
)
CLOSED: Final = Metric(
    "waypost_closed_links_total",
    "Visits to links that are paused, have not begun or are over; they are not counted as clicks",
)
REFUSALS: Final = Metric(
    "waypost_refusals_total",
    "Visits answered with an error, by status; 404: the path leads nowhere",
    ("status",),
)
CONNECTIONS: Final = Metric("waypost_connections", "Open connections of visitors")
ACCEPTED_CONNECTIONS: Final = Metric(
    "waypost_connections_accepted_total", "Connections of visitors accepted"
)
REFUSED_CONNECTIONS: Final = Metric(
    "waypost_connections_refused_total",
    "Connections of visitors refused: at their address's share, at the limit, or without descriptors",
    ("reason",),
)
EVICTED_CONNECTIONS: Final = Metric(
    "waypost_connections_evicted_total",
    "Idle connections of visitors closed to make room for others",
)
TIMED_OUT_CONNECTIONS: Final = Metric(
    "waypost_connections_timed_out_total",
    "Connections of visitors closed, as they were idle or slow for too long",
)
KEPT_HEAD_BYTES: Final = Metric(
    "waypost_kept_head_bytes", "Bytes kept of request heads that are unfinished or wait"
)
SHED_HEADS: Final = Metric(
    "waypost_heads_shed_total",
    "Unfinished or waiting requests answered 503, as too many bytes of request heads were kept",
)
UNSENT_BYTES: Final = Metric(
    "waypost_unsent_bytes", "Bytes of responses that visitors have not taken yet"
)
SHED_RESPONSES: Final = Metric(
    "waypost_responses_shed_total",
    "Connections of visitors closed, as too many bytes of responses were not taken",
)
VISITOR_ERRORS: Final = Metric(
    "waypost_visitor_errors_total", "Connections of visitors that ended by an unexpected error"
)
UNIDENTIFIED_VISITORS: Final = Metric(
    "waypost_visitors_unidentified_total",
    "Clicks and views recorded without a pseudonym, as there was no daily key yet",
)


def samples(server: VisitorServer) -> list[Sample]:
    """Return the samples of `server` and its rate limiter."""
    return [
        REDIRECTS.sample(sum(server.visits_by_status[status] for status in REDIRECT_STATUSES)),
        PAGES.sample(server.visits_by_status[200] + server.visits_by_status[304]),
        PAGE_FILES.sample(server.files),
        HITS.sample(server.hits),
        VARIANTS_ANSWERED.sample(server.variants_answered),
        VARIANTS_REFUSED.sample(server.variants_refused),
        PREVIEWS.sample(server.previews),
        DESTINATIONS.sample(server.destinations),
        CLOSED.sample(server.closed),
        *REFUSALS.by_label(server.refusals_by_status),
        CONNECTIONS.sample(server.connections),
        ACCEPTED_CONNECTIONS.sample(server.accepted),
        *REFUSED_CONNECTIONS.by_label(server.refused_by_reason),
        EVICTED_CONNECTIONS.sample(server.evicted),
        TIMED_OUT_CONNECTIONS.sample(server.timed_out),
        KEPT_HEAD_BYTES.sample(server.heads.kept_bytes),
        SHED_HEADS.sample(server.heads_shed),
        UNSENT_BYTES.sample(server.unsent_bytes),
        SHED_RESPONSES.sample(server.responses_shed),
        VISITOR_ERRORS.sample(server.errors),
        UNIDENTIFIED_VISITORS.sample(server.unidentified),
        *server.visits.samples(),
    ]
