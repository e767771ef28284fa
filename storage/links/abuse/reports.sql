-- Reports of links by visitors. Members and the operator: run as waypost_app.

-- name: reports
-- List the reports of a link in the order of their ids.
SELECT id, category, reported_at, reviewed_at FROM link_reports
WHERE tenant_id = $1 AND link_id = $2 AND id > $3 ORDER BY id LIMIT $4;

-- name: reported_links
-- List the links of all tenants with reports that are not reviewed.
SELECT link_id AS id, version, profile_id, handle, slug, target, engine_quarantine::text, reports, categories::text, details,
    last_reported_at
FROM reported_links($1, $2);

-- name: review
-- Quarantine a link for a reason, or without one release it, if it has the version $3 or that is null. Returns the
-- version that it had.
SELECT review_link($1, $2, $3);

-- name: report
-- Keep a visitor's report: run as waypost_edge.
SELECT report_link($1, $2, $3, $4, $5, $6);

-- name: purge
-- Delete reports that are older than $1 days, at most $2: run as waypost_aggregator.
DELETE FROM link_reports WHERE (tenant_id, link_id, reporter) IN (
    SELECT tenant_id, link_id, reporter FROM link_reports
    WHERE reported_at < now() - make_interval(days => $1) ORDER BY reported_at LIMIT $2
);
