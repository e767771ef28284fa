-- Imports of links from files, which a worker carries out. Goes before the code.

-- An import lives as long as its job, of which it has its state. Without a job, its file is arriving. `attempt` is
-- the job's that may write, `line` the last one that is done.
CREATE TABLE link_imports (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    job_id bigint,
    wishes jsonb NOT NULL CHECK (pg_column_size(wishes) <= 16384),
    size bigint NOT NULL DEFAULT 0,
    chunks integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    created integer NOT NULL DEFAULT 0,
    updated integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    rejected integer NOT NULL DEFAULT 0,
    line integer NOT NULL DEFAULT 0,
    total integer,
    unread text[] NOT NULL DEFAULT '{}' CHECK (cardinality(unread) <= 100),
    error text NOT NULL DEFAULT '' CHECK (length(error) <= 1000),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX link_imports_profile ON link_imports (tenant_id, profile_id, id);
CREATE UNIQUE INDEX link_imports_job ON link_imports (tenant_id, job_id);

ALTER TABLE link_imports ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link_imports TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, wishes),
    UPDATE (job_id, size, chunks, attempt, created, updated, unchanged, rejected, line, total)
    ON link_imports TO waypost_app;
GRANT SELECT, UPDATE (unread, error), DELETE ON link_imports TO waypost_aggregator;

-- The file, until the import has ended.
CREATE TABLE link_import_chunks (
    tenant_id bigint NOT NULL,
    import_id bigint NOT NULL,
    number integer NOT NULL,
    data bytea NOT NULL CHECK (length(data) <= 1048576),
    PRIMARY KEY (tenant_id, import_id, number),
    FOREIGN KEY (tenant_id, import_id) REFERENCES link_imports ON DELETE CASCADE
);

ALTER TABLE link_import_chunks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link_import_chunks TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, DELETE ON link_import_chunks TO waypost_app;
GRANT SELECT (tenant_id, import_id), DELETE ON link_import_chunks TO waypost_aggregator;

-- Rejected rows. `first_line` is the row that has the address or id, 0 if there is none.
CREATE TABLE link_import_rejects (
    tenant_id bigint NOT NULL,
    import_id bigint NOT NULL,
    line integer NOT NULL,
    reason text NOT NULL CHECK (length(reason) <= 1000),
    first_line integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, import_id, line),
    FOREIGN KEY (tenant_id, import_id) REFERENCES link_imports ON DELETE CASCADE
);

ALTER TABLE link_import_rejects ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link_import_rejects TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, DELETE ON link_import_rejects TO waypost_app;
