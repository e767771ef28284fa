-- Profiles' pages: drafts, versions, and addresses that visitors leave in their forms. Goes before the code.

-- The draft of a page (engine/pages/page.py). `digest` is of its JSON: by it the audit log tells that the draft
-- changed, without a copy of it in each entry.
CREATE TABLE page_drafts (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    page jsonb NOT NULL CHECK (length(page::text) <= 262144),
    digest text COLLATE "C" NOT NULL CHECK (digest ~ '^[0-9a-f]{32}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
) WITH (fillfactor = 70);

ALTER TABLE page_drafts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_drafts TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT (tenant_id, profile_id, page, digest), UPDATE (version, page, digest, updated_at)
    ON page_drafts TO waypost_app;

-- Published versions, of which visitors get the one with the highest number. `pictures` has what the renderer needs of
-- each asset that the page names; `link_ids` are the links that it names.
CREATE TABLE page_versions (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    page jsonb NOT NULL CHECK (length(page::text) <= 262144),
    digest text COLLATE "C" NOT NULL CHECK (digest ~ '^[0-9a-f]{32}$'),
    pictures jsonb NOT NULL DEFAULT '{}' CHECK (length(pictures::text) <= 262144),
    link_ids bigint[] NOT NULL DEFAULT '{}' CHECK (cardinality(link_ids) <= 200),
    published_by bigint,
    published_at timestamptz NOT NULL DEFAULT now(),
    card_due boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, profile_id, number),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE INDEX page_versions_card_due ON page_versions (published_at) WHERE card_due;

ALTER TABLE page_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_versions TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY visitors ON page_versions FOR SELECT TO waypost_edge USING (true);
GRANT SELECT, INSERT, DELETE ON page_versions TO waypost_app;
GRANT SELECT ON page_versions TO waypost_edge;
-- Workers announce a page anew when GitHub's facts of one of its links have changed.
GRANT SELECT (tenant_id, profile_id, number, link_ids) ON page_versions TO waypost_aggregator;
-- And they draw its card (engine/pages/sharing/card.py), which `card_due` is until then.
GRANT SELECT (page, pictures, published_at, card_due), UPDATE (card_due) ON page_versions TO waypost_aggregator;
-- Edges show them.
CREATE POLICY visitors ON github_syncs FOR SELECT TO waypost_edge USING (true);
GRANT SELECT (tenant_id, link_id, target, facts, synced_at) ON github_syncs TO waypost_edge;

SELECT audit_changes_of('page_drafts', 'page', 'profile_id', 'profile_id');

-- That a version was published is a change of the page; that old ones go is none.
CREATE FUNCTION log_publication() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    PERFORM append_to_audit_log(NEW.tenant_id, NEW.profile_id, 'page', ARRAY[jsonb_build_array(
        NEW.profile_id, NULL, jsonb_build_object('number', NEW.number, 'digest', NEW.digest),
        'page.published')]);
    RETURN NULL;
END
$$;
CREATE TRIGGER log_insert AFTER INSERT ON page_versions FOR EACH ROW EXECUTE FUNCTION log_publication();

-- ---- addresses of visitors -----------------------------------------------------------------------------

-- What visitors enter into the e-mail forms of a page: apart from all that is counted of them.
CREATE TABLE page_subscribers (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    id bigint NOT NULL DEFAULT new_id(),
    block text COLLATE "C" NOT NULL CHECK (length(block) <= 32),
    email text COLLATE "C" NOT NULL CHECK (length(email) <= 254),
    subscribed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, profile_id, block, email),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE UNIQUE INDEX page_subscribers_listing ON page_subscribers (tenant_id, profile_id, id);

ALTER TABLE page_subscribers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON page_subscribers TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON page_subscribers TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT, DELETE ON page_subscribers TO waypost_app;

-- Note a visitor's address; once more changes nothing. Returns false, and keeps nothing, when the profile is gone or
-- has 50,000 addresses already: then for an address that it has, too, so that nobody learns which those are. An address
-- that waits for being confirmed keeps the id of its request, as the mail's link to leave has it.
CREATE FUNCTION subscribe(of_tenant bigint, of_profile bigint, of_block text, address text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('subscriptions', of_profile));
    IF EXISTS (SELECT FROM page_subscribers AS s
               WHERE s.tenant_id = of_tenant AND s.profile_id = of_profile OFFSET 49999) THEN
        RETURN false;
    END IF;
    INSERT INTO page_subscribers (tenant_id, profile_id, id, block, email)
    SELECT p.tenant_id, p.id, coalesce((SELECT r.id FROM subscription_requests AS r WHERE r.tenant_id = of_tenant
        AND r.profile_id = of_profile AND r.email = address AND r.block = of_block), new_id()), of_block, address
    FROM profiles AS p WHERE p.tenant_id = of_tenant AND p.id = of_profile
    ON CONFLICT DO NOTHING;
    RETURN EXISTS (SELECT FROM page_subscribers AS s WHERE s.tenant_id = of_tenant
        AND s.profile_id = of_profile AND s.block = of_block AND s.email = address);
END
$$;

-- Addresses that are not confirmed yet. `mailed_at` are the times of the mails that asked to, within the last hour.
-- They are deleted two days after the last one (subscriptions.purge). A subscriber has the id of the request, so
-- that one link of the mail takes the address off the list before and after it was confirmed. Whatever adds either
-- holds the lock of the profile's subscriptions, so that no address gets two ids.
CREATE TABLE subscription_requests (
    tenant_id bigint NOT NULL,
    profile_id bigint NOT NULL,
    email text COLLATE "C" NOT NULL CHECK (length(email) <= 254),
    block text COLLATE "C" NOT NULL CHECK (length(block) <= 32),
    id bigint NOT NULL DEFAULT new_id(),
    mailed_at timestamptz[] NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, profile_id, email, block),
    FOREIGN KEY (tenant_id, profile_id) REFERENCES profiles ON DELETE CASCADE
);
CREATE UNIQUE INDEX subscription_requests_id ON subscription_requests (tenant_id, profile_id, id);
CREATE INDEX subscription_requests_age ON subscription_requests (requested_at);

ALTER TABLE subscription_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON subscription_requests TO waypost_app
    USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
CREATE POLICY definer ON subscription_requests TO waypost_owner USING (true) WITH CHECK (true);
GRANT SELECT ON subscription_requests TO waypost_app;
GRANT SELECT, DELETE ON subscription_requests TO waypost_aggregator;
CREATE POLICY subscriptions ON jobs FOR INSERT TO waypost_owner WITH CHECK (kind = 'subscriptions.confirm');

-- Have a visitor's address confirmed by mail: at most 3 mails an hour for an address, and 500 for a profile. Returns
-- `waiting`, for an address that gets no further mail or is on the list already, too; `busy` beyond the profile's
-- mails; `full` when it has 50,000 addresses; `gone` without the profile.
CREATE FUNCTION request_subscription(of_tenant bigint, of_profile bigint, of_block text, address text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    hour_ago CONSTANT timestamptz := clock_timestamp() - interval '1 hour';
    request_id bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('subscriptions', of_profile));
    IF NOT EXISTS (SELECT FROM profiles AS p WHERE p.tenant_id = of_tenant AND p.id = of_profile) THEN
        RETURN 'gone';
    ELSIF EXISTS (SELECT FROM page_subscribers AS s
                  WHERE s.tenant_id = of_tenant AND s.profile_id = of_profile OFFSET 49999) THEN
        RETURN 'full';
    ELSIF EXISTS (SELECT FROM subscription_requests AS r CROSS JOIN unnest(r.mailed_at) AS m (at)
                  WHERE r.tenant_id = of_tenant AND r.profile_id = of_profile AND m.at > hour_ago OFFSET 499) THEN
        RETURN 'busy';
    ELSIF EXISTS (SELECT FROM subscription_requests AS r CROSS JOIN unnest(r.mailed_at) AS m (at)
                  WHERE r.tenant_id = of_tenant AND r.profile_id = of_profile AND r.email = address
                    AND m.at > hour_ago OFFSET 2) THEN
        RETURN 'waiting';
    END IF;
    INSERT INTO subscription_requests AS r (tenant_id, profile_id, email, block, id, mailed_at)
    VALUES (of_tenant, of_profile, address, of_block,
        coalesce((SELECT s.id FROM page_subscribers AS s WHERE s.tenant_id = of_tenant
            AND s.profile_id = of_profile AND s.block = of_block AND s.email = address), new_id()),
        ARRAY[clock_timestamp()])
    ON CONFLICT (tenant_id, profile_id, email, block) DO UPDATE SET requested_at = clock_timestamp(),
        mailed_at = ARRAY(SELECT m.at FROM unnest(r.mailed_at) AS m (at) WHERE m.at > hour_ago)
            || clock_timestamp()
    RETURNING id INTO request_id;
    INSERT INTO jobs (tenant_id, profile_id, kind, payload, unique_key, max_attempts)
    VALUES (of_tenant, of_profile, 'subscriptions.confirm', jsonb_build_object('request_id', request_id::text),
        request_id::text, 12)
    ON CONFLICT (tenant_id, kind, unique_key) WHERE finished_at IS NULL DO NOTHING;
    RETURN 'waiting';
END
$$;

-- Put the address of a request on the list. Returns `confirmed`, once more, too; `full`; or `gone` when there is
-- neither the request nor its address on the list.
CREATE FUNCTION confirm_subscription(of_tenant bigint, of_profile bigint, request_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
DECLARE
    is_listed boolean;
    request subscription_requests;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('subscriptions', of_profile));
    is_listed := EXISTS (SELECT FROM page_subscribers AS s
        WHERE s.tenant_id = of_tenant AND s.profile_id = of_profile AND s.id = request_id);
    IF NOT is_listed AND EXISTS (SELECT FROM page_subscribers AS s
            WHERE s.tenant_id = of_tenant AND s.profile_id = of_profile OFFSET 49999) THEN
        RETURN 'full';
    END IF;
    DELETE FROM subscription_requests AS r
    WHERE r.tenant_id = of_tenant AND r.profile_id = of_profile AND r.id = request_id RETURNING * INTO request;
    IF request.id IS NULL THEN
        RETURN CASE WHEN is_listed THEN 'confirmed' ELSE 'gone' END;
    END IF;
    INSERT INTO page_subscribers (tenant_id, profile_id, id, block, email)
    VALUES (of_tenant, of_profile, request.id, request.block, request.email) ON CONFLICT DO NOTHING;
    RETURN 'confirmed';
END
$$;

-- Take an address off the list, or forget that it waits for being confirmed.
CREATE FUNCTION unsubscribe(of_tenant bigint, of_profile bigint, request_id bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
BEGIN ATOMIC
    DELETE FROM subscription_requests AS r
    WHERE r.tenant_id = of_tenant AND r.profile_id = of_profile AND r.id = request_id;
    DELETE FROM page_subscribers AS s
    WHERE s.tenant_id = of_tenant AND s.profile_id = of_profile AND s.id = request_id;
END;

-- What links of mails to subscribers are signed with: workers sign, edges check.
CREATE FUNCTION subscription_secret() RETURNS bytea
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT waypost.shared_secret('subscriptions') $$;

-- The log says that an address was deleted, by a member or by its visitor, and not which one: entries of the log stay.
CREATE FUNCTION log_unsubscription() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, waypost, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM profiles AS p WHERE p.tenant_id = OLD.tenant_id AND p.id = OLD.profile_id) THEN
        PERFORM append_to_audit_log(OLD.tenant_id, OLD.profile_id, 'subscriber', ARRAY[jsonb_build_array(
            OLD.id, NULL, NULL,
            CASE WHEN current_user_id() IS NULL THEN 'subscriber.left' ELSE 'subscriber.deleted' END)]);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER log_delete AFTER DELETE ON page_subscribers
    FOR EACH ROW EXECUTE FUNCTION log_unsubscription();

REVOKE ALL ON FUNCTION log_publication(), log_unsubscription(), subscribe(bigint, bigint, text, text),
    request_subscription(bigint, bigint, text, text), confirm_subscription(bigint, bigint, bigint),
    unsubscribe(bigint, bigint, bigint), subscription_secret() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION subscribe(bigint, bigint, text, text), request_subscription(bigint, bigint, text, text),
    confirm_subscription(bigint, bigint, bigint), unsubscribe(bigint, bigint, bigint) TO waypost_edge;
GRANT EXECUTE ON FUNCTION subscription_secret() TO waypost_edge, waypost_aggregator;
