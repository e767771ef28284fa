"""The courier of deliveries."""
