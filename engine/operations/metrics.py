"""What a process says of itself in figures: samples, and what each name means.

A name that ends in `_total` is a counter, any other is a gauge. The same name and labels from
several processes are summed before they are shown, so a gauge here must be one that may be added
up.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple


class Sample(NamedTuple):
    """One figure. `labels` are pairs in the order in which they are written."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class ProcessMetrics(NamedTuple):
    """All figures of one process of the engine."""

    role: str
    pid: int
    samples: tuple[Sample, ...]


METRICS: Final[Mapping[str, str]] = {
    "waypost_process_info": "1 for each process of the engine, with its role and process id",
    "waypost_redirects_total": "Visitors' requests answered with a redirect",
    "waypost_pages_total": "Profile pages answered",
    "waypost_unknown_paths_total": "Visitors' requests for what does not exist",
    "waypost_connections": "Visitors' connections open now",
    "waypost_clicks_unrecorded_total": "Clicks answered but not recorded, by reason",
    "waypost_journal_pending_clicks": "Clicks in journals that Postgres has not committed yet",
    "waypost_journal_bytes": "Disk that the journals take",
    "waypost_resident_profiles": "Profiles that edges hold in memory",
    "waypost_resident_links": "Links that edges hold in memory",
    "waypost_announcements_lost_total": "Changes that were not announced and left to polling",
    "waypost_security_events_dropped_total": "Security events that were dropped as too many waited",
    "waypost_restarts_total": "Restarts of supervised tasks after a crash",
    "waypost_console_requests_total": "Requests of the console answered, by class of status",
    "waypost_console_connections": "Connections of the console open now",
    "waypost_console_connections_refused_total": "Connections of the console refused at the limit",
    "waypost_console_limited_total": "Requests of the console that a rate limit denied",
    "waypost_console_rate_limits_local_total": "Rate limits decided by one console alone, as Redis did not answer",
    "waypost_jobs_queued": "Jobs that wait, by queue, those whose time has not come too",
    "waypost_jobs_oldest_seconds": "How long the first job that could run has waited, by queue",
    "waypost_jobs_dead": "Jobs that failed too often and are kept for somebody to look at",
    "waypost_webhooks_in_flight": "Deliveries that are being attempted, or wait to be recorded",
    "waypost_webhooks_circuit_open": "Webhooks whose breaker is open, as they failed several times in a row",
    "waypost_webhooks_events_total": "Events that became deliveries",
    "waypost_webhooks_attempts_total": "Attempts at deliveries that ended, by outcome",
    "waypost_webhooks_stale_total": "Attempts whose end was refused, as the webhook was another's by then",
    "waypost_webhooks_disabled_total": "Webhooks disabled, as they were gone or failed for five days",
    "waypost_dimension_counted_clicks_total": "Clicks brought into the counts by dimension",
    "waypost_dimension_commits_total": "Transactions that brought clicks into the counts by dimension",
    "waypost_dimension_lag_clicks": "Clicks in the plain counts and not yet in those by dimension",
    "waypost_dimension_skipped_clicks_total": "Clicks left out of the counts by dimension after an error",
    "waypost_jobs_running": "Jobs that workers run now",
    "waypost_jobs_ended_total": "Attempts at jobs that ended, by outcome",
    "waypost_jobs_stale_total": "Attempts whose end was refused, as the job was another worker's by then",
    "waypost_visits_untracked_total": "Visits of more addresses than a limit keeps, which all passed",
    "waypost_console_crashes_total": "Connections of the console that ended by an unexpected error",
}


def sum_samples(processes: Iterable[ProcessMetrics]) -> list[Sample]:
    """One sample for each name and labels, sorted by name; `waypost_process_info` one per
    process."""
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for process in processes:
        info = Sample(
            "waypost_process_info", 1, (("role", process.role), ("pid", str(process.pid)))
        )
        sums[(info.name, info.labels)] = 1
        for name, value, labels in process.samples:
            sums[(name, labels)] = sums.get((name, labels), 0) + value
    return [Sample(name, value, labels) for (name, labels), value in sorted(sums.items())]
