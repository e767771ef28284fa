"""Permissions of each table and partition of the schema, one literal entry each.

An object without an entry fails tests/storage/postgres/test_database_isolation.py. For a table: SQL that makes
a row of a tenant, and the verbs of each role, as letters (Select, Insert, Update, Delete).
tests/kit/isolation_functions.py has the functions.

In the SQL, {t} is a tenant, {u} its user, {k} a key, {p} a profile, {l} a link, {s} a session, {i} an
invitation, {j} a job, {w} a webhook, {e} an event, {d} a domain, {a} an asset: the caller's own, or the
other tenant's in the calls of functions.
"""

from typing import NamedTuple


class Table(NamedTuple):
    """A table's permissions. `row` is empty where triggers or the migrations add the rows."""

    row: str
    app: str = ""
    edge: str = ""
    aggregator: str = ""

    def grants(self) -> dict[str, str]:
        return {
            "waypost_app": self.app,
            "waypost_edge": self.edge,
            "waypost_aggregator": self.aggregator,
        }


# In the order in which rows can be made.
TABLES = {
    "waypost_migrations": Table("", app="S", edge="S", aggregator="S"),
    "tenants": Table("INSERT INTO tenants (id, name) VALUES ({t}, 'T{t}')", app="SIUD"),
    "users": Table(
        "INSERT INTO users (tenant_id, id, email, password_hash) "
        "VALUES ({t}, {u}, 'u{t}@example.com', 'hash')",
        app="SIUD",
        # Addresses and names, to send mail.
        aggregator="S",
    ),
    "api_keys": Table(
        "INSERT INTO api_keys (tenant_id, id, user_id, key_sha256, origins) "
        "VALUES ({t}, {k}, {u}, sha256('key{t}'), ARRAY['https://t{t}.example'])",
        app="SIUD",
        # Of keys, sessions and invitations it deletes those that ended, and reads no more than when.
        aggregator="SD",
    ),
    "sessions": Table(
        "INSERT INTO sessions (tenant_id, id, user_id, token_sha256, expires_at) "
        "VALUES ({t}, {s}, {u}, sha256('session{t}'), now() + interval '1 day')",
        app="SIUD",
        aggregator="SD",
    ),
    "profiles": Table(
        "INSERT INTO profiles (tenant_id, id, handle) VALUES ({t}, {p}, 'h{t}')",
        app="SIUD",
        edge="S",
        # The version of one whose experiment it changes.
        aggregator="SU",
    ),
    "members": Table("", app="SUD", aggregator="S"),
    "links": Table(
        "INSERT INTO links (tenant_id, profile_id, id, revision, slug, target) "
        "VALUES ({t}, {p}, {l}, 1, 's{t}', 'https://example.com/')",
        app="SIUD",
        edge="S",
        # Where they lead, for synchronisation with GitHub.
        aggregator="S",
    ),
    "github_syncs": Table(
        "INSERT INTO github_syncs (tenant_id, link_id, target) "
        "VALUES ({t}, {l}, 'https://github.com/o/n{t}')",
        app="SIUD",
        # Pages show the facts.
        edge="S",
        aggregator="SUD",
    ),
    "link_health": Table(
        "INSERT INTO link_health (tenant_id, link_id, target) VALUES ({t}, {l}, 'https://t{t}.example/')",
        app="S",
        aggregator="SIU",
    ),
    "github_request_lease": Table("", aggregator="SIU"),
    "aggregators": Table("", aggregator="SIUD"),
    "short_slugs": Table(
        "INSERT INTO short_slugs VALUES ('s{t}', {t}, {p}, {l})", app="SIUD", edge="S"
    ),
    "page_drafts": Table(
        "INSERT INTO page_drafts (tenant_id, profile_id, page, digest) VALUES ({t}, {p}, '{{}}', md5('{t}'))",
        app="SIU",
    ),
    "page_versions": Table(
        "INSERT INTO page_versions (tenant_id, profile_id, number, page, digest) "
        "VALUES ({t}, {p}, 1, '{{}}', md5('{t}'))",
        app="SID",
        edge="S",
        # The links that a page shows, whose facts change; and the card that is to be drawn.
        aggregator="SU",
    ),
    "new_account_creations": Table(
        "INSERT INTO new_account_creations VALUES ({t}, {u}, 'links', current_date, 1)",
    ),
    "link_reviews": Table(
        "INSERT INTO link_reviews (tenant_id, link_id, targets) VALUES ({t}, {l}, md5('{t}'))",
        # The screening leaves reviewed links alone.
        aggregator="S",
    ),
    "link_reports": Table(
        "INSERT INTO link_reports (tenant_id, profile_id, link_id, reporter, category, details) "
        "VALUES ({t}, {p}, {l}, substr(sha256('{t}'), 1, 8), 'spam', 'details{t}')",
        app="S",
        aggregator="SD",
    ),
    "page_subscribers": Table(
        "INSERT INTO page_subscribers (tenant_id, profile_id, block, email) "
        "VALUES ({t}, {p}, 'b1', 'v{t}@example.com')",
        app="SD",
    ),
    "subscription_requests": Table(
        "INSERT INTO subscription_requests (tenant_id, profile_id, block, email, mailed_at) "
        "VALUES ({t}, {p}, 'b1', 'w{t}@example.com', ARRAY[now()])",
        app="S",
        # Mails them, and deletes old ones.
        aggregator="SD",
    ),
    "domains": Table(
        "INSERT INTO domains (tenant_id, profile_id, id, host, state, token, slot) "
        "VALUES ({t}, {p}, {d}, 't{t}.example', 'verified', md5('t{t}'), 1)",
        app="SIUD",
        edge="S",
        # Verifies them.
        aggregator="SU",
    ),
    "orphan_visits": Table(
        "INSERT INTO orphan_visits (tenant_id, domain_id, day, path, visits) "
        "VALUES ({t}, {d}, '2026-01-01', '/t{t}', 1)",
        app="S",
        # Deletes old ones.
        aggregator="SD",
    ),
    "domain_looks": Table(
        "INSERT INTO domain_looks (tenant_id, domain_id) VALUES ({t}, {d})",
        app="SIU",
        aggregator="SU",
    ),
    "asset_files": Table(
        "INSERT INTO asset_files (tenant_id, hash, source, width, height, renditions, writable_until) "
        "VALUES ({t}, md5('{t}'), 'png', 1, 1, '[]', now())",
        app="SIU",
        edge="S",
        # Deletes those that no asset has, and writes pages' cards.
        aggregator="SIUD",
    ),
    "assets": Table(
        "INSERT INTO assets (tenant_id, profile_id, id, address, content_type, bytes) "
        "VALUES ({t}, {p}, {a}, md5('{t}'), 'image/png', 1)",
        app="SID",
        # Pictures of experiments' variants.
        edge="S",
        aggregator="S",
    ),
    "link_cards": Table(
        "INSERT INTO link_cards (tenant_id, profile_id, link_id, is_secret) VALUES ({t}, {p}, {l}, false)",
        aggregator="SU",
    ),
    "page_cards": Table("INSERT INTO page_cards VALUES ({t}, {p}, md5('{t}'))", aggregator="SID"),
    "page_assets": Table("INSERT INTO page_assets VALUES ({t}, {p}, 0, {a})", app="SID"),
    "click_quotas": Table("INSERT INTO click_quotas VALUES ({t}, {l}, 1)", app="S"),
    "removed_links": Table(
        "INSERT INTO removed_links VALUES ({t}, {p}, 2, {l})", app="SIUD", edge="S"
    ),
    "profile_changes": Table(
        "INSERT INTO profile_changes (profile_id, tenant_id, version) VALUES ({p}, {t}, 1)",
        app="SIU",
        edge="S",
        aggregator="SUD",
    ),
    "recovery_tokens": Table(
        "INSERT INTO recovery_tokens (tenant_id, id, user_id, purpose, token_sha256, expires_at) "
        "VALUES ({t}, {s}, {u}, 'reset', sha256('recovery{t}'), now() + interval '1 hour')",
        app="SID",
        aggregator="SID",
    ),
    "invitations": Table(
        "INSERT INTO invitations (tenant_id, profile_id, id, email, role, token_sha256, invited_by, "
        "expires_at) VALUES ({t}, {p}, {i}, 'i{t}@example.com', 'editor', sha256('invitation{t}'), "
        "{u}, now() + interval '1 day')",
        app="SIUD",
        aggregator="SD",
    ),
    "idempotency_keys": Table(
        "INSERT INTO idempotency_keys (tenant_id, user_id, key, request_sha256) "
        "VALUES ({t}, {u}, 'key', sha256('x'))",
        app="SIUD",
        # Deletes what is older than anybody is promised; of the answers themselves it reads none.
        aggregator="SUD",
    ),
    "audit_log": Table("", app="S", aggregator="SD"),
    "audit_log_heads": Table("", aggregator="SD"),
    "erasures": Table(
        "INSERT INTO erasures (tenant_id, profile_id) VALUES ({t}, {p})",
        app="SI",
        aggregator="SU",
    ),
    "security_events": Table(
        "INSERT INTO security_events (tenant_id, kind) VALUES ({t}, 'login.failed')", app="SI"
    ),
    "webhooks": Table(
        "INSERT INTO webhooks (tenant_id, profile_id, id, url, event_types, slot) "
        "VALUES ({t}, {p}, {w}, 'https://example.com/t{t}', '{{*}}', 1)",
        app="SIUD",
        # Disables what does not answer, and deletes those of profiles that are gone.
        aggregator="SUD",
    ),
    "webhook_secrets": Table(
        "INSERT INTO webhook_secrets (tenant_id, webhook_id, secret) "
        "VALUES ({t}, {w}, 'whsec_AAAA')",
        app="SIUD",
        aggregator="SD",
    ),
    "webhook_states": Table(
        "INSERT INTO webhook_states (tenant_id, webhook_id) VALUES ({t}, {w})",
        app="SI",
        aggregator="SU",
    ),
    "events": Table(
        "INSERT INTO events (tenant_id, profile_id, id, type, once, data) "
        "VALUES ({t}, {p}, {e}, 'link.created', 'once', '{{}}')",
        app="SI",
        aggregator="SIUD",
    ),
    "deliveries": Table(
        "INSERT INTO deliveries (tenant_id, webhook_id, event_id) VALUES ({t}, {w}, {e})",
        app="SIUD",
        aggregator="SIUD",
    ),
    "delivery_attempts": Table(
        "INSERT INTO delivery_attempts (tenant_id, webhook_id, event_id, number, at, duration_ms) "
        "VALUES ({t}, {w}, {e}, 1, now(), 5)",
        app="S",
        aggregator="SI",
    ),
    "namespaces": Table(
        "INSERT INTO namespaces VALUES ({t}, {p}, 'n', sha256('n{t}'))", app="SI", edge="S"
    ),
    "experiments": Table(
        "INSERT INTO experiments (tenant_id, profile_id, id, link_id, definition) "
        "VALUES ({t}, {p}, {l}, {l}, '{{}}')",
        app="SIUD",
        edge="S",
        # Decides by a rule, and moves weights.
        aggregator="SU",
    ),
    "experiment_phases": Table(
        "INSERT INTO experiment_phases VALUES ({t}, {l}, 1, now(), 'start', '[]')",
        app="SI",
        aggregator="SI",
    ),
    "experiment_visitors": Table(
        "INSERT INTO experiment_visitors VALUES ({t}, {l}, 1, '2026-01-01', 1, 0)",
        app="SIU",
        aggregator="SIUD",
    ),
    "experiment_sums": Table(
        "INSERT INTO experiment_sums VALUES ({t}, {l}, 1, '2026-01-01', 0, 1)",
        app="SIU",
        aggregator="SIUD",
    ),
    "conversions": Table(
        "INSERT INTO conversions (tenant_id, profile_id, click, name, at, clicked_at, link_id, source, "
        "attribution) VALUES ({t}, {p}, sha256('c{t}'), 'sale', now(), now(), {l}, 'api', 'attributed')",
        app="SIU",
        aggregator="SU",
    ),
    "refunds": Table(
        "INSERT INTO refunds (tenant_id, profile_id, name, order_id, refund_id, kind, at) "
        "VALUES ({t}, {p}, 'sale', '1', '1', 'void', now())",
        app="SI",
    ),
    "conversion_hooks": Table(
        "INSERT INTO conversion_hooks (tenant_id, profile_id, label, name, fields, token_sha256) "
        "VALUES ({t}, {p}, 'shop', 'sale', '{{}}', sha256('hook{t}'))",
        app="SIUD",
    ),
    "shares": Table(
        "INSERT INTO shares (tenant_id, profile_id, label, metrics, dimensions, prefix, token_sha256, origins) "
        "VALUES ({t}, {p}, 'client', '{{clicks}}', '{{}}', 'wpr_', sha256('share{t}'), "
        "ARRAY['https://t{t}.example'])",
        app="SID",
    ),
    "annotations": Table(
        "INSERT INTO annotations (tenant_id, profile_id, id, at, text, created_by) "
        "VALUES ({t}, {p}, {s}, '2026-05-01', 'Note of {t}', {u})",
        app="SIUD",
    ),
    "goals": Table(
        "INSERT INTO goals (tenant_id, profile_id, id, name, event, property, link, created_by) "
        "VALUES ({t}, {p}, {s}, 'Goal of {t}', 'signup', '', '', {u})",
        app="SIUD",
    ),
    "saved_questions": Table(
        "INSERT INTO saved_questions (tenant_id, profile_id, id, name, query, created_by) "
        "VALUES ({t}, {p}, {s}, 'Question of {t}', 'period=28d', {u})",
        app="SIUD",
    ),
    "digests": Table(
        "INSERT INTO digests (tenant_id, profile_id, id, user_id, weekly, monthly, tz) "
        "VALUES ({t}, {p}, {s}, {u}, true, false, 'UTC')",
        app="SIU",
        aggregator="SD",
    ),
    "clicks": Table(
        "INSERT INTO clicks (tenant_id, profile_id, link_id, at, sequence, journal_id, kind, classification) "
        "SELECT {t}, {p}, {l}, now() + d * interval '1 day', 1, gen_random_uuid(), 0, 0 "
        "FROM generate_series(-1, 2) AS d",
        app="S",
        aggregator="SIUD",
    ),
    "clicks_default": Table(
        "INSERT INTO clicks (tenant_id, profile_id, link_id, at, sequence, journal_id, kind, classification) "
        "VALUES ({t}, {p}, {l}, '2001-01-01', 1, gen_random_uuid(), 0, 0)",
    ),
    "clicks_*": Table("", app="S", aggregator="SI"),
    "profile_days": Table(
        "INSERT INTO profile_days VALUES ({t}, {p}, '2026-01-01')",
        app="S",
        aggregator="SIUD",
    ),
    "click_deltas": Table(
        "INSERT INTO click_deltas VALUES ({t}, {p}, '2026-01-01', 1, '')",
        app="S",
        aggregator="SIUD",
    ),
    "damaged_deltas": Table(
        "INSERT INTO damaged_deltas VALUES ({t}, {p}, '2026-01-01', 1, '', '')",
        aggregator="SID",
    ),
    "click_segments": Table(
        "INSERT INTO click_segments VALUES ({t}, {p}, '2026-01-01', 0, 1, false, 1, '', '', '', '', '', '', "
        "'', '', '', '', '', '')",
        app="S",
        aggregator="SIUD",
    ),
    "rollups": Table(
        "INSERT INTO rollups VALUES ({t}, {p}, {l}, '2026-01-01', 1, 0)",
        app="S",
        aggregator="SIUD",
    ),
    "dimension_counts": Table(
        "INSERT INTO dimension_counts VALUES ({t}, {p}, {l}, 1, '2026-01-01', 'DE', 1)",
        app="S",
        aggregator="SIUD",
    ),
    "dimension_days": Table(
        "INSERT INTO dimension_days VALUES ({t}, {p}, {l}, 1, '2026-01-01', 'DE', 1)",
        app="S",
        aggregator="SIUD",
    ),
    "dimension_months": Table(
        "INSERT INTO dimension_months VALUES ({t}, {p}, {l}, 1, '2026-01-01', 'DE', 1)",
        app="S",
        aggregator="SIUD",
    ),
    "dimension_quarters": Table(
        "INSERT INTO dimension_quarters VALUES ({t}, {p}, {l}, 1, '2026-01-01', 'DE', "
        "'{{0}}', '{{1}}', '{{0}}', '{{0}}', '{{1}}', '{{1}}', '{{1}}', '{{NULL}}')",
        app="S",
        aggregator="SIUD",
    ),
    "raw_click_retention": Table(
        "INSERT INTO raw_click_retention VALUES ({t}, {p}, '2026-01-01')",
        app="S",
        aggregator="SIUD",
    ),
    "user_agents": Table("INSERT INTO user_agents VALUES ({t}, 'agent')", aggregator="SIUD"),
    # An edge registers and retires journals; of it, the app reads when counts were committed.
    "journals": Table(
        "INSERT INTO journals (journal_id) VALUES (gen_random_uuid())",
        app="S",
        edge="SIU",
        aggregator="SIUD",
    ),
    "jobs": Table(
        "INSERT INTO jobs (tenant_id, profile_id, id, kind, unique_key) "
        "VALUES ({t}, {p}, {j}, 'test', 'key{t}')",
        app="SIU",
        aggregator="SIUD",
    ),
    "link_imports": Table(
        "INSERT INTO link_imports (tenant_id, profile_id, id, job_id, wishes) "
        "VALUES ({t}, {p}, {i}, {j}, '{{}}')",
        app="SIUD",
        # How it ended, and to delete what was not sent whole.
        aggregator="SUD",
    ),
    "link_import_chunks": Table(
        "INSERT INTO link_import_chunks VALUES ({t}, {i}, 0, 'x')", app="SID", aggregator="SD"
    ),
    "link_import_rejects": Table(
        "INSERT INTO link_import_rejects VALUES ({t}, {i}, 1, 'bad')", app="SID"
    ),
    "periodic_jobs": Table(
        "INSERT INTO periodic_jobs VALUES ('test', now()) ON CONFLICT DO NOTHING", aggregator="SIU"
    ),
    "blocklists": Table(
        "INSERT INTO blocklists (url) VALUES ('https://lists.example/{t}')",
        app="S",
        aggregator="SIUD",
    ),
    "shared_secrets": Table(""),
    "dead_letter_batches": Table(
        "INSERT INTO dead_letter_batches VALUES (gen_random_uuid(), 1, 1, 'x', 'reason')",
        aggregator="SIUD",
    ),
}
