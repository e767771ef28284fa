-- Facts about the GitHub repositories that links lead to. Goes before the code.

-- One row for each link that is synchronised. `target` is the link's when the row was written: a row of another
-- target says nothing any more. `next_at` is when the link is due, null for never; `repository` is the lower-case
-- owner/name, by which links of one tenant share a response.
CREATE TABLE github_syncs (
    tenant_id bigint NOT NULL,
    link_id bigint NOT NULL,
    target text COLLATE "C" NOT NULL CHECK (length(target) <= 2048),
    repository text COLLATE "C" NOT NULL DEFAULT '' CHECK (length(repository) <= 140),
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'synced', 'failed')),
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 200),
    failures smallint NOT NULL DEFAULT 0,
    facts jsonb CHECK (length(facts::text) <= 16384),
    etag text NOT NULL DEFAULT '' CHECK (length(etag) <= 200),
    release_etag text NOT NULL DEFAULT '' CHECK (length(release_etag) <= 200),
    release_due boolean NOT NULL DEFAULT false,
    named_at timestamptz,
    asked_at timestamptz,
    tried_at timestamptz,
    synced_at timestamptz,
    next_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX github_syncs_due ON github_syncs (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX github_syncs_repository ON github_syncs (tenant_id, repository);

ALTER TABLE github_syncs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON github_syncs TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
-- The app begins, hurries and ends synchronisations; only workers write what GitHub says.
GRANT SELECT, DELETE, INSERT (tenant_id, link_id, target, asked_at, next_at),
    UPDATE (state, asked_at, next_at, version) ON github_syncs TO waypost_app;
GRANT SELECT, UPDATE, DELETE ON github_syncs TO waypost_aggregator;

-- One row for each API and token, by a hash of both: the lease on sending requests, and the pause that GitHub
-- asked for. Of no tenant, and the workers' only.
CREATE TABLE github_request_lease (
    id text PRIMARY KEY CHECK (length(id) = 64),
    paused_until timestamptz,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 200),
    in_a_row smallint NOT NULL DEFAULT 0,
    holder uuid,
    held_until timestamptz
);
COMMENT ON COLUMN github_request_lease.in_a_row IS 'consecutive pauses of a kind that lasts longer each time';
ALTER TABLE github_request_lease ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON github_request_lease TO waypost_aggregator;
