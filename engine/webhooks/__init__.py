"""Events, deliveries, signatures and the circuit breaker of a webhook."""
