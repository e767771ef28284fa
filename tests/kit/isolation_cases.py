"""Permissions of each table, partition and function of the schema, one literal entry each.

An object without an entry fails tests/storage/postgres/test_database_isolation.py. For a table: SQL that makes
a row of a tenant, and the verbs of each role, as letters (Select, Insert, Update, Delete). For a function: the
roles that may execute it, what it reveals by design, and calls by one tenant with the ids of another, with
their results.

In the SQL, {t} is a tenant, {u} its user, {k} a key, {p} a profile, {l} a link, {s} a session, {i} an
invitation, {j} a job, {w} a webhook, {e} an event, {d} a
domain: the caller's own, or the other tenant's in the calls of
functions.
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


class Function(NamedTuple):
    executes: str  # PUBLIC, roles, or empty for none
    reveals: str
    calls: tuple[tuple[str, list[tuple[object, ...]]], ...] = ()


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
        # The links that a page shows, whose facts change.
        aggregator="S",
    ),
    "page_subscribers": Table(
        "INSERT INTO page_subscribers (tenant_id, profile_id, block, email) "
        "VALUES ({t}, {p}, 'b1', 'v{t}@example.com')",
        app="SD",
    ),
    "domains": Table(
        "INSERT INTO domains (tenant_id, profile_id, id, host, state, token, slot) "
        "VALUES ({t}, {p}, {d}, 't{t}.example', 'verified', md5('t{t}'), 1)",
        app="SIUD",
        edge="S",
        # Verifies them.
        aggregator="SU",
    ),
    "domain_looks": Table(
        "INSERT INTO domain_looks (tenant_id, domain_id) VALUES ({t}, {d})",
        app="SIU",
        aggregator="SU",
    ),
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
        app="I",
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
    "periodic_jobs": Table(
        "INSERT INTO periodic_jobs VALUES ('test', now()) ON CONFLICT DO NOTHING", aggregator="SIU"
    ),
    "shared_secrets": Table(""),
    "dead_letter_batches": Table(
        "INSERT INTO dead_letter_batches VALUES (gen_random_uuid(), 1, 1, 'x', 'reason')",
        aggregator="SIUD",
    ),
}

_TRIGGER = Function("", "runs as a trigger only")
_OWNERS = Function("", "the owner's own, called by its triggers and migrations")

FUNCTIONS = {
    "current_tenant()": Function("PUBLIC", "what the caller has set"),
    "current_user_id()": Function("PUBLIC", "what the caller has set"),
    "new_id()": Function(
        "waypost_app waypost_aggregator", "the time, and 20 bits of a sequence that all tenants share"),
    "owns_profile(bigint,bigint)": Function(
        "waypost_app",
        "whether a profile is the tenant's own, under its row-level security",
        (("SELECT owns_profile({t}, {p})", [(False,)]),),
    ),
    "profile_access(bigint)": Function(
        "waypost_app",
        "tenant and role, to members",
        (("SELECT * FROM profile_access({p})", []),),
    ),
    "link_access(bigint)": Function(
        "waypost_app",
        "tenant, profile and role, to members",
        (("SELECT * FROM link_access({l})", []),),
    ),
    "job_access(bigint)": Function(
        "waypost_app",
        "tenant, profile and role, to members",
        (("SELECT * FROM job_access({j})", []),),
    ),
    "webhook_access(bigint)": Function(
        "waypost_app",
        "tenant, profile and role, to members",
        (("SELECT * FROM webhook_access({w})", []),),
    ),
    "domain_access(bigint)": Function(
        "waypost_app",
        "tenant, profile and role, to members",
        (("SELECT * FROM domain_access({d})", []),),
    ),
    "is_verified_domain(text)": Function(
        "waypost_app",
        "whether links answer at a host, which every visitor learns",
        (("SELECT is_verified_domain('t{t}.example')", [(False,)]),),
    ),
    "utc_text(timestamp with time zone)": Function("PUBLIC", "nothing but its argument"),
    "json_expression(text,name,oid)": Function("PUBLIC", "nothing but its arguments"),
    "event_names(text)": Function("PUBLIC", "nothing but its argument"),
    "is_bot(smallint)": Function("PUBLIC", "nothing but its argument"),
    "is_counted(smallint)": Function("PUBLIC", "nothing but its argument"),
    "is_set_by_request(smallint)": Function("PUBLIC", "nothing but its argument"),
    "trigger_name(smallint)": Function("PUBLIC", "nothing but its argument"),
    "visitor_kind(smallint)": Function("PUBLIC", "nothing but its argument"),
    "experiment_access(bigint)": Function(
        "waypost_app",
        "tenant, profile and role, to members",
        (("SELECT * FROM experiment_access({l})", []),),
    ),
    "conversion_hook_of(bytea)": Function(
        "waypost_app",
        "whose hook it is, to who has its token and has set no other tenant",
        (("SELECT * FROM conversion_hook_of(sha256('hook{t}'))", []),),
    ),
    "share_of(bytea)": Function(
        "waypost_app",
        "a share and its profile, to who has its token and has set no other tenant",
        (("SELECT * FROM share_of(sha256('share{t}'))", []),),
    ),
    "stats_versions(bigint[],bigint[])": Function(
        "waypost_app",
        "a hash of how many clicks each profile has, by which its next question is known to have news",
    ),
    "click_id_secret()": Function("waypost_app waypost_edge", "what click ids are sealed with, of no tenant"),
    "my_profiles(bigint,integer)": Function(
        "waypost_app",
        "profiles, to their members",
        (("SELECT id FROM my_profiles(0, 1000) WHERE tenant_id = {t}", []),),
    ),
    "lease_clicks(bigint[],bigint[])": Function("waypost_edge", "clicks of links of any tenant, to edges"),
    "subscribe(bigint,bigint,text,text)": Function(
        "waypost_edge", "nothing: edges note visitors' addresses of any tenant"
    ),
    "give_back_clicks(bigint[],bigint[],bigint[])": Function(
        "waypost_edge", "clicks that an edge leased and did not use, of any tenant"
    ),
    "links_at(text,text)": Function(
        "waypost_app",
        "links of profiles, to their members",
        (("SELECT * FROM links_at('', 's{t}')", []),),
    ),
    "profile_members(bigint)": Function(
        "waypost_app",
        "names and addresses of a profile's members, to each other",
        (("SELECT * FROM profile_members({p})", []),),
    ),
    "key_allows_origin(text)": Function(
        "waypost_app",
        "whether some key that works allows an origin, which an answer to a preflight tells anybody",
        (("SELECT * FROM key_allows_origin('https://t{t}.example')", [(False,)]),),
    ),
    "share_allows_origin(text)": Function(
        "waypost_app",
        "whether some share that works allows an origin, which an answer to a preflight tells anybody",
        (("SELECT * FROM share_allows_origin('https://t{t}.example')", [(False,)]),),
    ),
    "authenticate(bytea)": Function(
        "waypost_app",
        "whose key it is, to who has it and has set no other tenant",
        (("SELECT * FROM authenticate(sha256('key{t}'))", []),),
    ),
    "first_owner()": Function(
        "waypost_app",
        "the first user's ids, to who has set no other tenant",
        (("SELECT * FROM first_owner() WHERE tenant_id = {t}", []),),
    ),
    "session_user_of(bytea)": Function(
        "waypost_app",
        "whose session it is, to who has its token and has set no other tenant",
        (("SELECT * FROM session_user_of(sha256('session{t}'))", []),),
    ),
    "login_of(text)": Function(
        "waypost_app",
        "the password's hash of an address, to who has set no other tenant",
        (("SELECT * FROM login_of('u{t}@example.com')", []),),
    ),
    "recovery_token_of(bytea,text)": Function(
        "waypost_app",
        "whose token it is, to who has it and has set no other tenant",
        (("SELECT * FROM recovery_token_of(sha256('recovery{t}'), 'reset')", []),),
    ),
    "invitation_of(bytea)": Function(
        "waypost_app",
        "a profile's handle and title, to who has the token of an invitation to it",
        (("SELECT * FROM invitation_of(sha256('guessed'))", []),),
    ),
    "response_to_acceptance(bytea,text,interval)": Function(
        "waypost_app",
        "the sealed response to an acceptance, to who has the invitation's token and the idempotency key",
        (("SELECT * FROM response_to_acceptance(sha256('guessed'), 'key', '1 day')", []),),
    ),
    "accept_invitation(bytea)": Function(
        "waypost_app",
        "joins the profile that its token is for",
        (
            ("SELECT outcome, tenant_id FROM accept_invitation(sha256('guessed'))", [("unknown", 0)]),
            ("SELECT outcome FROM accept_invitation(sha256('session{t}'))", [("unknown",)]),
        ),
    ),
    "record_last_used(bigint[],bigint[])": Function(
        "waypost_app",
        "nothing; says that keys and sessions were used now",
        (("SELECT record_last_used(ARRAY[{k}], ARRAY[{s}])", [(None,)]),),
    ),
    "shared_secret(text)": Function("waypost_app", "keys that all processes hash with, of no tenant"),
    "ensure_click_partitions(integer)": Function("waypost_aggregator", "how many partitions it made"),
    "click_partition_days()": Function("waypost_aggregator", "days that have a partition"),
    "drop_click_partitions(date)": Function("waypost_aggregator", "how many partitions it dropped"),
    "index_click_partition()": Function("waypost_aggregator", "the day that it indexed"),
    "click_partition(date)": _OWNERS,
    "make_click_partition(date)": _OWNERS,
    "audit_log_hash(bytea,audit_log)": _OWNERS,
    "audit_log_expression(oid,text)": _OWNERS,
    "append_to_audit_log(bigint,bigint,text,jsonb[])": _OWNERS,
    "audit_changes_of(regclass,text,text,text)": _OWNERS,
    "tables_of_profiles()": Function("waypost_aggregator", "names of tables"),
    "delete_stored_responses(bigint)": Function(
        "waypost_aggregator", "how many kept answers showed a profile, which it deletes"
    ),
    "log_erasure()": _TRIGGER,
    "log_publication()": _TRIGGER,
    "log_unsubscription()": _TRIGGER,
    "refuse_unless_erased()": _TRIGGER,
    "add_first_owners()": _TRIGGER,
    "require_an_owner()": _TRIGGER,
    "log_changes()": _TRIGGER,
    "log_short_slugs()": _TRIGGER,
    "refuse_change()": _TRIGGER,
    "events_of_audit_log()": _TRIGGER,
}  # fmt: skip
