-- Since when raw clicks are there, known to who asks for them, too. Goes before the code.
--
-- A row of tenant 0 and profile 0 is everybody's: days before it were dropped whole.
CREATE POLICY tenant ON raw_click_retention FOR SELECT TO waypost_app
    USING (tenant_id IN (0, current_tenant()));
GRANT SELECT ON raw_click_retention TO waypost_app;
