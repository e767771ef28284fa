-- Since when raw clicks are there, known to who asks for them, too. Goes before the code.
--
-- A row of tenant 0 and profile 0 is everybody's: days before it were dropped whole.
CREATE POLICY tenant ON raw_clicks_kept FOR SELECT TO waypost_app
    USING (tenant_id IN (0, current_tenant()));
GRANT SELECT ON raw_clicks_kept TO waypost_app;
