-- Experiments, their visitors and counts, and conversions. Goes before the code.

-- ---- experiments ---------------------------------------------------------------------------------------

-- Experiments of one namespace exclude each other. `secret` keys the hash of hash keys, as in experiments.
CREATE TABLE namespaces (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    secret bytea NOT NULL DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        CHECK (length(secret) = 32),
    PRIMARY KEY (tenant_id, profile_id, name),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
ALTER TABLE namespaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON namespaces TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON namespaces FOR SELECT TO waypost_edge USING (true);
GRANT SELECT, INSERT (tenant_id, profile_id, name) ON namespaces TO waypost_app;
GRANT SELECT ON namespaces TO waypost_edge;

-- `definition` is the experiment as engine/experiments/experiment.py has it; references to other rows stand in
-- columns beside it. `secret` keys the hash of visitors' hash keys: as each experiment has another one, the keys
-- of one visitor in two experiments cannot be linked. It is in no response and in no log.
CREATE TABLE experiments (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'running', 'paused', 'decided', 'archived')),
    link_id bigint,
    block_id text COLLATE "C" CHECK (length(block_id) <= 32),
    definition jsonb NOT NULL CHECK (jsonb_typeof(definition) = 'object' AND pg_column_size(definition) <= 65536),
    namespace text COLLATE "C",
    phase integer NOT NULL DEFAULT 1 CHECK (phase BETWEEN 1 AND 65535),
    winner smallint CHECK (winner BETWEEN 0 AND 9),
    started_at timestamptz,
    ended_at timestamptz,
    mismatch_at timestamptz,
    seed text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    secret bytea NOT NULL DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
        CHECK (length(secret) = 32),
    CHECK ((winner IS NOT NULL) = (state = 'decided') OR state = 'archived'),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, link_id) REFERENCES links ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, profile_id, namespace) REFERENCES namespaces
);
COMMENT ON COLUMN experiments.phase IS 'grows with each change of variants or weights: visitors are assigned anew';
COMMENT ON COLUMN experiments.mismatch_at IS 'when a sample-ratio mismatch (SRM) was first found';
CREATE INDEX experiments_profile ON experiments (tenant_id, profile_id, id);
CREATE INDEX experiments_link ON experiments (tenant_id, link_id);
CREATE INDEX experiments_running ON experiments (id) WHERE state = 'running';

ALTER TABLE experiments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON experiments TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON experiments FOR SELECT TO waypost_edge USING (true);
CREATE POLICY definer ON experiments FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, link_id, block_id, namespace, definition),
    UPDATE (version, updated_at, state, link_id, block_id, namespace, definition, phase, winner, started_at, ended_at)
    ON experiments TO waypost_app;
GRANT SELECT (tenant_id, profile_id, id, state, link_id, block_id, definition, namespace, phase, winner, seed,
    secret) ON experiments TO waypost_edge;
-- Workers apply the decisions of a rule and the weights of a bandit.
GRANT SELECT (tenant_id, profile_id, id, version, state, link_id, block_id, definition, phase, winner, started_at,
        ended_at, mismatch_at, seed, created_at, updated_at),
    UPDATE (version, updated_at, state, definition, phase, winner, ended_at, mismatch_at)
    ON experiments TO waypost_aggregator;
SELECT audit_changes_of('experiments', 'experiment', 'id', 'profile_id');

-- The variants of each phase: counts are kept by phase.
CREATE TABLE experiment_phases (
    tenant_id bigint NOT NULL,
    experiment_id bigint NOT NULL,
    phase integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL CHECK (reason IN ('start', 'change', 'bandit')),
    variants jsonb NOT NULL,
    PRIMARY KEY (tenant_id, experiment_id, phase),
    FOREIGN KEY (tenant_id, experiment_id) REFERENCES experiments ON DELETE CASCADE
);
ALTER TABLE experiment_phases ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON experiment_phases TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT ON experiment_phases TO waypost_app, waypost_aggregator;

-- The tenant and profile of an experiment, and the current user's role there; as link_access().
CREATE FUNCTION experiment_access(of_experiment bigint)
RETURNS TABLE (tenant_id bigint, profile_id bigint, role text)
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.tenant_id, e.profile_id, m.role
    FROM (
        SELECT n.tenant_id, n.home_tenant_id FROM waypost.members AS n
        WHERE n.user_id = waypost.current_user_id() GROUP BY 1, 2
    ) AS t
    JOIN waypost.experiments AS e ON e.tenant_id = t.tenant_id AND e.id = of_experiment
    JOIN waypost.members AS m ON m.tenant_id = e.tenant_id AND m.profile_id = e.profile_id
        AND m.user_id = waypost.current_user_id()
    ORDER BY t.tenant_id <> t.home_tenant_id LIMIT 1
$$;
REVOKE ALL ON FUNCTION experiment_access(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION experiment_access(bigint) TO waypost_app;

-- ---- visitors and sums ---------------------------------------------------------------------------------

-- Each visitor of an experiment, so that they are counted once. A row goes when the key of its day is gone: sums
-- are kept beside, in the transactions that write the rows. `day` is the UTC day of the pseudonym; 1970-01-01
-- where a cookie identifies the visitor, whose row lives as long as the experiment. A visitor who saw two
-- variants has `multiple_exposures` and is counted in neither. A row without exposure is an outcome that came
-- first; it waits. The columns `was_…` and `had_…` keep the state before the last write: both states together say
-- what the write changed. No foreign key: a fold may bring clicks of an experiment that was deleted meanwhile.
CREATE TABLE experiment_visitors (
    tenant_id bigint NOT NULL,
    experiment_id bigint NOT NULL,
    phase integer NOT NULL,
    day date NOT NULL,
    visitor bigint NOT NULL,
    variant smallint NOT NULL,
    multiple_exposures boolean NOT NULL DEFAULT false,
    exposures integer NOT NULL DEFAULT 0,
    outcomes integer NOT NULL DEFAULT 0,
    exposed_at timestamptz,
    converted_at timestamptz,
    was_counted boolean NOT NULL DEFAULT false,
    was_converted boolean NOT NULL DEFAULT false,
    had_multiple_exposures boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, experiment_id, phase, day, visitor)
) WITH (fillfactor = 80);
CREATE INDEX experiment_visitors_day ON experiment_visitors (day);

-- Counts by time bucket of 15 minutes: every exposure and outcome; visitors at their first exposure, converted
-- visitors at their first outcome. `multiple_exposures` counts visitors by the variant that they saw first.
CREATE TABLE experiment_sums (
    tenant_id bigint NOT NULL,
    experiment_id bigint NOT NULL,
    phase integer NOT NULL,
    bucket timestamptz NOT NULL,
    variant smallint NOT NULL,
    exposures bigint NOT NULL DEFAULT 0,
    outcomes bigint NOT NULL DEFAULT 0,
    visitors bigint NOT NULL DEFAULT 0,
    converted bigint NOT NULL DEFAULT 0,
    multiple_exposures bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, experiment_id, phase, bucket, variant)
) WITH (fillfactor = 70);

ALTER TABLE experiment_visitors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE experiment_sums ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON experiment_visitors TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY tenant ON experiment_sums TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
-- The app counts conversions, workers count clicks.
GRANT SELECT, INSERT, UPDATE ON experiment_visitors, experiment_sums TO waypost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON experiment_visitors, experiment_sums TO waypost_aggregator;

-- ---- conversions ---------------------------------------------------------------------------------------

-- Conversions, as the owner of a link's target reports them. The key counts each of them once: `click` is the
-- SHA-256 of the click id, of the profile's id where no click is known. An order is one under any clicks, but for
-- reports of the script, which anybody can send. `visitor` stays while the attribution window is open, so that a
-- visitor who converts twice counts once. `dimensions` are the click's, by the API's names ('variant' is an
-- array); a job copies them from the raw click once it is folded, from `dimensions_due` on.
CREATE TABLE conversions (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    click bytea NOT NULL CHECK (length(click) = 32),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    order_id text NOT NULL DEFAULT '' CHECK (length(order_id) <= 128),
    claimed_order text CHECK (length(claimed_order) BETWEEN 1 AND 128),
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    clicked_at timestamptz,
    link_id bigint,
    value numeric(18, 4),
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    source text NOT NULL CHECK (source IN ('api', 'script', 'hook')),
    attribution text NOT NULL
        CHECK (attribution IN ('attributed', 'unexposed', 'expired', 'deleted', 'unattributed')),
    experiment_id bigint,
    phase integer,
    variant smallint,
    day date,
    visitor bigint,
    dimensions jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(dimensions) = 'object'),
    dimensions_due timestamptz,
    click_visitor bigint,
    CHECK ((link_id IS NULL) = (attribution = 'unattributed') AND (clicked_at IS NULL) = (link_id IS NULL)),
    PRIMARY KEY (tenant_id, click, name, order_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
COMMENT ON COLUMN conversions.dimensions_due IS 'when to look for the click next; null: never again';
COMMENT ON COLUMN conversions.click_visitor IS 'the pseudonym in the click id, until the click was looked for';
COMMENT ON COLUMN conversions.claimed_order IS 'the order id, null where the script alone reports the order';
CREATE UNIQUE INDEX conversions_order ON conversions (tenant_id, profile_id, name, claimed_order);
CREATE INDEX conversions_at ON conversions (tenant_id, profile_id, at);
CREATE INDEX conversions_order_id ON conversions (tenant_id, profile_id, name, order_id) WHERE order_id <> '';
CREATE INDEX conversions_due ON conversions (dimensions_due) WHERE dimensions_due IS NOT NULL;
CREATE INDEX conversions_profile ON conversions (tenant_id, profile_id, id);
CREATE INDEX conversions_visitor ON conversions (tenant_id, experiment_id, phase, day, visitor)
    WHERE visitor IS NOT NULL;
CREATE INDEX conversions_experiment ON conversions (tenant_id, experiment_id) WHERE experiment_id IS NOT NULL;

ALTER TABLE conversions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON conversions TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE (value, currency, source, claimed_order) ON conversions TO waypost_app;
GRANT SELECT, UPDATE (visitor, dimensions, dimensions_due, click_visitor) ON conversions TO waypost_aggregator;

-- Refunds of orders, as engine/experiments/refund.py has them. One may come before its order, so it names the order
-- and no conversion.
CREATE TABLE refunds (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    order_id text NOT NULL CHECK (length(order_id) BETWEEN 1 AND 128),
    refund_id text NOT NULL CHECK (length(refund_id) <= 128),
    kind text NOT NULL CHECK (kind IN ('amount', 'total', 'void')),
    value numeric(18, 4),
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((kind = 'void') = (value IS NULL) AND (value IS NULL) = (currency IS NULL)),
    PRIMARY KEY (tenant_id, profile_id, name, order_id, refund_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE INDEX refunds_at ON refunds (tenant_id, profile_id, at);

ALTER TABLE refunds ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON refunds TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT ON refunds TO waypost_app;

-- A URL that a shop posts its orders to. For a custom shop `fields` says where in a body the click id and the
-- value stand, and `value_factor` how many of the value's unit make one of the currency (null: its minor unit).
CREATE TABLE conversion_hooks (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    label text NOT NULL CHECK (length(label) <= 200),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    shop text NOT NULL DEFAULT 'custom' CHECK (length(shop) <= 32),
    fields jsonb NOT NULL,
    value_factor integer DEFAULT 1 CHECK (value_factor > 0),
    signing_secrets text[] NOT NULL DEFAULT '{}',
    secrets_changed_at timestamptz,
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE UNIQUE INDEX conversion_hooks_token ON conversion_hooks (token_sha256);
CREATE INDEX conversion_hooks_profile ON conversion_hooks (tenant_id, profile_id, id);

ALTER TABLE conversion_hooks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON conversion_hooks TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON conversion_hooks FOR SELECT TO waypost_owner USING (true);
GRANT SELECT, DELETE,
    INSERT (tenant_id, profile_id, label, name, shop, fields, value_factor, signing_secrets, token_sha256),
    UPDATE (label, name, shop, fields, value_factor, signing_secrets, secrets_changed_at)
    ON conversion_hooks TO waypost_app;
SELECT audit_changes_of('conversion_hooks', 'conversion_hook', 'id', 'profile_id');

-- The tenant and profile of a hook, to a caller that has its token.
CREATE FUNCTION conversion_hook_of(sha256 bytea)
RETURNS TABLE (tenant_id bigint, profile_id bigint, name text, shop text, fields jsonb, value_factor integer,
    signing_secrets text[])
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.tenant_id, h.profile_id, h.name, h.shop, h.fields, h.value_factor, h.signing_secrets
    FROM waypost.conversion_hooks AS h WHERE h.token_sha256 = sha256
        AND h.tenant_id = coalesce(waypost.current_tenant(), h.tenant_id)
$$;

-- The secret of click ids: edges seal with it, the console opens.
CREATE FUNCTION click_id_secret() RETURNS bytea
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT waypost.shared_secret('click-ids') $$;

REVOKE ALL ON FUNCTION conversion_hook_of(bytea), click_id_secret() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION conversion_hook_of(bytea) TO waypost_app;
GRANT EXECUTE ON FUNCTION click_id_secret() TO waypost_app, waypost_edge;
