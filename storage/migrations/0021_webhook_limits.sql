-- How much of it a receiver takes is the webhook's to say, below what the operator allows. Goes before the code.
ALTER TABLE webhooks
    ADD COLUMN max_concurrency smallint CHECK (max_concurrency BETWEEN 1 AND 100),
    ADD COLUMN max_rate smallint CHECK (max_rate BETWEEN 1 AND 10000);
GRANT INSERT (max_concurrency, max_rate), UPDATE (max_concurrency, max_rate) ON webhooks TO waypost_app;
