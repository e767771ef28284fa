-- When a user agent was last seen, so that its text goes with the raw clicks that have it. Goes before the code.
ALTER TABLE user_agents ADD COLUMN seen date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date;
COMMENT ON COLUMN user_agents.seen IS 'the UTC day; who folds says so twice a day at least';
GRANT UPDATE (seen), DELETE ON user_agents TO waypost_aggregator;
