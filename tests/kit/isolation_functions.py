"""What each function of the schema may do, one literal entry each: tests/kit/isolation_cases.py says how.

An entry has the roles that may execute the function, what it reveals by design, and calls by one tenant with
the ids of another, with their results.
"""

from typing import NamedTuple


class Function(NamedTuple):
    executes: str  # PUBLIC, roles, or empty for none
    reveals: str
    calls: tuple[tuple[str, list[tuple[object, ...]]], ...] = ()


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
    "note_unused_files()": _TRIGGER,
    "note_link_card()": _TRIGGER,
    "note_handle()": _TRIGGER,
    "note_page_look()": _TRIGGER,
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
    "my_profiles(bigint,integer,text)": Function(
        "waypost_app",
        "profiles, to their members",
        (("SELECT id FROM my_profiles(0, 1000) WHERE tenant_id = {t}", []),),
    ),
    "lease_clicks(bigint[],bigint[])": Function("waypost_edge", "clicks of links of any tenant, to edges"),
    "count_orphan_visits(text[],text[],bigint[])": Function(
        "waypost_edge", "nothing: edges count visits at any tenant's domain"
    ),
    "edge_options(jsonb,jsonb)": Function("PUBLIC", "nothing but its arguments"),
    "targets_hash(text,jsonb)": Function("PUBLIC", "nothing but its arguments"),
    "limit_new_accounts()": _TRIGGER,
    "is_operator()": Function("waypost_app", "whether the caller is a user of the first tenant"),
    "set_quarantine(bigint,bigint,text,text)": _OWNERS,
    "screen_link(bigint,bigint,bigint,text,text)": Function(
        "waypost_aggregator", "nothing: workers quarantine links of any tenant"
    ),
    "report_link(bigint,bigint,bytea,text,text,integer)": Function(
        "waypost_edge", "nothing: edges note visitors' reports of links of any tenant"
    ),
    "reported_links(bigint,integer)": Function(
        "waypost_app", "reported links of all tenants, to users of the first one"
    ),
    "review_link(bigint,text,bigint)": Function(
        "waypost_app", "the version of a link of any tenant, to users of the first one"
    ),
    "subscribe(bigint,bigint,text,text)": Function(
        "waypost_edge", "nothing: edges note visitors' addresses of any tenant"
    ),
    "request_subscription(bigint,bigint,text,text)": Function(
        "waypost_edge", "nothing of an address: edges have visitors of any tenant confirm theirs"
    ),
    "confirm_subscription(bigint,bigint,bigint)": Function(
        "waypost_edge", "whether an address waits or is listed, to edges with its request's id"
    ),
    "unsubscribe(bigint,bigint,bigint)": Function(
        "waypost_edge", "nothing: edges delete visitors' addresses of any tenant, by their request's id"
    ),
    "subscription_secret()": Function(
        "waypost_edge waypost_aggregator", "what links of mails to visitors are signed with, of no tenant"
    ),
    "give_back_clicks(bigint[],bigint[],bigint[])": Function(
        "waypost_edge", "clicks that an edge leased and did not use, of any tenant"
    ),
    "links_at(text,text)": Function(
        "waypost_app",
        "links of profiles, to their members",
        (("SELECT * FROM links_at('', 's{t}')", []),),
    ),
    "domain_at(text)": Function(
        "waypost_app",
        "the handle of a domain's profile, to its members",
        (("SELECT * FROM domain_at('t{t}.example')", []),),
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
