"""Webhooks, the outbox of events, and deliveries in Postgres."""
