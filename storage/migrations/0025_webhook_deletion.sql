-- Deliveries of a webhook that goes are deleted some at a time. Goes before the code.
GRANT DELETE ON deliveries TO waypost_app, waypost_aggregator;
