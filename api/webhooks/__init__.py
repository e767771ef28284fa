"""Endpoints of webhooks and deliveries, and a receiver for trying them."""
