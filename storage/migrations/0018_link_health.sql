-- Whether the targets of links are there. Goes before the code.
--
-- One row a link whose target can be asked. `target` is the link's when it was written: a row of another
-- target says nothing any more. Rows of one tenant and target change together.
CREATE TABLE link_health (
    tenant_id bigint NOT NULL,
    link_id bigint NOT NULL,
    target text COLLATE "C" NOT NULL CHECK (length(target) <= 2048),
    state text NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'ok', 'broken')),
    status smallint,
    reason text NOT NULL DEFAULT '' CHECK (length(reason) <= 200),
    failures smallint NOT NULL DEFAULT 0,
    checked_at timestamptz,
    since timestamptz,
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX link_health_due ON link_health (next_at);
CREATE INDEX link_health_target ON link_health (tenant_id, md5(target));

ALTER TABLE link_health ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON link_health FOR SELECT TO waypost_app USING (tenant_id = current_tenant());
GRANT SELECT ON link_health TO waypost_app;
GRANT SELECT, INSERT, UPDATE ON link_health TO waypost_aggregator;
